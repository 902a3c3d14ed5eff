// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The least that BPF programs can cost: on every system call, they do nothing, or write a record of 64 bytes into a BPF ring
 * buffer; on malloc and free, they do nothing; of all tasks, an iterator that writes such a record of each.
 */
#include "kernel_types.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile unsigned int tgid;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} ring SEC(".maps");

unsigned long long lost;

static __always_inline int write_record(u64 value)
{
	u64 *record;

	if (bpf_get_current_pid_tgid() >> 32 != tgid)
		return 0;
	record = bpf_ringbuf_reserve(&ring, 64, 0);
	if (!record) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	record[0] = bpf_ktime_get_boot_ns();
	record[1] = value;
	record[2] = bpf_get_current_pid_tgid();
	bpf_get_current_comm(&record[3], 16);
	record[5] = record[6] = record[7] = 0;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(ring_enter, struct pt_regs *regs, long number)
{
	return write_record(number);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(ring_leave, struct pt_regs *regs, long result)
{
	return write_record(result);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(empty_enter, struct pt_regs *regs, long number)
{
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(empty_leave, struct pt_regs *regs, long result)
{
	return 0;
}

SEC("uprobe")
int probe_enter(struct pt_regs *regs)
{
	return 0;
}

SEC("uretprobe")
int probe_leave(struct pt_regs *regs)
{
	return 0;
}

SEC("iter/task")
int walk(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	u64 record[8];

	if (!task)
		return 0;
	record[0] = (u64)task->tgid << 32 | (u64)task->pid;
	record[1] = task->start_boottime;
	record[2] = task->se.sum_exec_runtime;
	record[3] = task->sched_info.run_delay;
	record[4] = task->nvcsw;
	record[5] = task->nivcsw;
	record[6] = task->min_flt;
	record[7] = task->maj_flt;
	bpf_seq_write(ctx->meta->seq, record, sizeof(record));
	return 0;
}
