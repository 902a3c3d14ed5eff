/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maxima of a feed's open window. Reading a task ends its window in the kernel, for whichever feed that was done; every other
 * feed that wants maxima keeps what was read until its own tick.
 */
#ifndef TASKMON_WINDOW_H
#define TASKMON_WINDOW_H

#include "record.h"

struct windows;

/** NULL when out of memory. */
struct windows *windows_new(void);
void windows_free(struct windows *windows);

/** Keep the maxima of a record that was read for others. Without memory they are lost, which is logged. */
void windows_keep(struct windows *windows, const struct task_record *record);
/** Raise the maxima of a record to what was kept of its task. */
void windows_include(const struct windows *windows, struct task_record *record);
/** A task has ended. */
void windows_forget(struct windows *windows, const struct task_record *record);
/** A new window begins for all tasks. */
void windows_begin(struct windows *windows);

#endif
