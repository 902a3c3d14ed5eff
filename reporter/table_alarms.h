/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which tasks are in alarm, as events tell: "alarm" raises one of a task, "clear" ends one.
 */
#ifndef TASKMON_TABLE_ALARMS_H
#define TASKMON_TABLE_ALARMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "row.h"

/** Begin with NULL. */
struct table_alarms;

/** Take note of an event of any kind. Returns 0 or -ENOMEM. */
int table_alarms_event(struct table_alarms **alarms, const struct event *event);
bool table_alarms_has(const struct table_alarms *alarms, uint32_t tid, uint64_t start_time_ns);

/** The task has ended, and its alarms with it. */
void table_alarms_forget(struct table_alarms **alarms, uint32_t tid, uint64_t start_time_ns);

/** Tasks in alarm. */
size_t table_alarms_count(const struct table_alarms *alarms);
void table_alarms_free(struct table_alarms **alarms);

#endif
