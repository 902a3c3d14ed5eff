// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * System calls: how many, and how many failed.
 */
#include "charge.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* A result in this range is an error: IS_ERR_VALUE(), include/linux/err.h. */
#define MAX_ERRNO 4095

/* Errors that are no failure of what was tried: errno.h, and include/linux/errno.h for the restarts. */
static __always_inline bool is_soft(long error)
{
	switch (error) {
	case 4:   /* EINTR */
	case 11:  /* EAGAIN */
	case 110: /* ETIMEDOUT */
	case 115: /* EINPROGRESS */
	case 512: /* ERESTARTSYS */
	case 513: /* ERESTARTNOINTR */
	case 514: /* ERESTARTNOHAND */
	case 516: /* ERESTART_RESTARTBLOCK */
		return true;
	}
	return false;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter)
{
	count(bpf_get_current_task_btf(), F_task_syscall_count, 1);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long result)
{
	struct task_struct *task;
	struct process_state *state;

	if (result >= 0 || result < -MAX_ERRNO)
		return 0;
	task = bpf_get_current_task_btf();
	state = hooked(task);
	if (!state)
		return 0;
	count_in(state, task, F_task_syscall_fails, 1);
	if (!is_soft(-result))
		count_in(state, task, F_task_syscall_fails_hard, 1);
	return 0;
}
