/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watches: what subscriptions select, as the kernel side sees it. Each is one bit of a verdict; identical ones share.
 */
#ifndef TASKMON_WATCH_H
#define TASKMON_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "kernel.h"
#include "rule.h"
#include "terms.h"

#define WATCH_PIDS_MAX 1024
#define WATCH_RULES_MAX 16
#define WATCH_NAMES_MAX 64

/** What a watch selects and who looks. */
struct watch_spec {
	bool all;      /* every process, else those of `pids`, `rules` and `names` */
	bool explain;  /* say which of all configured rules select a process, in use or not */
	bool children; /* and those that they create */
	bool sees_all; /* the watcher may see every user's tasks, else those of `owner` */
	struct owner_key owner;
	size_t rule_count, name_count;
	char rules[WATCH_RULES_MAX][RULE_NAME_MAX + 1];
	char names[WATCH_NAMES_MAX][TASK_COMM_BYTES + 1]; /* whole, or a beginning and `*` */
	size_t pid_count;
	struct pid_key pids[WATCH_PIDS_MAX]; /* ascending by tgid */
};

struct watches;

/** `rules` are those of the configuration and must live longer. NULL when out of memory. */
struct watches *watches_new(struct kernel *kernel, struct rules *rules);
void watches_free(struct watches *watches);

/**
 * The bit of a watch like `spec`, shared with identical ones; needs one watches_judge() before it selects tasks that
 * exist already. -ENOSPC when all WATCH_MAX are taken, -E2BIG when its rules have more conditions than there is room
 * for, or what the kernel said.
 */
int watch_acquire(struct watches *watches, const struct watch_spec *spec);
void watch_release(struct watches *watches, unsigned int watch);

/** What is wanted of the watches in use: sets of watches, and all metrics. */
struct watch_wishes {
	u64 threads;  /* want records of threads */
	u64 hooked;   /* want metrics of cost HOOK */
	u64 timed;    /* want METRICS_OF_SWITCHES */
	u64 windows;  /* want metrics of kind WINDOW */
	u64 syscalls; /* want each system call */
	u64 heaped;   /* want METRICS_OF_HEAP */
	u64 metrics;  /* and NEED_SYSCALLS */
};

/** Attach what these need and tell the programs. */
void watches_set_wishes(struct watches *watches, const struct watch_wishes *wishes);

/** The configured rules have changed: watches that name them select by the new ones. Needs a watches_judge(). */
void watches_update_rules(struct watches *watches);
const struct rules *watches_rules(const struct watches *watches);

/** Does this watch say which of all configured rules select a process? */
bool watch_explains(const struct watches *watches, unsigned int watch);
/** The terms of the rules in use. */
const struct terms *watches_terms(const struct watches *watches);

/** Names of the rules that select the process of a record, separated by `;`. Valid until the next call. */
const char *watches_rules_of(struct watches *watches, const struct task_record *record);
/** Does this watch select by limits, so that its passes must compare all processes with them? */
bool watch_has_limits(const struct watches *watches, unsigned int watch);

/** Let the kernel judge all tasks again; records of `request` go to the handler (NULL: no records). */
int watches_judge(struct watches *watches, const struct sample_request *request, kernel_sample_handler handler, void *context);

#endif
