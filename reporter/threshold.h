/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Third stage: rows against thresholds. Each task has a state of its own under each threshold that is about it, so no alarm
 * mutes another; it goes when the task ends, vanishes or becomes another program. Alarms and their ends are events.
 */
#ifndef TASKMON_THRESHOLD_H
#define TASKMON_THRESHOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "row.h"
#include "threshold_rule.h"

struct thresholds;

/** Takes an event on. Returns 0 or a negative errno after it has been logged. */
typedef int (*threshold_emit)(void *context, const struct event *event);

/** `rules` must live as long. NULL: out of memory. */
struct thresholds *thresholds_new(const struct threshold_rules *rules, uint64_t interval_ns, threshold_emit emit, void *context);
void thresholds_free(struct thresholds *thresholds);

/**
 * Judge a row that derive.c has been through. `passes`: it is to be written. Like the next ones, returns 0, -ENOMEM, or
 * what `emit` returned.
 */
int thresholds_row(struct thresholds *thresholds, const struct row *row, bool *passes);

/** An exec makes another program of a task. */
int thresholds_event(struct thresholds *thresholds, const struct event *event);

/** A tick is complete: tasks that were not in it, nor in those before, have vanished. */
int thresholds_tick_complete(struct thresholds *thresholds);

/** What happened for a while is not known: everything is learned anew. */
int thresholds_gap(struct thresholds *thresholds);

#endif
