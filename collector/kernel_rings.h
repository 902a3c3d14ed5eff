/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring buffers that the programs report by: of tasks that come and go, and one more, which others may add. They are mapped only
 * while somebody watches; that something is in them is told at any time.
 */
#ifndef TASKMON_KERNEL_RINGS_H
#define TASKMON_KERNEL_RINGS_H

#include <stddef.h>

#include "kernel.h"

struct ring_buffer;

struct kernel_rings {
	int event_fd;               /* epoll of the rings, mapped or not */
	int first;                  /* a map of the programs */
	int more;                   /* a ring of our own; -1: none */
	struct ring_buffer *mapped; /* NULL: they are not */
	kernel_event_handler handler;
	void *context;
};

/** Nothing is open. */
void kernel_rings_init(struct kernel_rings *rings, kernel_event_handler handler, void *context);
/** Begin with a ring that is there already; it must live longer. Returns 0 or a negative errno. */
int kernel_rings_open(struct kernel_rings *rings, int first);
void kernel_rings_close(struct kernel_rings *rings);

/** Make one more, a single time. Returns its descriptor, which stays the rings', or a negative errno. */
int kernel_rings_add(struct kernel_rings *rings, const char *name, size_t bytes);

/** Hand what is in them to the handler; they are mapped then. A negative errno. */
int kernel_rings_drain(struct kernel_rings *rings);
void kernel_rings_unmap(struct kernel_rings *rings);

#endif
