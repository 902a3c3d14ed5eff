/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * top(1) as a source of shares of the CPU. It is forked early, as a command is, and gets nothing of this program: no
 * files, no signals, not the terminal; it ends with us, whatever ends us.
 */
#ifndef TASKMON_TOP_H
#define TASKMON_TOP_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "launch.h"
#include "top_output.h"

struct top_callbacks {
	/** A picture is complete. Non-zero: no more is wanted. */
	int (*picture)(void *context, struct top_figures *figures);
	/** It has ended, although nobody told it to; why has been logged. */
	void (*lost)(void *context);
};

struct top {
	struct launch launch;
	int output_fd;
	uv_pipe_t pipe;
	uv_timer_t quiet; /* pictures whose number of tasks is not told end with a pause */
	struct top_output output;
	const struct top_callbacks *callbacks;
	void *context;
	bool has_picture;
	char first[256]; /* what it said first, in case that it says no more */
	size_t first_used;
	char bytes[32 << 10];
};

/** Fork it. Returns 0 or a negative errno. */
int top_prepare(struct top *top, uint64_t interval_ns, bool threads);

/** Let it begin. Returns 0 or a negative errno after it has been logged. */
int top_start(struct top *top, uv_loop_t *loop, const struct top_callbacks *callbacks, void *context);

/** End it; no callback comes after this. Its handles are closed by the loop's owner. */
void top_stop(struct top *top);
void top_free(struct top *top);

#endif
