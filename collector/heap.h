/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is probed for METRICS_OF_HEAP. The kernel side tells which processes a watch wants; a thread of its own attaches the probes, which
 * takes milliseconds a process, and detaches them.
 */
#ifndef TASKMON_HEAP_H
#define TASKMON_HEAP_H

#include <stdbool.h>

#include <uv.h>

#include "heap_limits.h"

struct heap;
struct kernel;
struct session;

/** NULL when out of memory. */
struct heap *heap_new(struct kernel *kernel, const struct heap_limits *limits);
/** Ends the thread; all is detached. */
void heap_free(struct heap *heap);

/** Before the loop runs; and before it is closed. */
int heap_start(struct heap *heap, uv_loop_t *loop);
void heap_stop(struct heap *heap);

/** Somebody, or nobody any more, wants METRICS_OF_HEAP. When they do, before the settings say so. */
void heap_want(struct heap *heap, bool wanted);

/**
 * Cork the session, and uncork it when all processes are probed that a watch has wanted until now: what it waits for
 * shall not begin before.
 */
void heap_wait(struct heap *heap, struct session *session);
/** The session is over. */
void heap_forget(struct heap *heap, const struct session *session);

#endif
