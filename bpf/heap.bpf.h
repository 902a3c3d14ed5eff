/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Heaps: which processes have one, what is in it, and what becomes of it at fork, exec and exit. The programs that
 * change it are in heap.bpf.c; who attaches them learns by notices whom to attach them to.
 */
#ifndef TASKMON_HEAP_BPF_H
#define TASKMON_HEAP_BPF_H

#include "loss.bpf.h"

#include <bpf/bpf_core_read.h>

static __always_inline long notify_of_slot(enum heap_notice_type type, struct task_struct *leader, u64 watches, u32 slot, u32 era,
					   u32 tid)
{
	struct heap_notice notice = {
		.type = type,
		.tgid = leader->tgid,
		.start_time_ns = leader->start_boottime,
		.watches = watches,
		.slot = slot,
		.era = era,
		.uid = leader->real_cred->uid.val,
		.tid = tid,
	};

	return bpf_ringbuf_output(&heap_notices, &notice, sizeof(notice), BPF_RB_FORCE_WAKEUP);
}

static __always_inline long notify_heap(enum heap_notice_type type, struct task_struct *leader, u64 watches,
					const struct process_heap *heap, u32 tid)
{
	return notify_of_slot(type, leader, watches, heap->slot, heap->era, tid);
}

/** The heap of a process; NULL: it is not probed. */
static __always_inline struct process_heap *heap_of(struct task_struct *leader)
{
	u32 tgid = leader->tgid;
	struct process_heap *heap = bpf_map_lookup_elem(&heaps, &tgid);

	return heap && heap->start_time_ns == leader->start_boottime && heap->era == settings.heap_era ? heap : NULL;
}

/* Another number after each exec. */
static __always_inline u64 program_of(struct task_struct *task)
{
	return bpf_core_field_exists(task->self_exec_id) ? task->self_exec_id : 0;
}

/*
 * Gives it one of the ledgers that are ready; its slot, 0: there was none left, and who attaches the probes makes one. Apart from the
 * notice, whose place on the stack this has: 6.1 allows 512 bytes in all.
 */
static __always_inline u32 put_heap(struct task_struct *leader, u64 watches)
{
	struct process_heap heap = {
		.start_time_ns = leader->start_boottime,
		.epoch = bpf_ktime_get_boot_ns(),
		.watches = watches,
		.era = settings.heap_era,
		.program = program_of(leader),
	};
	u32 tgid = leader->tgid;

	if (bpf_map_pop_elem(&spare_slots, &heap.slot) || heap.slot >= HEAP_SLOTS || !heap.slot)
		return 0;
	heap_armed[heap.slot & (HEAP_SLOTS - 1)] = 0;
	bpf_map_update_elem(&heaps, &tgid, &heap, BPF_ANY);
	return heap.slot;
}

static __always_inline void begin_heap(struct task_struct *leader, u64 watches)
{
	u32 slot = put_heap(leader, watches), tgid = leader->tgid;

	if (!notify_of_slot(HEAP_WANTED, leader, watches, slot, settings.heap_era, bpf_get_current_pid_tgid() >> 32))
		return;
	count_loss(watches, LOSS_HEAP_FULL);
	if (slot) {
		bpf_map_delete_elem(&heaps, &tgid);
		bpf_map_push_elem(&spare_slots, &slot, 0);
	}
}

/*
 * Not inlined, as what follows: the verifier then finds that what comes after is the same whichever way was taken in here.
 */

/** A process was judged; `watches` may see it. */
static __noinline __attribute__((unused)) void judge_heap(struct task_struct *leader, u64 watches)
{
	struct process_heap *heap;

	if (!settings.heaped || leader->flags & PF_KTHREAD)
		return;
	watches &= settings.heaped;
	heap = heap_of(leader);
	if (heap)
		heap->watches = watches;
	if (heap && !watches)
		notify_heap(HEAP_UNWANTED, leader, 0, heap, 0);
	else if (!heap && watches)
		begin_heap(leader, watches);
}

struct ledger_copy {
	u64 epoch;                 /* of the blocks that are copied */
	struct process_heap *heap; /* theirs, whose sums grow; counted in a map, the verifier does not try to count along */
};

static long copy_block(void *map, u64 *address, struct heap_block *block, struct ledger_copy *copy)
{
	struct process_heap *heap = copy->heap;
	struct heap_block same = { .size = block->size, .epoch = heap->epoch };
	u32 slot = heap->slot;
	void *ledger;

	if (block->epoch != copy->epoch)
		return 0;
	ledger = heap->times < HEAP_OWN_BLOCKS ? bpf_map_lookup_elem(&ledgers, &slot) : NULL;
	if (!ledger || bpf_map_update_elem(ledger, address, &same, BPF_ANY))
		return 1;
	heap->size += same.size;
	heap->times++;
	return 0;
}

/** A process was created; it has been judged, and has not run yet. It inherits what its parent has outstanding. */
static __noinline __attribute__((unused)) void fork_heap(struct task_struct *parent, struct task_struct *child)
{
	struct process_heap *heap, *old;
	struct ledger_copy copy = {};
	u32 old_slot;
	void *ledger;

	if (!settings.heaped)
		return;
	heap = heap_of(child);
	if (!heap)
		return;
	if (child->mm == parent->mm) {
		heap->borrowed = 1;
		return;
	}
	old = heap_of(parent->group_leader);
	if (!old || old->borrowed)
		return;
	old_slot = old->slot;
	ledger = bpf_map_lookup_elem(&ledgers, &old_slot);
	if (!ledger)
		return;
	copy.epoch = old->epoch;
	copy.heap = heap;
	bpf_for_each_map_elem(ledger, copy_block, &copy, 0);
	if (heap->times < old->times)
		add_loss(heap->watches, LOSS_HEAP_FULL, old->times - heap->times);
}

static __always_inline void restart_heap(struct process_heap *heap, struct task_struct *task)
{
	heap->epoch = bpf_ktime_get_boot_ns();
	heap->size = 0;
	heap->times = 0;
	heap->borrowed = 0;
	heap->leaderless = 0;
	heap->program = program_of(task);
}

/** A process executes another program: nothing that it had allocated is left. */
static __noinline __attribute__((unused)) void exec_heap(struct task_struct *task, bool was_other_thread)
{
	struct process_heap *heap;
	u32 *armed;

	if (!settings.heaped)
		return;
	heap = heap_of(task);
	if (!heap)
		return;
	armed = &heap_armed[heap->slot & (HEAP_SLOTS - 1)];
	*armed = *armed == HEAP_ARMED_AHEAD ? HEAP_ARMED : HEAP_UNARMED;
	restart_heap(heap, task);
	if (was_other_thread)
		notify_heap(HEAP_MOVED, task, heap->watches, heap, 0);
	notify_heap(HEAP_EXEC, task, heap->watches, heap, 0);
}

/** A thread exits, after its final record was made. The probes are those of the main thread, as long as it lives. */
static __noinline __attribute__((unused)) void exit_heap(struct task_struct *task, bool process_ended)
{
	struct task_struct *leader = task->group_leader;
	struct process_heap *heap;
	u32 tgid = leader->tgid;

	if (!settings.heaped)
		return;
	heap = heap_of(leader);
	if (!heap)
		return;
	if (process_ended) {
		bpf_map_delete_elem(&heaps, &tgid);
		return;
	}
	heap->leaderless |= task == leader;
	if (heap->leaderless)
		notify_heap(HEAP_LEFT, leader, heap->watches, heap, task->pid);
}

/** What the process has outstanding now, and what this thread has allocated and not freed since it was probed. */
struct heap_state {
	u64 size, times;
	s64 thread_size, thread_times;
};

/** Of the current process and thread; false: they are not probed. */
static __always_inline bool heap_now(struct task_struct *task, struct heap_state *now)
{
	struct process_heap *heap = heap_of(task->group_leader);
	struct heap_thread *thread;

	if (!heap)
		return false;
	now->size = heap->size;
	now->times = heap->times;
	thread = bpf_task_storage_get(&heap_threads, task, NULL, 0);
	now->thread_size = thread ? thread->net_size : 0;
	now->thread_times = thread ? thread->net_times : 0;
	return true;
}

#endif
