/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * source → select → derive → threshold → writers. A source (source.c) calls these with what it gets, in the order in
 * which it gets it.
 */
#ifndef TASKMON_PIPELINE_H
#define TASKMON_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"
#include "progress.h"
#include "row.h"
#include "writer.h"

struct pipeline;

/**
 * A pipeline for what the options ask for, with its writers: outputs have been created but not emptied. NULL after the
 * cause has been logged; errno EEXIST: a file that was to be continued has another header. With `other`: only the module
 * cpu, of another source beside that pipeline, which must be freed later.
 */
struct pipeline *pipeline_new(const struct options *options, const struct pipeline *other);

/** Closes the outputs. Returns 0 or a negative errno if one failed. */
int pipeline_free(struct pipeline *pipeline);

/** Metrics that its stages need, bit per enum metric_id. */
uint64_t pipeline_needs(const struct pipeline *pipeline);

/** Writers begin. */
int pipeline_begin(struct pipeline *pipeline);

/** Nothing is missed from this instant on, CLOCK_BOOTTIME. */
void pipeline_arm(struct pipeline *pipeline, uint64_t armed_ns);

/** Each returns 0 or a negative errno after the cause has been logged. */
int pipeline_row(struct pipeline *pipeline, struct row *row);
int pipeline_event(struct pipeline *pipeline, const struct event *event);
/** Calls of tasks that are not `selected` are left out. */
int pipeline_calls(struct pipeline *pipeline, const struct calls *calls);
int pipeline_hit(struct pipeline *pipeline, const struct hit *hit);
/** Are the system calls of this process to be written? */
bool pipeline_selects_calls(const struct pipeline *pipeline, uint32_t tgid);
int pipeline_loss(struct pipeline *pipeline, const struct loss *loss);
/** The source is lost; what comes later begins with a baseline again. */
int pipeline_gap(struct pipeline *pipeline, const struct gap *gap);
/** What came through so far: rows, losses, gaps and bytes. */
void pipeline_progress(const struct pipeline *pipeline, struct progress *progress);

/** Open the files anew by their names. */
int pipeline_reopen(struct pipeline *pipeline);
/** The terminal has another size. */
int pipeline_resized(struct pipeline *pipeline);
int pipeline_tick_complete(struct pipeline *pipeline, uint64_t tick_ns);

/** Processes of the subscription that are alive; not known where everything is selected, as nothing ends with them. */
size_t pipeline_live(const struct pipeline *pipeline);

/** In a gap: this process has ended. False: it was not known. */
bool pipeline_forget(struct pipeline *pipeline, uint32_t tgid);

/** In a gap: forget what has ended, as far as this process can see that for itself. */
void pipeline_forget_gone(struct pipeline *pipeline);

/** What is to be watched after a gap, as processes_roots(). */
size_t pipeline_roots(const struct pipeline *pipeline, uint32_t *tgids, uint64_t *start_times_ns, size_t room);

#endif
