/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From what /proc/PID/stat tells to metrics. It counts CPU time in ticks of 10 ms, user and system time each rounded
 * down, so that between two readings a task may seem to use up to two ticks more than there was time. Such an excess
 * is kept for the next window: a thread never reads above 100 %, and nothing is lost.
 */
#ifndef TASKMON_PROC_FIGURES_H
#define TASKMON_PROC_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "proc_stat.h"
#include "record.h"

/** The counters of a task, as they were told last. */
struct proc_clock {
	uint64_t time_ns;  /* CLOCK_BOOTTIME of the reading */
	uint64_t slack_ns; /* how far that may be from the instant at which the kernel counted */
	uint64_t threads;
	uint64_t on_cpu_ns, off_cpu_ns; /* since the task began; off: the rest, also waiting for a CPU */
};

/** One reading. */
struct proc_reading {
	uint64_t time_ns, slack_ns; /* as above */
	uint64_t used_ns;           /* CPU time since the task began */
	uint64_t threads;           /* that live; of a thread: 1 */
};

void proc_clock_begin(struct proc_clock *clock, uint64_t start_time_ns);

/** `cpus`: how many there are. */
void proc_clock_advance(struct proc_clock *clock, const struct proc_reading *reading, unsigned int cpus);

/**
 * Can this reading of a thread be of the same one? An exec gives the number of the main thread to the one that called,
 * and the counters with it.
 */
bool proc_clock_fits(const struct proc_clock *clock, const struct proc_reading *reading);

/** The metrics that there can be, bit per enum metric_id. */
#define PROC_METRICS                                                                                                      \
	(METRIC_BIT(M_task_utime_jiffies) | METRIC_BIT(M_task_stime_jiffies) | METRIC_BIT(M_task_minor_pagefault_count) | \
	 METRIC_BIT(M_task_major_pagefault_count) | METRIC_BIT(M_task_vm_size) | METRIC_BIT(M_task_pm_size) |             \
	 METRIC_BIT(M_task_state) | METRIC_BIT(M_task_thread_count) | METRIC_BIT(M_task_on_cpu_ns))

/** Those that `stat` tells but for CPU time in ns, as `value` and its presence bitmap. `thread`: of one thread. */
uint64_t proc_metrics(const struct proc_stat *stat, bool thread, uint64_t value[METRIC_TOTAL]);

#endif
