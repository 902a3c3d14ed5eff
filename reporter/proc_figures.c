/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc_figures.h"

#include <unistd.h>

#include "metric.h"

/* By how much a gain between two readings may be off: user and system time, a tick each. */
static uint64_t resolution_ns(void)
{
	return 2 * proc_ticks_to_ns(1);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void proc_clock_begin(struct proc_clock *clock, uint64_t start_time_ns)
{
	*clock = (struct proc_clock){ .time_ns = start_time_ns, .threads = 1 };
}

static uint64_t elapsed_ns(const struct proc_clock *clock, const struct proc_reading *reading)
{
	return reading->time_ns > clock->time_ns ? reading->time_ns - clock->time_ns : 0;
}

static uint64_t gain_ns(const struct proc_clock *clock, const struct proc_reading *reading)
{
	return reading->used_ns > clock->on_cpu_ns ? reading->used_ns - clock->on_cpu_ns : 0;
}

bool proc_clock_fits(const struct proc_clock *clock, const struct proc_reading *reading)
{
	uint64_t most = elapsed_ns(clock, reading) + resolution_ns() + clock->slack_ns + reading->slack_ns;

	return reading->used_ns >= clock->on_cpu_ns && gain_ns(clock, reading) <= most;
}

/* Threads that lived between two readings are in the time of their process, but in neither number of threads. */
void proc_clock_advance(struct proc_clock *clock, const struct proc_reading *reading, unsigned int cpus)
{
	uint64_t elapsed = elapsed_ns(clock, reading), gain = gain_ns(clock, reading);
	uint64_t threads = reading->threads > clock->threads ? reading->threads : clock->threads;
	uint64_t most = least(threads, cpus) * elapsed;

	if (gain > most + resolution_ns() + clock->slack_ns + reading->slack_ns)
		most = cpus * elapsed;
	gain = least(gain, most);
	clock->on_cpu_ns += gain;
	clock->off_cpu_ns += threads * elapsed - least(gain, threads * elapsed);
	clock->time_ns = reading->time_ns;
	clock->slack_ns = reading->slack_ns;
	clock->threads = reading->threads;
}

uint64_t proc_metrics(const struct proc_stat *stat, bool thread, uint64_t value[METRIC_TOTAL])
{
	const struct {
		enum metric_id id;
		uint64_t value;
		bool known;
	} told[] = {
		{ M_task_utime_jiffies, stat->user_ticks, true },
		{ M_task_stime_jiffies, stat->system_ticks, true },
		{ M_task_minor_pagefault_count, stat->minor_faults, true },
		{ M_task_major_pagefault_count, stat->major_faults, true },
		{ M_task_vm_size, stat->vm_bytes, stat->vm_bytes }, /* else it has no memory of its own */
		{ M_task_pm_size, stat->rss_pages * (uint64_t)sysconf(_SC_PAGESIZE), stat->vm_bytes },
		{ M_task_thread_count, stat->threads, true },
		{ M_task_state, stat->state, true },
	};
	uint64_t present = 0;

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		if (!told[i].known || (thread && metrics[told[i].id].scope == METRIC_PROCESS))
			continue;
		value[told[i].id] = told[i].value;
		present |= METRIC_BIT(told[i].id);
	}
	return present;
}
