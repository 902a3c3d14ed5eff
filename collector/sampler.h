/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When the kernel is read: a pass over all tasks for the feeds that are due, and the lifecycle ring.
 */
#ifndef TASKMON_SAMPLER_H
#define TASKMON_SAMPLER_H

#include <uv.h>

#include "dispatch.h"
#include "streams.h"
#include "watch.h"

struct sampler {
	struct kernel *kernel;
	struct watches *watches;
	struct dispatch *dispatch;
	struct streams *streams;
	uv_timer_t stream; /* the next look at the rings of system calls */
	uv_timer_t tick;   /* the next due feed */
	uv_timer_t gather; /* the pause between the first record in the ring and taking them all */
	uv_poll_t ring;
	u64 skipped; /* programs, as of the last pass that judged all tasks */
};

int sampler_start(struct sampler *sampler, uv_loop_t *loop, struct kernel *kernel, struct watches *watches,
		  struct dispatch *dispatch, struct streams *streams);
/** Close the handles; the loop must run once more. */
void sampler_stop(struct sampler *sampler);

/** Take all lifecycle records that wait and send them. */
void sampler_drain(struct sampler *sampler);
/** And all system calls. */
void sampler_drain_all(struct sampler *sampler);

/**
 * Judge all tasks, send `session` the baseline of a feed that it has just joined, and see to its ticks from now on.
 */
int sampler_baseline(struct sampler *sampler, struct feed *feed, struct session *session);

/** Send `session` a last tick of a feed that it is about to leave. */
int sampler_closing_tick(struct sampler *sampler, struct feed *feed, struct session *session);

/** Set the timer again after feeds came or went. */
void sampler_reschedule(struct sampler *sampler);

#endif
