// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * What is behind the figures of tests/bench/syscall: programs on every system call that do nothing, or write a record
 * of 64 bytes into a BPF ring buffer and nothing else.
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
