/* SPDX-License-Identifier: BSD-2-Clause */
#include "dispatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "heap.h"
#include "log.h"
#include "losses.h"
#include "session.h"
#include "settle.h"
#include "smaps.h"
#include "streams.h"
#include "use.h"

struct dispatch {
	struct kernel *kernel;
	struct watches *watches;
	struct cgroups *cgroups;
	struct smaps *smaps;
	struct probes *probes;
	struct streams *streams;
	struct heap *heap;
	struct settler *settler;
	struct feed **feeds;
	size_t feed_count;
	uint32_t last_id;
	struct losses told;
};

struct dispatch *dispatch_new(struct kernel *kernel, struct watches *watches, struct cgroups *cgroups, struct smaps *smaps,
			      struct probes *probes, struct streams *streams, struct heap *heap)
{
	struct dispatch *dispatch = calloc(1, sizeof(*dispatch));

	if (!dispatch)
		return NULL;
	dispatch->streams = streams;
	dispatch->kernel = kernel;
	dispatch->watches = watches;
	dispatch->cgroups = cgroups;
	dispatch->smaps = smaps;
	dispatch->probes = probes;
	dispatch->heap = heap;
	dispatch->settler = settler_new();
	if (dispatch->settler)
		return dispatch;
	free(dispatch);
	return NULL;
}

void dispatch_free(struct dispatch *dispatch)
{
	if (!dispatch)
		return;
	for (size_t i = 0; i < dispatch->feed_count; i++)
		feed_free(dispatch->feeds[i]);
	free(dispatch->feeds);
	settler_free(dispatch->settler);
	free(dispatch);
}

/* The feeds that want it, and whether any was wanted: a slot is shared by all that want the same. */
static u64 watches_of_probe(const struct dispatch *dispatch, u32 slot)
{
	u64 watches = 0;

	for (size_t i = 0; i < dispatch->feed_count; i++) {
		const struct feed_spec *spec = feed_spec(dispatch->feeds[i]);

		for (size_t n = 0; n < spec->probe_count; n++)
			if (spec->probes[n].slot == slot)
				watches |= 1ULL << spec->watch;
	}
	return watches;
}

static void update_probes(struct dispatch *dispatch)
{
	for (size_t i = 0; i < dispatch->feed_count; i++) {
		const struct feed_spec *spec = feed_spec(dispatch->feeds[i]);

		for (size_t n = 0; n < spec->probe_count; n++)
			probes_set_watches(dispatch->probes, spec->probes[n].slot,
					   watches_of_probe(dispatch, spec->probes[n].slot));
	}
}

static void release_probes(struct dispatch *dispatch, const struct feed_spec *spec)
{
	for (size_t n = 0; n < spec->probe_count; n++)
		probes_release(dispatch->probes, spec->probe_user, spec->probes[n].slot);
}

/* The kernel side measures what somebody wants, and only that. */
static void update_wishes(struct dispatch *dispatch)
{
	struct watch_wishes wishes = { 0 };
	u64 longest_ns = 0, now = clock_boot_ns();

	for (size_t i = 0; i < dispatch->feed_count; i++) {
		const struct feed_spec *spec = feed_spec(dispatch->feeds[i]);
		u64 bit = 1ULL << spec->watch;

		wishes.threads |= spec->threads ? bit : 0;
		longest_ns = spec->interval_ns > longest_ns ? spec->interval_ns : longest_ns;
		wishes.hooked |= spec->metrics & metric_hook_bits ? bit : 0;
		wishes.timed |= spec->metrics & METRICS_OF_SWITCHES ? bit : 0;
		wishes.windows |= spec->metrics & metric_window_bits ? bit : 0;
		wishes.syscalls |= spec->syscalls ? bit : 0;
		wishes.metrics |= spec->metrics | (spec->syscalls ? NEED_SYSCALLS : 0);
		wishes.heaped |= spec->metrics & METRICS_OF_HEAP ? bit : 0;
	}
	if (streams_set_feeds(dispatch->streams, dispatch->feeds, dispatch->feed_count))
		log_error("dispatch", "out of memory: no system calls are sent");
	heap_want(dispatch->heap, wishes.heaped != 0);
	watches_set_wishes(dispatch->watches, &wishes);
	update_probes(dispatch);
	/* threads that nobody watches any more; all others have been seen within two intervals */
	if (!wishes.threads)
		settle_forget(dispatch->settler, UINT64_MAX);
	else if (now > 2 * longest_ns)
		settle_forget(dispatch->settler, now - 2 * longest_ns);
	if (!(wishes.metrics & metric_walk_bits))
		smaps_forget_all(dispatch->smaps);
}

static struct feed *find_feed(struct dispatch *dispatch, const struct feed_spec *spec)
{
	for (size_t i = 0; i < dispatch->feed_count; i++) {
		const struct feed_spec *other = feed_spec(dispatch->feeds[i]);

		if (other->watch == spec->watch && other->threads == spec->threads && other->events == spec->events &&
		    other->metrics == spec->metrics && other->interval_ns == spec->interval_ns &&
		    other->probe_count == spec->probe_count &&
		    memcmp(other->probes, spec->probes, spec->probe_count * sizeof(spec->probes[0])) == 0 &&
		    other->syscalls == spec->syscalls)
			return dispatch->feeds[i];
	}
	return NULL;
}

static struct feed *add_feed(struct dispatch *dispatch, const struct feed_spec *spec)
{
	struct feed **grown = reallocarray(dispatch->feeds, dispatch->feed_count + 1, sizeof(*grown));
	struct feed *feed;

	if (!grown)
		return NULL;
	dispatch->feeds = grown;
	feed = feed_new(++dispatch->last_id, spec, dispatch->watches, dispatch->cgroups, dispatch->smaps, dispatch->streams);
	if (!feed)
		return NULL;
	dispatch->feeds[dispatch->feed_count++] = feed;
	update_wishes(dispatch);
	return feed;
}

static void remove_feed(struct dispatch *dispatch, struct feed *feed)
{
	for (size_t i = 0; i < dispatch->feed_count; i++)
		if (dispatch->feeds[i] == feed)
			dispatch->feeds[i] = dispatch->feeds[--dispatch->feed_count];
	release_probes(dispatch, feed_spec(feed));
	update_wishes(dispatch);
	feed_free(feed);
}

/* Each subscription holds one reference of the watch, each feed the wish for its level. */
int dispatch_join(struct dispatch *dispatch, struct session *session, const struct watch_spec *watch, struct feed_spec *spec,
		  struct feed **out)
{
	struct feed *feed;
	int bit, err;

	err = use_check_session(dispatch->feeds, dispatch->feed_count, session);
	if (err) {
		release_probes(dispatch, spec);
		return err;
	}
	bit = watch_acquire(dispatch->watches, watch);
	if (bit < 0) {
		release_probes(dispatch, spec);
		return bit;
	}
	spec->watch = (unsigned int)bit;
	err = use_check_user(dispatch->feeds, dispatch->feed_count, session_client(session), spec->watch);
	if (err) {
		release_probes(dispatch, spec);
		watch_release(dispatch->watches, spec->watch);
		return err;
	}
	feed = find_feed(dispatch, spec);
	if (feed)
		release_probes(dispatch, spec); /* it has its own */
	if (feed && feed_has(feed, session)) {
		watch_release(dispatch->watches, spec->watch);
		return -EEXIST;
	}
	if (!feed) {
		feed = add_feed(dispatch, spec);
		if (!feed)
			release_probes(dispatch, spec);
	}
	err = feed ? feed_join(feed, session) : -ENOMEM;
	if (err) {
		if (feed && feed_subscribers(feed) == 0)
			remove_feed(dispatch, feed);
		watch_release(dispatch->watches, spec->watch);
		return err;
	}
	*out = feed;
	return 0;
}

void dispatch_leave(struct dispatch *dispatch, struct session *session, struct feed *feed)
{
	unsigned int watch = feed_spec(feed)->watch;

	feed_leave(feed, session);
	if (feed_subscribers(feed) == 0)
		remove_feed(dispatch, feed);
	watch_release(dispatch->watches, watch);
}

void dispatch_leave_all(struct dispatch *dispatch, struct session *session)
{
	for (size_t i = dispatch->feed_count; i-- > 0;)
		if (i < dispatch->feed_count && feed_has(dispatch->feeds[i], session))
			dispatch_leave(dispatch, session, dispatch->feeds[i]);
}

struct feed *dispatch_find(struct dispatch *dispatch, const struct session *session, uint32_t id)
{
	for (size_t i = 0; i < dispatch->feed_count; i++)
		if (feed_id(dispatch->feeds[i]) == id && feed_has(dispatch->feeds[i], session))
			return dispatch->feeds[i];
	return NULL;
}

bool dispatch_explains(const struct dispatch *dispatch, const struct session *session)
{
	for (size_t i = 0; i < dispatch->feed_count; i++)
		if (feed_has(dispatch->feeds[i], session) &&
		    watch_explains(dispatch->watches, feed_spec(dispatch->feeds[i])->watch))
			return true;
	return false;
}

size_t dispatch_feed_count(const struct dispatch *dispatch)
{
	return dispatch->feed_count;
}

struct feed *dispatch_feed(const struct dispatch *dispatch, size_t index)
{
	return dispatch->feeds[index];
}

int dispatch_probe(struct dispatch *dispatch, struct feed *feed, u32 tgid)
{
	const struct feed_spec *spec = feed_spec(feed);
	int err = 0;

	for (size_t n = 0; n < spec->probe_count; n++) {
		int attached = probes_attach(dispatch->probes, spec->probes[n].slot, tgid, spec->watch);

		err = err ? err : attached;
	}
	return err;
}

/*
 * A process that is followed, or goes on as another task. Each is tried once. One that was created just now runs already: what it calls
 * until it is probed, or has ended, nobody sees.
 */
static void follow_with_probes(struct dispatch *dispatch, struct feed *feed, u32 tgid, bool born)
{
	Taskmon__Loss__Cause cause = TASKMON__LOSS__CAUSE__PROBE_PROCESS;
	int err;

	if (feed_spec(feed)->probe_count == 0)
		return;
	err = dispatch_probe(dispatch, feed, tgid);
	if (!err || err == -ESRCH)
		cause = TASKMON__LOSS__CAUSE__PROBE_LATE;
	if (err == -EALREADY || (cause == TASKMON__LOSS__CAUSE__PROBE_LATE && !born))
		return;
	for (size_t i = 0; i < feed_subscribers(feed); i++)
		session_add_loss(feed_subscriber(feed, i), cause, 1);
}

void dispatch_sample(struct dispatch *dispatch, struct feed *feed, const struct task_record *record)
{
	follow_with_probes(dispatch, feed, record->tgid, false);
	feed_add_sample(feed, record);
}

void dispatch_settle(struct dispatch *dispatch, struct task_record *record)
{
	settle(dispatch->settler, record);
}

/* Final records are of one level and go to feeds of that level. */
static void route_end(struct dispatch *dispatch, const struct task_record *as_written)
{
	struct task_record settled = *as_written, *record = &settled; /* the ring is not ours to write to */

	settle_end(dispatch->settler, record);
	for (size_t i = 0; i < dispatch->feed_count; i++) {
		struct feed *feed = dispatch->feeds[i];

		if (feed_wants(feed, record->watches, record->time_ns) &&
		    feed_spec(feed)->threads == !!(record->flags & RECORD_THREAD))
			feed_add_end(feed, record);
	}
	if (!(record->flags & RECORD_THREAD))
		smaps_forget(dispatch->smaps, record);
	if (record->flags & RECORD_PROCESS_ENDED)
		probes_forget_process(dispatch->probes, record->tgid);
}

/* What concerns only a thread is for feeds of threads; what concerns the process is for all. */
static void route_event(struct dispatch *dispatch, const struct task_event *event)
{
	bool is_new = event->type == RECORD_FORK && !(event->flags & RECORD_THREAD);

	if (event->type == RECORD_EXEC && event->other_tid != event->tid) {
		probes_forget_process(dispatch->probes, event->tgid); /* they were attached to a thread that has gone */
		is_new = true;
	}
	for (size_t i = 0; i < dispatch->feed_count; i++) {
		struct feed *feed = dispatch->feeds[i];

		if (!feed_wants(feed, event->watches, event->time_ns))
			continue;
		if (feed_spec(feed)->threads || !(event->flags & RECORD_THREAD))
			feed_add_event(feed, event);
		if (is_new)
			follow_with_probes(dispatch, feed, event->tgid, true);
	}
	if (event->type == RECORD_EXEC)
		smaps_restart(dispatch->smaps, event);
}

static void route_hit(struct dispatch *dispatch, const struct probe_hit *hit, size_t size)
{
	for (size_t i = 0; i < dispatch->feed_count; i++) {
		const struct feed_spec *spec = feed_spec(dispatch->feeds[i]);

		if (!feed_wants(dispatch->feeds[i], hit->watches, hit->time_ns))
			continue;
		for (size_t n = 0; n < spec->probe_count; n++)
			if (spec->probes[n].slot == hit->slot)
				feed_add_hit(dispatch->feeds[i], hit, size, spec->probes[n].number,
					     probes_declaration(dispatch->probes, hit->slot));
	}
}

void dispatch_event(const void *record, size_t size, void *context)
{
	struct dispatch *dispatch = context;
	u32 type = *(const u32 *)record;

	if (type == RECORD_PROBE && size >= sizeof(struct probe_hit))
		route_hit(dispatch, record, size);
	else if (type == RECORD_END && size >= sizeof(struct task_record))
		route_end(dispatch, record);
	else if (type != RECORD_PROBE && type != RECORD_END && size >= sizeof(struct task_event))
		route_event(dispatch, record);
}

void dispatch_flush(struct dispatch *dispatch)
{
	for (size_t i = 0; i < dispatch->feed_count; i++)
		feed_flush(dispatch->feeds[i]);
	losses_tell(&dispatch->told, dispatch->kernel, dispatch->feeds, dispatch->feed_count);
}
