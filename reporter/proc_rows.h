/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the source share: source_proc.c (who is watched), proc_rows.c (what is told of them).
 */
#ifndef TASKMON_PROC_ROWS_H
#define TASKMON_PROC_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "hash.h"
#include "proc_figures.h"
#include "source_proc.h"

/* What a row is about: a process, or one of its threads. */
struct task {
	uint32_t tid;
	UT_hash_handle hh;
	uint64_t start_ticks;
	uint64_t seen; /* the scan */
	bool over;     /* and told */
	struct proc_clock clock;
	char comm[PROC_COMM_BYTES];
};

struct process {
	uint32_t pid;
	UT_hash_handle hh;
	uint32_t ppid, uid;
	uint64_t start_ticks;
	uint64_t seen;
	bool over;
	char comm[PROC_COMM_BYTES];
	char *cgroup; /* NULL: not known */
	struct task *tasks;
};

/* A process as a scan found it. */
struct found {
	uint32_t pid;
	uint64_t time_ns, slack_ns;
	struct proc_stat stat;
};

struct source_proc {
	struct source_proc_settings settings;
	struct pipeline *pipeline;
	const struct top_figures *top; /* of this tick; NULL: CPU time is what stat says */
	unsigned int cpus;
	struct process *processes;
	uint64_t scan; /* number of the current one, from 1 */
	uint64_t tick_wall_ns;
	uint64_t wall_offset_ns;
	struct found *found;
	size_t found_count, found_room;
};

/** Time now, in ns. */
uint64_t proc_now_ns(clockid_t clock);

/** Of `process`; NULL: not known. */
struct task *proc_find_task(const struct process *process, uint32_t tid);
void proc_remove_task(struct process *process, struct task *task);

/**
 * Tasks that the current scan did not see have ended: last rows, of which no figure is known. `all_ended`: with them the
 * process, as its last one says. Returns 0 or a negative errno after it has been logged.
 */
int proc_end_unseen(struct source_proc *source, struct process *process, bool all_ended);

/** A row with what was found of one task; its last one if it is `over`. Returns likewise. */
int proc_sample_task(struct source_proc *source, struct process *process, const struct found *found, bool over, bool process_over);

#endif
