/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the rings of system calls, one per CPU, as one stream; see struct stream_ring in record.h.
 */
#ifndef TASKMON_RING_MERGE_H
#define TASKMON_RING_MERGE_H

#include <stddef.h>

#include "record.h"

struct ring_merge;

/** Gets each record, in the order of their times. */
typedef void (*ring_merge_handler)(const struct syscall_record *record, void *context);

/** For so many rings; NULL when out of memory. */
struct ring_merge *ring_merge_new(size_t rings);
void ring_merge_free(struct ring_merge *merge);

/** Ring number `i` and its records. Both must live longer. */
void ring_merge_set(struct ring_merge *merge, size_t i, struct stream_ring *ring, const struct syscall_record *records);

/**
 * Hand over at most `most` of the records that are not younger than `now_ns`, the time of this moment
 * (CLOCK_BOOTTIME). A thread's records keep their order, from one call to the next too. Returns how many there were.
 */
size_t ring_merge_read(struct ring_merge *merge, u64 now_ns, size_t most, ring_merge_handler handler, void *context);

#endif
