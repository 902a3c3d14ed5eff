// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * How far the boot clock is ahead of the run queues' clock. The collector calls this right after sched_yield(2), in
 * which the scheduler updates the clock of its run queue, and takes the least of a few answers.
 */
#include "runtime.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("syscall")
int measure_clock_distance(void *context)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 distance, clock;

	if (!HAS_RUN_QUEUE)
		return -1;
	clock = BPF_CORE_READ(task, se.cfs_rq, rq, clock);
	distance = bpf_ktime_get_boot_ns() - clock;
	if (distance < least_clock_distance)
		least_clock_distance = distance;
	return 0;
}
