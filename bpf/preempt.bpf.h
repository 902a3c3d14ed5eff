/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Tracepoint programs run with preemption off up to 6.18; in 7.x they can be preempted. The scratch memory is per CPU, so
 * programs turn preemption off themselves where the kernel lets them (6.10). What that cannot prevent is that a task is
 * scheduled away at the very end of a program: until it comes back, the kernel skips that program on that CPU. It counts
 * this (recursion_misses), and so do we; final records of tasks whose exit was skipped are sent when they are freed.
 */
#ifndef TASKMON_PREEMPT_BPF_H
#define TASKMON_PREEMPT_BPF_H

#include "kernel_types.h"

#include <bpf/bpf_helpers.h>

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

/** Run a statement without preemption. */
#define WITHOUT_PREEMPTION(statement)              \
	do {                                       \
		if (bpf_preempt_disable)           \
			bpf_preempt_disable();     \
		statement;                         \
		if (bpf_preempt_disable)           \
			bpf_preempt_enable();      \
	} while (0)

#endif
