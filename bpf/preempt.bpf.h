/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Tracepoint programs run with preemption off up to 6.18; in 7.x they can be preempted. The scratch memory is per CPU, so
 * programs turn preemption off themselves where the kernel lets them (6.10). What that cannot prevent is that a task is
 * scheduled away at the very end of a program: until it comes back, the kernel skips that program on that CPU. It counts
 * this (recursion_misses), and so do we; final records of tasks whose exit was skipped are sent when they are freed, or
 * by the next pass (ended_unseen() of sample.bpf.h).
 *
 * Programs on functions of programs can be preempted on every kernel that has preemption, and the kernel then skips nothing. But since
 * 6.13 the JIT compiler gives a program with 64 bytes of stack or more one stack per CPU (BPF_PRIV_STACK_MIN_SIZE,
 * kernel/bpf/verifier.c), which it takes for safe: two threads that are in the program on one CPU overwrite each other's variables. So
 * all that they do is in a function that is called without preemption, and the program itself has no stack.
 */
#ifndef TASKMON_PREEMPT_BPF_H
#define TASKMON_PREEMPT_BPF_H

#include "kernel_types.h"

#include <bpf/bpf_helpers.h>

/* bpftool 7.1 links a function of the kernel into one object only: lifecycle.bpf.c has these for all. */
void forbid_preemption(void);
void allow_preemption(void);

/** Run a statement without preemption. */
#define WITHOUT_PREEMPTION(statement) \
	do {                          \
		forbid_preemption();  \
		statement;            \
		allow_preemption();   \
	} while (0)

#endif
