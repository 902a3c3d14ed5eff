/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metrics of cost WALK: read by a thread of their own, only of processes that are wished for, in turn, and no faster
 * than a share of one CPU allows. Rows get what is known by then, with its age.
 */
#ifndef TASKMON_SMAPS_H
#define TASKMON_SMAPS_H

#include "record.h"

struct smaps;

/**
 * `share` of one CPU, above 0 and at most 1; processes with more than `max_rss` bytes resident are left out. The thread is
 * started by the first wish. NULL when out of memory.
 */
struct smaps *smaps_new(double share, u64 max_rss);
/** Ends the thread, after what it is reading. */
void smaps_free(struct smaps *smaps);

/** Have the process of a record read, for a row in `interval_ns` from now. One without memory is not. */
void smaps_wish(struct smaps *smaps, const struct task_record *process, u64 interval_ns);

/** Put what is known of the process into its record; what is not known stays absent. */
void smaps_fill(struct smaps *smaps, struct task_record *process);

/** The process executes another program: the old one's memory is gone. */
void smaps_restart(struct smaps *smaps, const struct task_event *exec);

/** The process has ended. */
void smaps_forget(struct smaps *smaps, const struct task_record *process);

/** Nobody asks any more. */
void smaps_forget_all(struct smaps *smaps);

#endif
