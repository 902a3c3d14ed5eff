/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a thread adds to the heap, so that calls of probed functions can tell it.
 */
#ifndef TASKMON_PROBE_BPF_H
#define TASKMON_PROBE_BPF_H

#include "maps.bpf.h"

/** The current thread has added this to the heap of its process (negative: freed). */
static __always_inline void note_heap_change(struct task_struct *current, s64 bytes, s64 blocks)
{
	struct probe_thread *thread = bpf_task_storage_get(&probe_threads, current, NULL, 0);

	if (!thread)
		return;
	thread->bytes += bytes;
	thread->blocks += blocks;
}

#endif
