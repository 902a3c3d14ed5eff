/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that does one thing with CAP_SYS_ADMIN, so that the collector need not keep it: perf_event_open(2) of uprobes asks for it
 * since 6.16 and in stable versions of older series (commit ba677dbe77af, "perf: Revert to requiring CAP_SYS_ADMIN for
 * uprobes"). Links of uprobe_multi do without, but there are none before 6.6, and none for a process whose main thread has left.
 */
#ifndef TASKMON_UPROBE_OPENER_H
#define TASKMON_UPROBE_OPENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * Start it, before privilege_drop() and before anything is open that it must not inherit; it ends with this process. Without
 * CAP_SYS_ADMIN nothing is started: then the kernel decides what is possible.
 */
int uprobe_opener_start(void);

/** End it, and wait for that. */
void uprobe_opener_stop(void);

/**
 * A perf event on the uprobe at `offset` of an open file, for one thread. Here, or by that process if the kernel wants
 * it so. Any thread may call. Returns a descriptor or a negative errno.
 */
int uprobe_opener_open(int file_fd, uint64_t offset, uint32_t pmu_type, uint64_t config, pid_t tid);

#endif
