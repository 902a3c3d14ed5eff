/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source of the pipeline that needs no collector: what /proc tells at each tick. What happens between two ticks it
 * cannot see: a process that began and ended there; a child whose parent has gone by then; and the last window of a
 * process, unless it waits to be waited for when it is looked at (as a command that we started does).
 */
#ifndef TASKMON_SOURCE_PROC_H
#define TASKMON_SOURCE_PROC_H

#include <stdbool.h>
#include <stdint.h>

#include "pipeline.h"

struct source_proc;
struct top_figures;

struct source_proc_settings {
	bool all;      /* not only what is named */
	bool children; /* what the watched processes start is watched, too */
	bool threads;  /* rows are threads */
};

/** NULL: out of memory. */
struct source_proc *source_proc_new(const struct source_proc_settings *settings, struct pipeline *pipeline);
void source_proc_free(struct source_proc *source);

/** Watch a process. Returns 0, -ENOENT if there is none, or another negative errno. */
int source_proc_name(struct source_proc *source, uint32_t pid);

/**
 * Read everything and hand over a tick; the first is the baseline. With `top`, the share of the CPU is what that says.
 * Returns 0 or a negative errno after it has been logged.
 */
int source_proc_tick(struct source_proc *source, const struct top_figures *top);

/** A process has ended: its last rows, with what can still be known. Returns as source_proc_tick(). */
int source_proc_end(struct source_proc *source, uint32_t pid);

#endif
