/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * On-CPU time to the microsecond. The kernel adds the time of a running task to sum_exec_runtime at each tick and
 * switch, so its figure is up to 4 ms old, and a process that lives for less than that may have none at all when it
 * exits. What is missing is the time since exec_start on the run queue's clock. That clock stands still between
 * updates, but its distance from the boot clock is known (runtime.bpf.c), so its present value is too.
 */
#ifndef TASKMON_RUNTIME_BPF_H
#define TASKMON_RUNTIME_BPF_H

#include "maps.bpf.h"

#include <bpf/bpf_core_read.h>

#define HAS_RUN_QUEUE bpf_core_field_exists(struct cfs_rq, rq) /* CONFIG_FAIR_GROUP_SCHED */

/*
 * A scheduler tick; the collector sets it. More than that is not owed to a task: a virtual CPU that the host has taken
 * away runs nothing, and the run queue's clock will not count that time. (On a CPU in full dynticks mode, whose ticks
 * are a second apart, the figure stays the kernel's but for one tick.)
 */
const volatile u64 tick_ns __weak = 4000000;

/* Two ways to read the same fields: a typed task directly, any other address through a checked copy. */
#define READ_DIRECT(task, field) ((task)->field)
#define READ_CHECKED(task, field) BPF_CORE_READ(task, field)

/* on_cpu is an int up to 6.18, a u8 in 7.x: read as wide as it is. */
#define READ_DIRECT_ON_CPU(task) BPF_CORE_READ_BITFIELD(task, on_cpu)
#define READ_CHECKED_ON_CPU(task) BPF_CORE_READ_BITFIELD_PROBED(task, on_cpu)

/* How long a task waits for a CPU by now; `queued`: its sched_info.last_queued, 0 if it does not. */
static __always_inline u64 wait_so_far(u64 queued, u64 now)
{
	return queued && clock_distance && now > clock_distance + queued ? now - clock_distance - queued : 0;
}

static __always_inline u64 lag_of(struct rq *rq, u64 started, u64 now)
{
	/* in this order, an update in between can only make the result too small */
	u64 clock_task = BPF_CORE_READ(rq, clock_task);
	u64 clock = BPF_CORE_READ(rq, clock);
	s64 lag = (clock_task - started) + (now - clock_distance - clock);

	if (lag < 0)
		return 0;
	return (u64)lag < tick_ns ? lag : tick_ns;
}

/** sum_exec_runtime as an update at `now` would leave it. */
#define runtime_at(task, now, READ)                                                              \
	({                                                                                       \
		u64 runtime__ = READ(task, se.sum_exec_runtime);                                 \
                                                                                                 \
		if (HAS_RUN_QUEUE && clock_distance && READ##_ON_CPU(task)) {                    \
			u64 started__ = READ(task, se.exec_start);                               \
                                                                                                 \
			runtime__ += lag_of(BPF_CORE_READ(task, se.cfs_rq, rq), started__, now); \
		}                                                                                \
		runtime__;                                                                       \
	})

#endif
