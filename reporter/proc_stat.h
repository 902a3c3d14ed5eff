/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/PID/stat and what else is read beside it. Times of these files are in ticks of USER_HZ, sysconf(_SC_CLK_TCK).
 */
#ifndef TASKMON_PROC_STAT_H
#define TASKMON_PROC_STAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROC_COMM_BYTES = 64,     /* TASK_COMM_LEN; of a kernel worker up to 63 bytes */
	PROC_CGROUP_BYTES = 4096, /* PATH_MAX */
};

struct proc_stat {
	char comm[PROC_COMM_BYTES]; /* as the kernel has it, terminated */
	uint64_t state;             /* field 3, a letter */
	uint64_t ppid;              /* 4 */
	uint64_t minor_faults;      /* 10 */
	uint64_t major_faults;      /* 12 */
	uint64_t user_ticks;        /* 14 */
	uint64_t system_ticks;      /* 15 */
	uint64_t children_ticks;    /* 16 + 17: of children that were waited for */
	uint64_t threads;           /* 20 */
	uint64_t start_ticks;       /* 22, since boot */
	uint64_t vm_bytes;          /* 23 */
	uint64_t rss_pages;         /* 24 */
};

/** The text of a stat file, whatever the name in it. False: it is not one. */
bool proc_stat_parse(const char *text, size_t size, struct proc_stat *stat);

/**
 * Of a process (`tid` 0), or of one of its threads. Returns 0, -ENOENT (it has gone), or another negative errno.
 */
int proc_stat_read(uint32_t pid, uint32_t tid, struct proc_stat *stat);

/** Has all of the process ended, though nobody has waited for it yet? `stat` is that of the process. */
bool proc_stat_is_over(const struct proc_stat *stat);

uint64_t proc_ticks_to_ns(uint64_t ticks);

/** Real user id and thread group, of /proc/PID/status. Returns as proc_stat_read(). */
int proc_status_read(uint32_t pid, uint32_t *uid, uint32_t *tgid);

/** The path in the cgroup v2 hierarchy; empty if it cannot be known. */
void proc_cgroup_read(uint32_t pid, char out[PROC_CGROUP_BYTES]);

#endif
