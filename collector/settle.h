/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was sent of a thread limits what is sent of it next: counters never go back, and on-CPU time never grows faster than
 * time. The kernel's figures alone do not promise that (a running thread's is an estimate, user and system time are samples
 * that are scaled), and a memory in the kernel's task storage would cost more cache misses than all the rest of a record.
 */
#ifndef TASKMON_SETTLE_H
#define TASKMON_SETTLE_H

#include "record.h"

struct settler;

/** NULL when out of memory. */
struct settler *settler_new(void);
void settler_free(struct settler *settler);

/** Settle the record of a thread, in place; one of a process is settled already. Cheapest in the order of the last pass. */
void settle(struct settler *settler, struct task_record *record);
/** Likewise its final record; then the thread is forgotten. */
void settle_end(struct settler *settler, struct task_record *record);

/** Forget threads of which nothing was sent since then (CLOCK_BOOTTIME): their watch is gone. */
void settle_forget(struct settler *settler, u64 before_ns);

#endif
