/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The columns of the message Syscalls: system calls in the order of their times, with the threads that made them told
 * once a frame.
 */
#ifndef TASKMON_CALLS_H
#define TASKMON_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "taskmon.pb-c.h"

#define CALLS_MAX 4096       /* system calls in one frame */
#define CALLS_TASKS_MAX 1024 /* threads in one frame */

/** Gathers system calls. Reused from frame to frame. */
struct calls_builder;

/** NULL when out of memory. */
struct calls_builder *calls_builder_new(void);
void calls_builder_free(struct calls_builder *builder);

/** Add one that is not older than the one before. -ENOSPC when the frame is full: finish it and add again. */
int calls_builder_add(struct calls_builder *builder, const struct syscall_record *record);
size_t calls_builder_count(const struct calls_builder *builder);

/** The message, valid until the next call; calls_builder_reset() makes room for the next frame. */
Taskmon__Syscalls *calls_builder_message(struct calls_builder *builder);
void calls_builder_reset(struct calls_builder *builder);

/** One of them as its reader gets it. */
struct call {
	uint64_t time_ns; /* CLOCK_BOOTTIME */
	uint64_t value;   /* the first argument; leave: the result, signed */
	uint32_t number;
	uint32_t task; /* index of tid, tgid and comm in the message */
	bool leave;    /* else it was entered */
	bool compat;   /* of the 32-bit kind */
};

/**
 * Check a message and read its calls into `calls`, room for CALLS_MAX. Returns how many, or -EPROTO if it contradicts
 * itself.
 */
int calls_read(const Taskmon__Syscalls *message, struct call *calls);

#endif
