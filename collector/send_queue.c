/* SPDX-License-Identifier: BSD-2-Clause */
#include "send_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

enum {
	ANSWERS_BYTES_MAX = 1 << 20, /* what is never dropped must not grow for ever: many times the longest Welcome */
	SMALL_QUEUE_BYTES = 1 << 20, /* a quarter of it has just room for a frame */
};

struct queued_frame {
	TAILQ_ENTRY(queued_frame) link;
	struct frame *frame;
	enum session_load load;
	size_t rows;
};

static const Taskmon__Loss__Cause loss_cause_of[SESSION_LOADS] = {
	[SESSION_SYSCALLS] = TASKMON__LOSS__CAUSE__QUEUE_SYSCALLS, [SESSION_SAMPLES] = TASKMON__LOSS__CAUSE__QUEUE_SAMPLES,
	[SESSION_ENDED] = TASKMON__LOSS__CAUSE__QUEUE_ENDED,       [SESSION_EVENTS] = TASKMON__LOSS__CAUSE__QUEUE_EVENTS,
	[SESSION_PROBES] = TASKMON__LOSS__CAUSE__QUEUE_PROBES,
};

void send_queue_init(struct send_queue *queue, size_t limit)
{
	*queue = (struct send_queue){ .limit = limit };
	TAILQ_INIT(&queue->waiting);
	TAILQ_INIT(&queue->writing);
}

void send_queue_share(struct send_queue *queue, size_t *user_bytes, size_t user_bytes_max)
{
	queue->user_bytes = user_bytes;
	queue->user_bytes_max = user_bytes_max;
}

/* What waits counts for the client and for its user. */
static void count_bytes(struct send_queue *queue, size_t more, size_t less)
{
	queue->bytes += more - less;
	if (queue->user_bytes)
		*queue->user_bytes += more - less;
}

static int add(struct send_queue *queue, bool front, struct frame *frame, enum session_load load, size_t rows)
{
	struct queued_frame *entry = malloc(sizeof(*entry));

	if (!entry)
		return -ENOMEM;
	*entry = (struct queued_frame){ .frame = frame_ref(frame), .load = load, .rows = rows };
	if (front)
		TAILQ_INSERT_HEAD(&queue->waiting, entry, link);
	else
		TAILQ_INSERT_TAIL(&queue->waiting, entry, link);
	count_bytes(queue, frame->size, 0);
	queue->answers_bytes += load == SESSION_CONTROL ? frame->size : 0;
	queue->frames[load]++;
	return 0;
}

/* It does not wait any more. */
static void leave(struct send_queue *queue, struct queued_frame *entry)
{
	TAILQ_REMOVE(&queue->waiting, entry, link);
	queue->answers_bytes -= entry->load == SESSION_CONTROL ? entry->frame->size : 0;
	queue->frames[entry->load]--;
}

static void release(struct send_queue *queue, struct queued_frame *entry)
{
	count_bytes(queue, 0, entry->frame->size);
	frame_unref(entry->frame);
	free(entry);
}

static void drop(struct send_queue *queue, struct queued_frame *entry)
{
	queue->lost[loss_cause_of[entry->load]] += entry->rows;
	leave(queue, entry);
	release(queue, entry);
}

/* An empty queue takes anything, or a limit below the size of a frame would let nothing through. */
static bool fits(const struct send_queue *queue, size_t size)
{
	if (queue->bytes == 0)
		return true;
	if (queue->user_bytes && *queue->user_bytes + size > queue->user_bytes_max)
		return false;
	return queue->bytes + size <= queue->limit;
}

static void drop_oldest(struct send_queue *queue, enum session_load load, size_t size)
{
	struct queued_frame *entry = TAILQ_FIRST(&queue->waiting), *next;

	for (; entry && queue->frames[load] && !fits(queue, size); entry = next) {
		next = TAILQ_NEXT(entry, link);
		if (entry->load == load)
			drop(queue, entry);
	}
}

/*
 * Drop the oldest system calls, then samples, and when there are none, the oldest of what else can go, until `size`
 * bytes fit.
 */
static void make_room(struct send_queue *queue, size_t size)
{
	struct queued_frame *entry, *next;

	drop_oldest(queue, SESSION_SYSCALLS, size);
	drop_oldest(queue, SESSION_SAMPLES, size);
	for (entry = TAILQ_FIRST(&queue->waiting); entry && !fits(queue, size); entry = next) {
		next = TAILQ_NEXT(entry, link);
		if (entry->load != SESSION_CONTROL)
			drop(queue, entry);
	}
}

static int put_answer(struct send_queue *queue, struct frame *frame)
{
	if (queue->bytes > 2 * queue->limit + WIRE_SERVER_FRAME_MAX)
		return -ENOBUFS; /* it asks and asks, and does not read the answers */
	return frame ? add(queue, false, frame, SESSION_CONTROL, 0) : -ENOMEM;
}

int send_queue_put(struct send_queue *queue, struct frame *frame, enum session_load load, size_t rows)
{
	int err = -ENOMEM;

	if (load == SESSION_CONTROL)
		return put_answer(queue, frame);
	if (frame) {
		make_room(queue, frame->size);
		err = fits(queue, frame->size) ? add(queue, false, frame, load, rows) : -ENOBUFS;
	}
	if (err)
		queue->lost[loss_cause_of[load]] += rows;
	return err;
}

void send_queue_add_loss(struct send_queue *queue, Taskmon__Loss__Cause cause, uint64_t count)
{
	queue->lost[cause] += count;
}

bool send_queue_is_ignored(const struct send_queue *queue)
{
	return queue->answers_bytes > ANSWERS_BYTES_MAX;
}

bool send_queue_is_behind(const struct send_queue *queue)
{
	size_t quarter = queue->limit / 4;

	return queue->bytes > (queue->limit > SMALL_QUEUE_BYTES ? 3 * quarter : quarter);
}

/* What was dropped stood before what is still in the queue: so does the news of it. */
static void put_losses(struct send_queue *queue)
{
	Taskmon__Loss__Count counts[LOSS_CAUSES_WIRE], *list[LOSS_CAUSES_WIRE];
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Loss loss = TASKMON__LOSS__INIT;
	struct frame *frame;

	for (int cause = 0; cause < LOSS_CAUSES_WIRE; cause++) {
		if (!queue->lost[cause])
			continue;
		taskmon__loss__count__init(&counts[loss.n_counts]);
		counts[loss.n_counts].cause = (Taskmon__Loss__Cause)cause;
		counts[loss.n_counts].count = queue->lost[cause];
		list[loss.n_counts] = &counts[loss.n_counts];
		loss.n_counts++;
	}
	if (loss.n_counts == 0)
		return;
	loss.counts = list;
	message.body_case = TASKMON__FRAME__BODY_LOSS;
	message.loss = &loss;
	frame = frame_encode(&message);
	if (frame && add(queue, true, frame, SESSION_CONTROL, 0) == 0)
		memset(queue->lost, 0, sizeof(queue->lost));
	frame_unref(frame);
}

size_t send_queue_take(struct send_queue *queue, struct frame **frames, size_t most)
{
	struct queued_frame *entry;
	size_t count = 0;

	put_losses(queue);
	while (count < most && (entry = TAILQ_FIRST(&queue->waiting))) {
		leave(queue, entry);
		TAILQ_INSERT_TAIL(&queue->writing, entry, link);
		frames[count++] = entry->frame;
	}
	return count;
}

bool send_queue_is_writing(const struct send_queue *queue)
{
	return !TAILQ_EMPTY(&queue->writing);
}

void send_queue_written(struct send_queue *queue)
{
	struct queued_frame *entry;

	while ((entry = TAILQ_FIRST(&queue->writing))) {
		TAILQ_REMOVE(&queue->writing, entry, link);
		release(queue, entry);
	}
}

void send_queue_clear(struct send_queue *queue)
{
	struct queued_frame *entry;

	while ((entry = TAILQ_FIRST(&queue->waiting))) {
		leave(queue, entry);
		release(queue, entry);
	}
}
