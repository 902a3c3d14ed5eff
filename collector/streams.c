/* SPDX-License-Identifier: BSD-2-Clause */
#include "streams.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "calls.h"
#include "feed.h"
#include "kernel.h"
#include "session.h"

enum { POLL_FRAMES = 16 }; /* at most, before clients are served again */

struct streams {
	struct kernel *kernel;
	struct feed **feeds; /* that want system calls */
	size_t feed_count;
};

struct streams *streams_new(struct kernel *kernel)
{
	struct streams *streams = calloc(1, sizeof(*streams));

	if (streams)
		streams->kernel = kernel;
	return streams;
}

void streams_free(struct streams *streams)
{
	if (!streams)
		return;
	free(streams->feeds);
	free(streams);
}

int streams_set_feeds(struct streams *streams, struct feed *const *feeds, size_t count)
{
	struct feed **grown = reallocarray(streams->feeds, count + 1, sizeof(struct feed *));

	streams->feed_count = 0;
	if (!grown)
		return -ENOMEM;
	streams->feeds = grown;
	for (size_t i = 0; i < count; i++)
		if (feed_spec(feeds[i])->syscalls)
			streams->feeds[streams->feed_count++] = feeds[i];
	return 0;
}

bool streams_wanted(const struct streams *streams)
{
	return streams->feed_count > 0;
}

static void add_syscall(const struct syscall_record *record, void *context)
{
	const struct streams *streams = context;

	for (size_t i = 0; i < streams->feed_count; i++)
		if (feed_wants(streams->feeds[i], record->watches, record->time_ns))
			feed_add_syscall(streams->feeds[i], record);
}

static size_t fetch(struct streams *streams, size_t most)
{
	size_t taken = kernel_drain_syscalls(streams->kernel, most, add_syscall, streams);

	for (size_t i = 0; i < streams->feed_count; i++)
		feed_send_syscalls(streams->feeds[i]);
	return taken;
}

static bool all_are_behind(const struct streams *streams)
{
	for (size_t i = 0; i < streams->feed_count; i++)
		for (size_t s = 0; s < feed_subscribers(streams->feeds[i]); s++)
			if (!session_is_behind(feed_subscriber(streams->feeds[i], s)))
				return false;
	return true;
}

bool streams_poll(struct streams *streams)
{
	for (int i = 0; i < POLL_FRAMES; i++)
		if (all_are_behind(streams) || fetch(streams, CALLS_MAX) < CALLS_MAX)
			return false;
	return true;
}

void streams_drain(struct streams *streams)
{
	fetch(streams, SIZE_MAX);
}
