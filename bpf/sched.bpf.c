// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The longest stretches off the CPU, waiting for I/O and waiting for a CPU; delivered signals.
 */
#include "stretch.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline void leave_cpu(struct task_struct *task, u64 now)
{
	struct thread_state *thread = bpf_task_storage_get(&threads, task, NULL, 0);

	if (!thread)
		return;
	thread->off_since_ns = now;
	thread->io_wait = BPF_CORE_READ_BITFIELD(task, in_iowait);
	thread->epoch = settings.epoch;
}

/*
 * How long it has waited for this CPU, as the kernel is about to add to run_delay: sched_info_arrive(), kernel/sched/stats.h,
 * runs right after this event with the same clock of the run queue.
 */
static __always_inline u64 delay_of(struct task_struct *task)
{
	u64 queued = task->sched_info.last_queued;
	u64 clock;

	if (!queued || !HAS_RUN_QUEUE)
		return 0;
	clock = BPF_CORE_READ(task, se.cfs_rq, rq, clock);
	return clock > queued ? clock - queued : 0;
}

static __always_inline void reach_cpu(struct task_struct *task, u64 now)
{
	struct thread_state *thread = bpf_task_storage_get(&threads, task, NULL, 0);
	struct process_state *process;
	u64 off, delay;

	if (!thread)
		return;
	process = hooked(task);
	if (!process)
		return;
	delay = delay_of(task);
	keep_longest(&thread->figure[F_task_run_delay_max], delay);
	keep_longest(&process->figure[F_task_run_delay_max], delay);
	if (!thread->off_since_ns || thread->epoch != settings.epoch)
		return;
	off = now - thread->off_since_ns;
	keep_longest(&thread->figure[F_task_switch_offcpu_time_max], off);
	keep_longest(&process->figure[F_task_switch_offcpu_time_max], off);
	if (thread->io_wait) {
		keep_longest(&thread->figure[F_task_io_wait_time_max], off);
		keep_longest(&process->figure[F_task_io_wait_time_max], off);
	}
	thread->off_since_ns = 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *previous, struct task_struct *next)
{
	u64 now = bpf_ktime_get_boot_ns();

	leave_cpu(previous, now);
	reach_cpu(next, now);
	return 0;
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(on_signal, int number)
{
	count(bpf_get_current_task_btf(), F_task_signal_count, 1);
	return 0;
}
