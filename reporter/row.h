/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What flows through the pipeline: rows (a task at one instant), events and losses. Strings are valid UTF-8 without
 * control characters (feed.c saw to that) and live as long as the call that hands them over.
 */
#ifndef TASKMON_ROW_H
#define TASKMON_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

#define ROW_COMM_BYTES 64 /* the kernel's 15 bytes, each of which may have become a U+FFFD */

/** One task at one instant; the final figures of a task with `ended`. */
struct row {
	uint64_t time_ns;       /* CLOCK_BOOTTIME, of the measurement */
	uint64_t start_time_ns; /* CLOCK_BOOTTIME; (tid, start_time_ns) is the identity */
	uint64_t wall_ns;       /* since the epoch, of the measurement */
	uint64_t tick_wall_ns;  /* since the epoch, the same for all rows of a tick; 0 with `ended` */
	uint32_t tid, tgid, ppid, uid;
	uint32_t exit_status; /* with `ended`: as wait(2) gives it */
	bool baseline;        /* of tick 0: what the first window is measured from */
	bool ended;
	bool process_ended;       /* with `ended`: no thread of the process is left */
	const char *comm;         /* of the task: a thread's own name where rows are threads */
	const char *process_comm; /* of the process */
	const char *cgroup;
	const char *rules; /* names of the rules that select its process, separated by `;` */
	uint64_t present;  /* bit per enum metric_id: value[] has it */
	uint64_t hidden;   /* those of them that only stand for what is derived of them, and are not told */
	const uint64_t *value;

	/* Added by derive.c: what happened since the previous sample of the task. */
	uint64_t window_ns;     /* 0: there is none to compare with */
	uint64_t delta_present; /* bit per enum metric_id: delta[] has it */
	uint64_t delta[METRIC_TOTAL];
};

static inline bool row_has(const struct row *row, enum metric_id id)
{
	return row->present & METRIC_BIT(id);
}

/* What of it is told to users? */
static inline bool row_tells(const struct row *row, enum metric_id id)
{
	return row->present & ~row->hidden & METRIC_BIT(id);
}

static inline bool row_has_delta(const struct row *row, enum metric_id id)
{
	return row->window_ns && (row->delta_present & METRIC_BIT(id));
}

/** Why a threshold raised or cleared an alarm. Numbers are in print, so that all outputs say the same. */
struct alarm {
	const char *threshold, *metric;
	const char *value, *limit;
	const char *baseline; /* NULL: the limit was not learned */
	const char *cause;    /* of a clear that the figure did not bring about; NULL: it did */
};

/** A change in the life of a task. */
struct event {
	const char *name; /* "fork", "exec", "exit", "rename", "alarm", "clear" */
	uint64_t time_ns; /* CLOCK_BOOTTIME */
	uint64_t wall_ns; /* since the epoch */
	uint64_t start_time_ns;
	uint32_t tid, tgid, uid;
	bool started;       /* the task is new */
	bool renamed;       /* `old_comm` was its name before */
	uint32_t other_tid; /* of its creator, or the one it had before an exec */
	const char *comm;   /* after the change */
	const char *old_comm;
	const char *detail;        /* as the writers print it */
	const struct alarm *alarm; /* of "alarm" and "clear" */
};

/** A thread that makes system calls, under one name. */
struct call_task {
	uint32_t tid, tgid;
	bool selected;
	char comm[ROW_COMM_BYTES];
};

/** System calls in the order of their times. */
struct calls {
	const struct call *list; /* calls.h */
	size_t count;
	const struct call_task *tasks; /* what each one's `task` means */
	size_t task_count;
	int64_t wall_offset_ns; /* to be added to their times: ns since the epoch */
};

/** Something that this reporter did not get. */
struct loss {
	char cause[32]; /* "queue_samples", ... */
	uint64_t count;
	uint64_t wall_ns; /* when it was told */
};

/** The connection to the collector was lost: nothing is known of the time until the next tick. */
struct gap {
	const char *cause;
	uint64_t wall_ns;       /* when it was noticed */
	uint64_t since_wall_ns; /* the last tick before it */
};

#endif
