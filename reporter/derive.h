/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Second stage: what happened since the previous sample of the same task. A window begins at the previous sample, or
 * at the start of a task that started while it was watched; a task that was there before and is seen for the first
 * time has none, rather than a partial one.
 */
#ifndef TASKMON_DERIVE_H
#define TASKMON_DERIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "row.h"

struct derive;

/** Deltas of these metrics (bit per enum metric_id) are wanted; `threads`: rows are threads. NULL: out of memory. */
struct derive *derive_new(uint64_t deltas, bool threads);
void derive_free(struct derive *derive);

/** Nothing is missed from this instant on, CLOCK_BOOTTIME. */
void derive_arm(struct derive *derive, uint64_t armed_ns);

/** What was seen so far is not continued: until derive_arm(), nothing is known of any task. */
void derive_restart(struct derive *derive);

/** Fill window_ns, delta_present and delta[] of the row. Returns 0 or -ENOMEM. */
int derive_row(struct derive *derive, struct row *row);

/** An exec may give the identity of the main thread to another thread. Returns 0 or -ENOMEM. */
int derive_event(struct derive *derive, const struct event *event);

/** A tick is complete: tasks that were not in it, nor in the one before, have vanished. */
void derive_tick_complete(struct derive *derive, uint64_t tick_ns);

/**
 * CPU time over elapsed time within the window, in hundredths of a percent: 10000 is one whole CPU. False: the row
 * has no window.
 */
bool derive_cpu_percent(const struct row *row, uint64_t *hundredths);

#endif
