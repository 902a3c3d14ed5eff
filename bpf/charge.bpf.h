/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Counting for a task. What a task does itself is counted in its process's storage and, where rows per thread are
 * wanted, in its own. What is done for it elsewhere (a completed request, a received packet) is charged by its identity.
 */
#ifndef TASKMON_CHARGE_BPF_H
#define TASKMON_CHARGE_BPF_H

#include "watch.bpf.h"

/* Watches that need the state of each thread. */
#define PER_THREAD (settings.threads | settings.timed)

#define MAX_ATTEMPTS 8 /* of a compare-and-exchange against the other threads of a process */

/* The largest so far. After so many attempts others have put in values of the same moment. */
static __always_inline void keep_longest(u64 *longest, u64 length)
{
	for (int i = 0; i < MAX_ATTEMPTS; i++) {
		u64 before = *longest;

		if (before >= length || __sync_val_compare_and_swap(longest, before, length) == before)
			return;
	}
}

static __always_inline u64 minus(u64 a, u64 b)
{
	return a > b ? a - b : 0;
}

/** The process that `task` belongs to, if figures of cost HOOK are wanted of it. */
static __always_inline struct process_state *hooked(struct task_struct *task)
{
	struct process_state *state = watched(task);

	return state && state->watches & settings.hooked ? state : NULL;
}

/** Count something that `task`, the current one, has done. */
static __always_inline void count_in(struct process_state *state, struct task_struct *task, enum hook_figure figure, u64 amount)
{
	struct thread_state *thread;

	__sync_fetch_and_add(&state->figure[figure], amount);
	if (!(state->watches & settings.threads))
		return;
	thread = bpf_task_storage_get(&threads, task, NULL, 0);
	if (thread)
		thread->figure[figure] += amount;
}

static __always_inline void count(struct task_struct *task, enum hook_figure figure, u64 amount)
{
	struct process_state *state = hooked(task);

	if (state)
		count_in(state, task, figure, amount);
}

static __always_inline struct charge_key process_key(struct task_struct *leader)
{
	return (struct charge_key){ leader->start_boottime, leader->tgid, 1 };
}

static __always_inline struct charge_key thread_key(struct task_struct *task)
{
	return (struct charge_key){ task->start_boottime, task->pid, 0 };
}

/** The charge of a task; made if there is none. NULL, and a loss, if there is no room. */
static __always_inline struct charge *charge_of(struct charge_key *key, u64 watches)
{
	static const struct charge nothing;
	struct charge *charge = bpf_map_lookup_elem(&charges, key);

	if (charge)
		return charge;
	bpf_map_update_elem(&charges, key, &nothing, BPF_NOEXIST);
	charge = bpf_map_lookup_elem(&charges, key);
	if (!charge)
		count_loss(watches, LOSS_TABLE_FULL);
	return charge;
}

/** Nothing more can be charged to a task that has ended, whether or not somebody still watches it. */
static __always_inline void forget_charge(struct charge_key key)
{
	bpf_map_delete_elem(&charges, &key);
}

struct open_request_search {
	u64 now;
	struct charge_key of; /* tid 0: of any task */
};

static long visit_request(void *map, u64 *key, struct request_start *start, struct open_request_search *search)
{
	u64 length = minus(search->now, start->time_ns); /* it may have begun since */
	struct charge *charge;

	if (start->whole || start->time_ns < requests_doubted)
		return 0;
	if (search->of.tid && (start->process.tid != search->of.tid || start->process.start_time_ns != search->of.start_time_ns))
		return 0;
	charge = bpf_map_lookup_elem(&charges, &start->process);
	if (charge)
		keep_longest(&charge->open_request_ns, length);
	charge = bpf_map_lookup_elem(&charges, &start->thread);
	if (charge)
		keep_longest(&charge->open_request_ns, length);
	return 0;
}

/** Note how long the requests in flight have taken so far: those of a process, or of all (`of.tid` 0). */
static __always_inline void note_open_requests(struct charge_key of)
{
	struct open_request_search search = { bpf_ktime_get_boot_ns(), of };

	bpf_for_each_map_elem(&requests, visit_request, &search, 0);
}

#endif
