/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread that attaches heap probes. All state is its own; it is told what to do by struct heap_orders.
 */
#ifndef TASKMON_HEAP_WORKER_H
#define TASKMON_HEAP_WORKER_H

#include <pthread.h>

#include "heap.h"
#include "record.h"

/** Written by others under `mutex`, who then wake the thread up with `wake_fd`, an eventfd. */
struct heap_orders {
	pthread_mutex_t mutex;
	int wake_fd;
	bool wanted, stop;
	u32 era;   /* as in struct watch_settings: what is of another one is old */
	u64 asked; /* counts questions: `done` follows when all is probed that was wanted before */
	u64 done;
	void (*tell)(void *context); /* `done` has changed; called by the thread */
	void *context;
};

struct heap_worker;

/** Find out whether this kernel takes the programs; else METRICS_OF_HEAP are unavailable. Loads and unloads them. */
void heap_worker_try(struct kernel *kernel);

/** NULL, with errno. The thread does nothing before it has orders. */
struct heap_worker *heap_worker_start(struct kernel *kernel, const struct heap_limits *limits, struct heap_orders *orders);
/** After `stop` was ordered: wait for its end. */
void heap_worker_join(struct heap_worker *worker);

#endif
