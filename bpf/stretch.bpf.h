/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Stretches of time that a thread spends off its CPU, waiting for I/O or waiting for a CPU. A stretch belongs to the window in
 * which it ends; one that is still open counts with its length so far. A process has the longest of its threads, and
 * their storage is found only where the kernel shows each of them, so before a pass emits records, a first walk
 * over all threads notes what is open.
 */
#ifndef TASKMON_STRETCH_BPF_H
#define TASKMON_STRETCH_BPF_H

#include "charge.bpf.h"
#include "runtime.bpf.h"

struct stretches {
	u64 off_cpu_ns, io_wait_ns, run_delay_ns;
};

/* A thread that was off its CPU before it was watched: the run queue's clock tells since when. */
static __always_inline u64 time_since_it_ran(struct task_struct *task, u64 now)
{
	struct rq *rq;
	s64 length;

	if (!HAS_RUN_QUEUE || !clock_distance)
		return 0;
	rq = BPF_CORE_READ(task, se.cfs_rq, rq);
	length = (BPF_CORE_READ(rq, clock_task) - task->se.exec_start) + (now - clock_distance - BPF_CORE_READ(rq, clock));
	return length > 0 && (u64)length < now - task->start_boottime ? length : 0;
}

/** What is open of a thread that is not the current one's business. */
static __always_inline struct stretches open_stretches(struct thread_state *thread, struct task_struct *task, u64 now)
{
	struct stretches open = {};

	if (READ_DIRECT_ON_CPU(task))
		return open;
	if (thread->epoch != settings.epoch) {
		thread->off_since_ns = now - time_since_it_ran(task, now);
		thread->io_wait = BPF_CORE_READ_BITFIELD(task, in_iowait);
		thread->epoch = settings.epoch;
	}
	if (thread->off_since_ns && now > thread->off_since_ns) {
		open.off_cpu_ns = now - thread->off_since_ns;
		open.io_wait_ns = thread->io_wait ? open.off_cpu_ns : 0;
	}
	open.run_delay_ns = wait_so_far(task->sched_info.last_queued, now);
	return open;
}

#endif
