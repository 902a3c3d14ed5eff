/* SPDX-License-Identifier: BSD-2-Clause */
#include "sampler.h"

#include <stdbool.h>

#include "clock.h"
#include "log.h"

#define SUBSYSTEM "sampler"

enum {
	STREAM_MS = 10, /* how long a system call waits for being fetched */
	GATHER_MS = 20, /* how late a lifecycle record may be: bounds the wake-ups under churn to 50 a second */
	NS_PER_MS = 1000000,
	TOGETHER_NS = NS_PER_MS, /* feeds due within this time share a pass */
};

/* The clocks drift apart by some 10 ppm: 0.1 ms in this time, which is how exact the CPU time of final records is. */
#define MEASURE_CLOCK_NS 10000000000ULL

/* The feeds that one pass serves. */
struct pass {
	struct dispatch *dispatch;
	struct feed *only; /* NULL: all that are due at `now_ns` */
	uint64_t now_ns;
};

static bool is_due(const struct pass *pass, const struct feed *feed)
{
	return pass->only ? feed == pass->only : feed_due(feed) <= pass->now_ns + TOGETHER_NS;
}

static bool any_due(const struct pass *pass)
{
	for (size_t i = 0; i < dispatch_feed_count(pass->dispatch); i++)
		if (is_due(pass, dispatch_feed(pass->dispatch, i)))
			return true;
	return false;
}

static void add_sample(struct task_record *record, void *context)
{
	const struct pass *pass = context;

	if (record->type == RECORD_END) { /* of a process whose exit no program saw */
		dispatch_event(record, sizeof(*record), pass->dispatch);
		return;
	}
	dispatch_settle(pass->dispatch, record);
	for (size_t i = 0; i < dispatch_feed_count(pass->dispatch); i++) {
		struct feed *feed = dispatch_feed(pass->dispatch, i);
		const struct feed_spec *spec = feed_spec(feed);

		if (spec->threads != !!(record->flags & RECORD_THREAD))
			continue;
		if (!is_due(pass, feed)) {
			if (record->folds >> spec->watch & 1)
				feed_keep_maxima(feed, record);
		} else if (record->watches >> spec->watch & 1) {
			dispatch_sample(pass->dispatch, feed, record);
		}
	}
}

static void ask_for(struct sampler *sampler, struct sample_request *request, const struct feed *feed)
{
	const struct feed_spec *spec = feed_spec(feed);

	*(spec->threads ? &request->threads : &request->processes) |= 1ULL << spec->watch;
	request->limits |= watch_has_limits(sampler->watches, spec->watch);
}

/*
 * What ended before the pass is sent before its rows, and what ended during it before its last frame: after a
 * complete tick, a task that is in neither is gone without a trace.
 */
static int run_pass(struct sampler *sampler, struct pass *pass, enum feed_tick kind, struct session *session)
{
	struct sample_request request = { 0 };
	u64 skipped = kernel_skipped(sampler->kernel);
	/* a fork or exec that no program saw may have left a process without its verdict */
	bool judge = kind == FEED_BASELINE || skipped != sampler->skipped;
	int err;

	for (size_t i = 0; i < dispatch_feed_count(pass->dispatch); i++) {
		struct feed *feed = dispatch_feed(pass->dispatch, i);

		if (!is_due(pass, feed))
			continue;
		ask_for(sampler, &request, feed);
		feed_begin_tick(feed, kind, pass->now_ns, session);
	}
	err = judge ? watches_judge(sampler->watches, &request, add_sample, pass) :
		      kernel_sample(sampler->kernel, &request, false, add_sample, pass);
	sampler->skipped = judge && !err ? skipped : sampler->skipped;
	sampler_drain(sampler);
	for (size_t i = 0; i < dispatch_feed_count(pass->dispatch); i++)
		if (is_due(pass, dispatch_feed(pass->dispatch, i)))
			feed_finish_tick(dispatch_feed(pass->dispatch, i));
	return err;
}

static int run_private_pass(struct sampler *sampler, struct feed *feed, enum feed_tick kind, struct session *session)
{
	struct pass pass = { .dispatch = sampler->dispatch, .only = feed, .now_ns = clock_boot_ns() };

	return run_pass(sampler, &pass, kind, session);
}

/* The grid of a feed begins with its first subscriber; ticks that could not be kept are left out, not made up for. */
static void advance(struct feed *feed, uint64_t now_ns)
{
	uint64_t interval = feed_spec(feed)->interval_ns;
	uint64_t due = feed_due(feed) + interval;

	if (due <= now_ns)
		due += (now_ns - due) / interval * interval + interval;
	feed_set_due(feed, due);
}

static void on_tick(uv_timer_t *timer)
{
	struct sampler *sampler = timer->data;
	struct pass pass = { .dispatch = sampler->dispatch, .now_ns = clock_boot_ns() };

	if (!any_due(&pass)) {
		kernel_measure_clock(sampler->kernel);
		sampler_reschedule(sampler);
		return;
	}
	sampler_drain(sampler);
	run_pass(sampler, &pass, FEED_REGULAR, NULL);
	for (size_t i = 0; i < dispatch_feed_count(pass.dispatch); i++)
		if (is_due(&pass, dispatch_feed(pass.dispatch, i)))
			advance(dispatch_feed(pass.dispatch, i), pass.now_ns);
	sampler_reschedule(sampler);
}

static void on_stream(uv_timer_t *timer)
{
	struct sampler *sampler = timer->data;
	bool more = streams_poll(sampler->streams);

	uv_update_time(timer->loop);
	uv_timer_start(timer, on_stream, more ? 0 : STREAM_MS, 0);
}

void sampler_reschedule(struct sampler *sampler)
{
	uint64_t now = clock_boot_ns(), earliest = UINT64_MAX;

	if (!streams_wanted(sampler->streams))
		uv_timer_stop(&sampler->stream);
	else if (!uv_is_active((uv_handle_t *)&sampler->stream))
		uv_timer_start(&sampler->stream, on_stream, STREAM_MS, 0);

	for (size_t i = 0; i < dispatch_feed_count(sampler->dispatch); i++) {
		uint64_t due = feed_due(dispatch_feed(sampler->dispatch, i));

		earliest = due < earliest ? due : earliest;
	}
	if (earliest == UINT64_MAX) {
		uv_timer_stop(&sampler->tick);
		return;
	}
	if (earliest > now + MEASURE_CLOCK_NS)
		earliest = now + MEASURE_CLOCK_NS;
	/* libuv counts from the time at which its loop turned last; rounded up, a tick is never early */
	uv_update_time(sampler->tick.loop);
	uv_timer_start(&sampler->tick, on_tick, earliest > now ? (earliest - now + NS_PER_MS - 1) / NS_PER_MS : 0, 0);
}

int sampler_baseline(struct sampler *sampler, struct feed *feed, struct session *session)
{
	int err = run_private_pass(sampler, feed, FEED_BASELINE, session);

	if (feed_due(feed) == 0)
		feed_set_due(feed, clock_boot_ns() + feed_spec(feed)->interval_ns);
	sampler_reschedule(sampler);
	return err;
}

int sampler_closing_tick(struct sampler *sampler, struct feed *feed, struct session *session)
{
	sampler_drain_all(sampler);
	return run_private_pass(sampler, feed, FEED_CLOSING, session);
}

void sampler_drain(struct sampler *sampler)
{
	kernel_drain(sampler->kernel);
	dispatch_flush(sampler->dispatch);
}

void sampler_drain_all(struct sampler *sampler)
{
	streams_drain(sampler->streams);
	sampler_drain(sampler);
}

static void on_ring(uv_poll_t *poll, int status, int events);

static void on_gathered(uv_timer_t *timer)
{
	struct sampler *sampler = timer->data;

	sampler_drain(sampler);
	uv_poll_start(&sampler->ring, UV_READABLE, on_ring);
}

/* The first record since the ring was empty: more may follow at once, so they are taken together a moment later. */
static void on_ring(uv_poll_t *poll, int status, int events)
{
	struct sampler *sampler = poll->data;

	(void)events;
	uv_poll_stop(poll);
	if (status < 0)
		log_error(SUBSYSTEM, "cannot wait for the ring buffer: %s", uv_strerror(status));
	uv_timer_start(&sampler->gather, on_gathered, GATHER_MS, 0);
}

int sampler_start(struct sampler *sampler, uv_loop_t *loop, struct kernel *kernel, struct watches *watches,
		  struct dispatch *dispatch, struct streams *streams)
{
	int err;

	sampler->kernel = kernel;
	sampler->watches = watches;
	sampler->dispatch = dispatch;
	sampler->streams = streams;
	uv_timer_init(loop, &sampler->stream);
	sampler->stream.data = sampler;
	uv_timer_init(loop, &sampler->tick);
	uv_timer_init(loop, &sampler->gather);
	sampler->tick.data = sampler->gather.data = sampler->ring.data = sampler;
	err = uv_poll_init(loop, &sampler->ring, kernel_event_fd(kernel));
	sampler->ring.data = sampler;
	if (!err)
		err = uv_poll_start(&sampler->ring, UV_READABLE, on_ring);
	return err;
}

void sampler_stop(struct sampler *sampler)
{
	uv_close((uv_handle_t *)&sampler->stream, NULL);
	uv_close((uv_handle_t *)&sampler->tick, NULL);
	uv_close((uv_handle_t *)&sampler->gather, NULL);
	uv_close((uv_handle_t *)&sampler->ring, NULL);
}
