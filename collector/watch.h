/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watches: what subscriptions select, as the kernel side sees it. Each is one bit of a verdict; identical ones share.
 */
#ifndef TASKMON_WATCH_H
#define TASKMON_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "kernel.h"

#define WATCH_PIDS_MAX 1024

/** What a watch selects and who looks. */
struct watch_spec {
	bool all;      /* every process, else `pids` */
	bool children; /* and those that they create */
	bool sees_all; /* the watcher may see every user's tasks, else those of `owner` */
	struct owner_key owner;
	size_t pid_count;
	struct pid_key pids[WATCH_PIDS_MAX]; /* ascending by tgid */
};

struct watches;

struct watches *watches_new(struct kernel *kernel);
void watches_free(struct watches *watches);

/**
 * The bit of a watch like `spec`, shared with identical ones; needs one watches_judge() before it selects tasks that
 * exist already. -ENOSPC when all WATCH_MAX are taken, or what the kernel said.
 */
int watch_acquire(struct watches *watches, const struct watch_spec *spec);
void watch_release(struct watches *watches, unsigned int watch);

/** What is wanted of the watches in use: sets of watches, and all metrics. */
struct watch_wishes {
	u64 threads; /* want records of threads */
	u64 hooked;  /* want metrics of cost HOOK */
	u64 timed;   /* want METRICS_OF_SWITCHES */
	u64 windows; /* want metrics of kind WINDOW */
	u64 metrics;
};

/** Attach what these need and tell the programs. */
void watches_set_wishes(struct watches *watches, const struct watch_wishes *wishes);

/** Let the kernel judge all tasks again; records of `request` go to the handler (NULL: no records). */
int watches_judge(struct watches *watches, const struct sample_request *request, kernel_sample_handler handler,
		  void *context);

#endif
