/* SPDX-License-Identifier: BSD-2-Clause */
#include "feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "cgroup.h"
#include "clock.h"
#include "hits.h"
#include "session.h"
#include "smaps.h"
#include "streams.h"
#include "watch.h"
#include "window.h"
#include "wire.h"

enum { EVENTS_PER_FRAME = 256, CLOCK_SET_NS = 1000000 };

/* An event of the message with the memory that it points into. */
struct event_slot {
	Taskmon__Event message;
	char comm[TASK_COMM_BYTES], old_comm[TASK_COMM_BYTES];
};

struct feed {
	uint32_t id;
	struct feed_spec spec;
	u64 began_ns;
	struct cgroups *cgroups;
	struct watches *watches;
	struct session **subscribers;
	size_t subscriber_count;

	struct rows_builder *samples; /* of the tick that is being built */
	uint64_t tick;                /* number of the last regular tick */
	uint64_t tick_number;         /* of the tick that is being built */
	uint64_t tick_ns;
	uint64_t due_ns;
	bool in_tick;
	struct session *only; /* who gets it; NULL: all */

	struct windows *windows; /* NULL: the feed has no maxima */
	struct smaps *smaps;     /* NULL: the feed has no metrics of cost WALK */

	struct streams *streams;
	struct calls_builder *calls; /* NULL: the feed has no system calls */
	int64_t calls_offset_ns;     /* to the wall clock; changes when that is set */

	struct rows_builder *ended;
	struct event_slot *events;
	Taskmon__Event **event_list;
	size_t event_count;
	struct hits *hits; /* NULL: the feed has no probes */
};

struct feed *feed_new(uint32_t id, const struct feed_spec *spec, struct watches *watches, struct cgroups *cgroups,
		      struct smaps *smaps, struct streams *streams)
{
	struct feed *feed = calloc(1, sizeof(*feed));

	if (!feed)
		return NULL;
	feed->id = id;
	feed->spec = *spec;
	feed->began_ns = clock_boot_ns();
	feed->cgroups = cgroups;
	feed->watches = watches;
	feed->streams = streams;
	if (spec->metrics & metric_walk_bits && !spec->threads)
		feed->smaps = smaps;
	feed->samples = rows_builder_new(spec->metrics, spec->threads, false);
	feed->ended = rows_builder_new(spec->metrics, spec->threads, true);
	feed->events = calloc(EVENTS_PER_FRAME, sizeof(feed->events[0]));
	feed->event_list = calloc(EVENTS_PER_FRAME, sizeof(feed->event_list[0]));
	if (spec->metrics & metric_window_bits)
		feed->windows = windows_new();
	if (spec->probe_count)
		feed->hits = hits_new();
	if (spec->syscalls)
		feed->calls = calls_builder_new();
	if (!feed->samples || !feed->ended || !feed->events || !feed->event_list ||
	    (spec->metrics & metric_window_bits && !feed->windows) || (spec->probe_count && !feed->hits) ||
	    (spec->syscalls && !feed->calls)) {
		feed_free(feed);
		return NULL;
	}
	for (size_t i = 0; i < EVENTS_PER_FRAME; i++)
		feed->event_list[i] = &feed->events[i].message;
	return feed;
}

void feed_free(struct feed *feed)
{
	if (!feed)
		return;
	rows_builder_free(feed->samples);
	rows_builder_free(feed->ended);
	windows_free(feed->windows);
	hits_free(feed->hits);
	calls_builder_free(feed->calls);
	free(feed->events);
	free(feed->event_list);
	free(feed->subscribers);
	free(feed);
}

bool feed_wants(const struct feed *feed, u64 watches, u64 time_ns)
{
	return watches >> feed->spec.watch & 1 && time_ns >= feed->began_ns;
}

uint32_t feed_id(const struct feed *feed)
{
	return feed->id;
}

const struct feed_spec *feed_spec(const struct feed *feed)
{
	return &feed->spec;
}

int feed_join(struct feed *feed, struct session *session)
{
	size_t count = feed->subscriber_count + 1;
	struct session **grown = reallocarray(feed->subscribers, count, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	feed->subscribers = grown;
	feed->subscribers[feed->subscriber_count++] = session;
	return 0;
}

void feed_leave(struct feed *feed, struct session *session)
{
	for (size_t i = 0; i < feed->subscriber_count; i++) {
		if (feed->subscribers[i] != session)
			continue;
		feed->subscribers[i] = feed->subscribers[--feed->subscriber_count];
		return;
	}
}

bool feed_has(const struct feed *feed, const struct session *session)
{
	for (size_t i = 0; i < feed->subscriber_count; i++)
		if (feed->subscribers[i] == session)
			return true;
	return false;
}

size_t feed_subscribers(const struct feed *feed)
{
	return feed->subscriber_count;
}

struct session *feed_subscriber(const struct feed *feed, size_t index)
{
	return feed->subscribers[index];
}

/* Encode once, send to one or all. Those for whom there is no memory are told of a loss. */
static void send_frame(struct feed *feed, const Taskmon__Frame *message, enum session_load load, size_t rows, struct session *only)
{
	struct frame *frame = frame_encode(message);

	if (only)
		session_send(only, frame, load, rows);
	else
		for (size_t i = 0; i < feed->subscriber_count; i++)
			session_send(feed->subscribers[i], frame, load, rows);
	frame_unref(frame);
}

static void send_samples(struct feed *feed, bool last)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Samples samples = TASKMON__SAMPLES__INIT;

	message.body_case = TASKMON__FRAME__BODY_SAMPLES;
	message.samples = &samples;
	samples.feed = feed->id;
	samples.tick = feed->tick_number;
	samples.tick_ns = feed->tick_ns;
	samples.wall_offset_ns = clock_wall_offset_ns();
	samples.last = last;
	samples.rows = rows_builder_message(feed->samples);
	send_frame(feed, &message, SESSION_SAMPLES, rows_builder_count(feed->samples), feed->only);
	rows_builder_reset(feed->samples);
}

uint64_t feed_due(const struct feed *feed)
{
	return feed->due_ns;
}

void feed_set_due(struct feed *feed, uint64_t due_ns)
{
	feed->due_ns = due_ns;
}

void feed_begin_tick(struct feed *feed, enum feed_tick kind, uint64_t tick_ns, struct session *only)
{
	feed->tick_number = kind == FEED_BASELINE ? 0 : feed->tick + 1;
	if (kind == FEED_REGULAR)
		feed->tick = feed->tick_number;
	feed->tick_ns = tick_ns;
	feed->in_tick = true;
	feed->only = kind == FEED_REGULAR ? NULL : only;
}

/* Add to a builder; when it is full, send what is in it and add again. */
static void add_row(struct feed *feed, struct rows_builder *builder, const struct task_record *record,
		    void (*make_room)(struct feed *feed))
{
	const char *cgroup = cgroup_path(feed->cgroups, record->cgroup_id);
	const char *rules = watches_rules_of(feed->watches, record);

	if (rows_builder_add(builder, record, cgroup, rules) == -ENOSPC) {
		make_room(feed);
		rows_builder_add(builder, record, cgroup, rules);
	}
}

static void send_full_samples(struct feed *feed)
{
	send_samples(feed, false);
}

/* With what the kernel side does not know: `record`, or a copy of it in `whole`. */
static const struct task_record *complete(const struct feed *feed, const struct task_record *record, struct task_record *whole)
{
	if (!feed->windows && !feed->smaps)
		return record;
	*whole = *record;
	if (feed->windows)
		windows_include(feed->windows, whole);
	if (feed->smaps)
		smaps_fill(feed->smaps, whole);
	return whole;
}

void feed_add_sample(struct feed *feed, const struct task_record *record)
{
	struct task_record whole;

	record = complete(feed, record, &whole);
	if (feed->smaps)
		smaps_wish(feed->smaps, record, feed->spec.interval_ns);
	add_row(feed, feed->samples, record, send_full_samples);
	if (feed->windows && feed->only && feed->subscriber_count > 1)
		windows_keep(feed->windows, record); /* for the others, whose window goes on */
}

void feed_keep_maxima(struct feed *feed, const struct task_record *record)
{
	if (feed->windows)
		windows_keep(feed->windows, record);
}

void feed_finish_tick(struct feed *feed)
{
	send_samples(feed, true);
	if (feed->windows && !feed->only)
		windows_begin(feed->windows);
	feed->in_tick = false;
	feed->only = NULL;
}

static void send_events(struct feed *feed)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Events events = TASKMON__EVENTS__INIT;

	if (feed->event_count == 0)
		return;
	message.body_case = TASKMON__FRAME__BODY_EVENTS;
	message.events = &events;
	events.feed = feed->id;
	events.wall_offset_ns = clock_wall_offset_ns();
	events.events = feed->event_list;
	events.n_events = feed->event_count;
	send_frame(feed, &message, SESSION_EVENTS, feed->event_count, NULL);
	feed->event_count = 0;
}

static void send_ended(struct feed *feed)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Ended ended = TASKMON__ENDED__INIT;

	if (rows_builder_count(feed->ended) == 0)
		return;
	/* nobody shall get a row of a task after its last one */
	if (feed->in_tick && rows_builder_count(feed->samples) > 0)
		send_samples(feed, false);
	message.body_case = TASKMON__FRAME__BODY_ENDED;
	message.ended = &ended;
	ended.feed = feed->id;
	ended.wall_offset_ns = clock_wall_offset_ns();
	ended.rows = rows_builder_message(feed->ended);
	send_frame(feed, &message, SESSION_ENDED, rows_builder_count(feed->ended), NULL);
	rows_builder_reset(feed->ended);
}

/* The same from frame to frame, or the inexactness of reading two clocks would turn the order of neighbours. */
static int64_t calls_offset(struct feed *feed)
{
	int64_t offset_ns = clock_wall_offset_ns();

	if (llabs(offset_ns - feed->calls_offset_ns) > CLOCK_SET_NS)
		feed->calls_offset_ns = offset_ns;
	return feed->calls_offset_ns;
}

static void send_hits(struct feed *feed)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__ProbeHits *hits;

	if (!feed->hits || hits_count(feed->hits) == 0)
		return;
	hits = hits_message(feed->hits);
	hits->feed = feed->id;
	hits->wall_offset_ns = calls_offset(feed);
	message.body_case = TASKMON__FRAME__BODY_PROBE_HITS;
	message.probe_hits = hits;
	send_frame(feed, &message, SESSION_PROBES, hits_count(feed->hits), NULL);
	hits_reset(feed->hits);
}

void feed_add_hit(struct feed *feed, const struct probe_hit *hit, size_t size, u32 number, const struct declaration *declaration)
{
	if (hits_add(feed->hits, hit, size, number, declaration) != -ENOSPC)
		return;
	send_hits(feed);
	hits_add(feed->hits, hit, size, number, declaration);
}

void feed_send_syscalls(struct feed *feed)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;

	if (!feed->calls || calls_builder_count(feed->calls) == 0)
		return;
	message.body_case = TASKMON__FRAME__BODY_SYSCALLS;
	message.syscalls = calls_builder_message(feed->calls);
	message.syscalls->feed = feed->id;
	message.syscalls->wall_offset_ns = calls_offset(feed);
	send_frame(feed, &message, SESSION_SYSCALLS, calls_builder_count(feed->calls), NULL);
	calls_builder_reset(feed->calls);
}

void feed_add_syscall(struct feed *feed, const struct syscall_record *record)
{
	if (calls_builder_add(feed->calls, record) == 0)
		return;
	feed_send_syscalls(feed);
	calls_builder_add(feed->calls, record);
}

/*
 * System calls first: nothing comes after the last row of a task. Then events: who counts processes must hear of a fork
 * before the end of its parent.
 */
void feed_flush(struct feed *feed)
{
	if (feed->calls && (feed->event_count || rows_builder_count(feed->ended)))
		streams_drain(feed->streams);
	send_events(feed);
	send_hits(feed);
	send_ended(feed);
}

static Taskmon__Event *next_event(struct feed *feed, const char *comm, const char *old_comm)
{
	struct event_slot *slot;

	if (feed->event_count == EVENTS_PER_FRAME)
		feed_flush(feed);
	slot = &feed->events[feed->event_count++];
	taskmon__event__init(&slot->message);
	memcpy(slot->comm, comm, TASK_COMM_BYTES);
	memcpy(slot->old_comm, old_comm, TASK_COMM_BYTES);
	slot->message.comm.data = (uint8_t *)slot->comm;
	slot->message.comm.len = strnlen(slot->comm, TASK_COMM_BYTES);
	slot->message.old_comm.data = (uint8_t *)slot->old_comm;
	slot->message.old_comm.len = strnlen(slot->old_comm, TASK_COMM_BYTES);
	return &slot->message;
}

void feed_add_event(struct feed *feed, const struct task_event *event)
{
	static const Taskmon__Event__Type types[] = {
		[RECORD_FORK] = TASKMON__EVENT__TYPE__FORK,
		[RECORD_EXEC] = TASKMON__EVENT__TYPE__EXEC,
		[RECORD_RENAME] = TASKMON__EVENT__TYPE__RENAME,
	};
	Taskmon__Event *message;

	if (!feed->spec.events)
		return;
	message = next_event(feed, event->comm, event->old_comm);
	message->type = types[event->type];
	message->time_ns = event->time_ns;
	message->start_time = event->start_time_ns;
	message->tid = event->tid;
	message->tgid = event->tgid;
	message->uid = event->uid;
	message->other_tid = event->other_tid;
}

void feed_add_end(struct feed *feed, const struct task_record *record)
{
	static const char no_name[TASK_COMM_BYTES];
	struct task_record whole;

	record = complete(feed, record, &whole);
	if (feed->windows)
		windows_forget(feed->windows, record);
	if (feed->spec.events && !(record->flags & RECORD_RETIRED)) {
		Taskmon__Event *message = next_event(feed, record->comm, no_name);

		message->type = TASKMON__EVENT__TYPE__EXIT;
		message->time_ns = record->time_ns;
		message->start_time = record->start_time_ns;
		message->tid = record->tid;
		message->tgid = record->tgid;
		message->uid = record->uid;
		message->exit_status = record->exit_status;
	}
	add_row(feed, feed->ended, record, feed_flush);
}
