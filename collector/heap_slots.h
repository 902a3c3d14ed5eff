/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ledgers in the kernel, and which process has which.
 */
#ifndef TASKMON_HEAP_SLOTS_H
#define TASKMON_HEAP_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "record.h"

struct heap_slots;
struct kernel;

/** `blocks`: how many a ledger can have. NULL when out of memory. */
struct heap_slots *heap_slots_new(struct kernel *kernel, size_t blocks);
void heap_slots_free(struct heap_slots *slots);

/** Shall some slots with ledgers be ready for processes that need one at once, and the ledger that is shared? */
void heap_slots_keep_ready(struct heap_slots *slots, bool keep);
/** One step towards that; false: nothing is left to do. A step takes up to some hundredths of a second, as the kernel waits for its programs. */
bool heap_slots_step(struct heap_slots *slots);
/** How many are ready. */
size_t heap_slots_ready(const struct heap_slots *slots);
/** The kernel side has taken one of these (0: none). */
void heap_slots_taken(struct heap_slots *slots, u32 slot);
/** Its ledger is not used any more. */
void heap_slots_give_back(struct heap_slots *slots, u32 slot);
/** Give the process of a notice a heap. Its slot, 0 if that was not possible. */
u32 heap_slots_insert(struct heap_slots *slots, const struct heap_notice *notice);
/** The process has no heap any more, unless it has another one. */
void heap_slots_remove(struct heap_slots *slots, pid_t tgid, u32 slot);
/** What the kernel side has of the heap of a process; false: nothing. */
bool heap_slots_look(struct heap_slots *slots, pid_t tgid, u32 slot, struct process_heap *heap);

#endif
