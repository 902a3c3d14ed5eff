/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames that wait for one client to read, within bounds: its own and those of its user. When they are reached what is
 * least missed goes, the oldest first, and how many rows that were is told before what is still there.
 */
#ifndef TASKMON_SEND_QUEUE_H
#define TASKMON_SEND_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "frame.h"

/** What a frame carries: decides what goes first when the queue is full. */
enum session_load {
	SESSION_CONTROL, /* never dropped */
	SESSION_SYSCALLS,
	SESSION_SAMPLES,
	SESSION_ENDED,
	SESSION_EVENTS,
	SESSION_PROBES,
	SESSION_LOADS
};

enum { LOSS_CAUSES_WIRE = TASKMON__LOSS__CAUSE__QUEUE_SYSCALLS + 1 }; /* the last of them, and one */

TAILQ_HEAD(queued_frames, queued_frame);

struct send_queue {
	struct queued_frames waiting; /* may still be dropped */
	struct queued_frames writing; /* handed to the kernel; may not */
	size_t limit, bytes;          /* of both */
	size_t answers_bytes;         /* of frames in `waiting` that are never dropped */
	size_t frames[SESSION_LOADS]; /* of each load in `waiting` */
	size_t *user_bytes;           /* what waits for the user; NULL: nobody counts it */
	size_t user_bytes_max;
	uint64_t lost[LOSS_CAUSES_WIRE];
};

void send_queue_init(struct send_queue *queue, size_t limit);

/** Count in `user_bytes`, too, which is the sum of all queues of a user, and not more than so many. */
void send_queue_share(struct send_queue *queue, size_t *user_bytes, size_t user_bytes_max);

/**
 * Append a frame (a reference is taken), with the number of rows or events that are lost if it must be dropped. A NULL
 * frame stands for one that could not be encoded and counts as dropped. Returns 0; -ENOBUFS if there is no room for it,
 * and -ENOMEM: then it counts as lost, if it is of those that may be.
 */
int send_queue_put(struct send_queue *queue, struct frame *frame, enum session_load load, size_t rows);

/** Rows that were lost elsewhere: told with those that are lost here. */
void send_queue_add_loss(struct send_queue *queue, Taskmon__Loss__Cause cause, uint64_t count);

/** More answers wait than a client would leave unread which reads them. */
bool send_queue_is_ignored(const struct send_queue *queue);

/** So much is in use that what can wait elsewhere should. */
bool send_queue_is_behind(const struct send_queue *queue);

/**
 * Take the next frames, `most` of them at most, to be written: they are the queue's until send_queue_written(), and until then there
 * are no others. Returns how many there are.
 */
size_t send_queue_take(struct send_queue *queue, struct frame **frames, size_t most);
bool send_queue_is_writing(const struct send_queue *queue);
void send_queue_written(struct send_queue *queue);

/** Let all go that waits; what is being written stays. */
void send_queue_clear(struct send_queue *queue);

#endif
