/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The verdict: which watches select a process, and which of them may see it. It is computed when something changes
 * (fork, exec, a new watch) and kept in the storage of the main thread, so that an event on an unwatched task costs
 * one failed look-up.
 */
#ifndef TASKMON_WATCH_BPF_H
#define TASKMON_WATCH_BPF_H

#include "heap.bpf.h"
#include "loss.bpf.h"
#include "maps.bpf.h"
#include "rule.bpf.h"

#include <bpf/bpf_core_read.h>

#define ANCESTORS_MAX 64
#define THREADS_MAX (1 << 22) /* PID_MAX_LIMIT, include/linux/threads.h */

const volatile u64 ns_per_tick __weak = 10000000; /* of USER_HZ; the collector sets it */

/**
 * The entry of a task in a task storage, made if there is none; NULL if there is no memory. Where another CPU makes it, or the
 * task's first one in any map, at the same moment, the kernel gives none (-EEXIST and -EAGAIN of bpf_local_storage_update(),
 * kernel/bpf/bpf_local_storage.c): the second time it does.
 */
static __always_inline void *make_state(void *map, struct task_struct *task)
{
	void *state = bpf_task_storage_get(map, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	return state ? state : bpf_task_storage_get(map, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/** The state of the watched process that `task` is a thread of; NULL if nobody watches it. */
static __always_inline struct process_state *watched(struct task_struct *task)
{
	return bpf_task_storage_get(&processes, task->group_leader, NULL, 0);
}

/* Watches that name a process by its number. A reused number has another start. */
static __always_inline u64 watches_by_pid(u32 tgid, u64 start_boottime)
{
	struct pid_key key = { .tgid = tgid, .start_ticks = start_boottime / ns_per_tick };
	u64 *watches = bpf_map_lookup_elem(&pid_watches, &key);

	return watches ? *watches : 0;
}

struct ancestry {
	struct task_struct *task; /* a main thread; not to be dereferenced directly */
	u64 watches;
};

static long visit_ancestor(u32 index, struct ancestry *at)
{
	struct task_struct *task = at->task;
	struct task_struct *parent = BPF_CORE_READ(task, real_parent, group_leader);
	u32 tgid = BPF_CORE_READ(parent, tgid);

	if (!parent || parent == task || tgid == 0)
		return 1;
	at->watches |= watches_by_pid(tgid, BPF_CORE_READ(parent, start_boottime));
	at->task = parent;
	return tgid == 1;
}

/* Watches that follow children and name an ancestor which still lives. */
static __always_inline u64 watches_by_ancestor(struct task_struct *leader)
{
	struct ancestry at = { .task = leader };

	if (!settings.children)
		return 0;
	bpf_loop(ANCESTORS_MAX, visit_ancestor, &at, 0);
	return at.watches & settings.children;
}

struct mm_search {
	struct list_head *head, *next;
	struct mm_struct *mm;
};

static long visit_thread_for_mm(u32 index, struct mm_search *search)
{
	struct list_head *node = search->next;
	struct task_struct *task;

	if (!node || node == search->head)
		return 1;
	task = (void *)node - bpf_core_field_offset(struct task_struct, thread_node);
	search->mm = BPF_CORE_READ(task, mm);
	search->next = BPF_CORE_READ(node, next);
	return search->mm != NULL;
}

/* The address space of a process; that of a thread which still lives if the main thread has exited. */
static __always_inline struct mm_struct *mm_of(struct task_struct *leader)
{
	struct mm_struct *mm = leader->mm;
	struct list_head *head;
	struct mm_search search = {};

	if (mm || leader->flags & PF_KTHREAD)
		return mm;
	head = (void *)leader->signal + bpf_core_field_offset(struct signal_struct, thread_head);
	search.head = head;
	search.next = BPF_CORE_READ(head, next);
	bpf_loop(THREADS_MAX, visit_thread_for_mm, &search, 0);
	return search.mm;
}

/* 7.x keeps it with each task, up to its end. */
static __always_inline bool dumpable_by_itself(struct task_struct *task)
{
	return bpf_core_field_exists(task->exec_state) && BPF_CORE_READ(task, exec_state, dumpable) == TASK_DUMPABLE_OWNER;
}

static __always_inline void remember_dumpable(struct process_state *state, struct task_struct *leader)
{
	struct mm_struct___before_6_18 *old;
	struct mm_struct *mm;
	unsigned long flags;

	if (bpf_core_field_exists(leader->exec_state)) {
		state->dumpable = dumpable_by_itself(leader);
		return;
	}
	mm = mm_of(leader);
	if (!mm)
		return; /* as last seen */
	old = (void *)mm;
	if (bpf_core_field_exists(mm->flags.__mm_flags))
		flags = BPF_CORE_READ(mm, flags.__mm_flags[0]);
	else
		flags = BPF_CORE_READ(old, flags);
	state->dumpable = (flags & MMF_DUMPABLE_MASK) == SUID_DUMP_USER;
}

/*
 * Whose task this is in the eyes of ptrace(2), if it is dumpable: real, effective and saved ids must all be theirs.
 * See __ptrace_may_access(), kernel/ptrace.c.
 */
static __always_inline bool owner_of(struct task_struct *task, struct owner_key *owner)
{
	const struct cred *cred = task->real_cred;

	owner->uid = cred->uid.val;
	owner->gid = cred->gid.val;
	return cred->euid.val == owner->uid && cred->suid.val == owner->uid && cred->egid.val == owner->gid &&
	       cred->sgid.val == owner->gid;
}

/* Of `watches`, those that may see a task of this owner and dumpability. */
static __always_inline u64 with_sight_of(u64 watches, struct task_struct *task, bool dumpable)
{
	struct owner_key owner;
	u64 *own;

	if (!dumpable || !owner_of(task, &owner))
		return watches & settings.sees_all;
	own = bpf_map_lookup_elem(&owner_watches, &owner);
	return watches & (settings.sees_all | (own ? *own : 0));
}

/** Which watches select a process, and what that was decided by. */
struct verdict {
	u64 watches, inherited;
	struct term_set facts, hands_down;
};

/**
 * Give a process its verdict. Returns its state, or NULL if there is none: no watch selects it and no term of a rule
 * holds, so that nothing need be remembered.
 */
static __always_inline struct process_state *apply_verdict(struct task_struct *leader, const struct verdict *verdict)
{
	struct process_state *state = bpf_task_storage_get(&processes, leader, NULL, 0);

	if (!verdict->watches && is_empty(&verdict->facts) && is_empty(&rules.limits)) {
		judge_heap(leader, 0);
		if (state)
			bpf_task_storage_delete(&processes, leader);
		return NULL;
	}
	if (!state) {
		state = make_state(&processes, leader);
		if (!state) {
			count_loss(verdict->watches, LOSS_STATE_FULL);
			return NULL;
		}
		state->threads_begun = leader->signal->live.counter;
		state->utime_ns = leader->signal->prev_cputime.utime;
		state->stime_ns = leader->signal->prev_cputime.stime;
		bpf_probe_read_kernel(state->comm, sizeof(state->comm), leader->comm);
	}
	state->watches = verdict->watches;
	state->inherited = verdict->inherited;
	state->facts = verdict->facts;
	state->hands_down = verdict->hands_down;
	state->generation = settings.generation;
	remember_dumpable(state, leader);
	judge_heap(leader, with_sight_of(state->watches & settings.used, leader, state->dumpable));
	return state;
}

/** All that selects a process, given the terms that hold for it. */
static __always_inline void decide(struct verdict *verdict, struct task_struct *leader)
{
	struct clause_walk walk = {};

	keep_terms(&verdict->facts, &rules.used);
	walk.facts = verdict->facts;
	judge_by_rules(&walk);
	verdict->hands_down = walk.hands_down;
	verdict->inherited &= settings.children;
	verdict->watches = settings.all | verdict->inherited | watches_by_pid(leader->tgid, leader->start_boottime) | walk.watches;
}

/** A fact about a process has changed: judge it by what is known, and return its state. */
static __always_inline struct process_state *judge_by(struct term_set facts, struct process_state *state,
						      struct task_struct *leader)
{
	struct verdict verdict = { .inherited = state ? state->inherited : 0, .facts = facts };

	decide(&verdict, leader);
	return apply_verdict(leader, &verdict);
}

/* Terms that hold for a process that exists already. Those on connections and limits are remembered only. */
static __always_inline void find_facts(struct term_set *facts, struct process_state *state, struct task_struct *leader)
{
	struct pid_key key = { .tgid = leader->tgid, .start_ticks = leader->start_boottime / ns_per_tick };

	if (state) {
		*facts = state->facts;
		remove_terms(facts, &rules.names);
		remove_terms(facts, &rules.users);
	}
	add_name_facts(facts, leader->comm, leader);
	add_user_facts(facts, leader);
	if (!is_empty(&rules.argv))
		add_terms(facts, bpf_map_lookup_elem(&argv_found, &key));
}

/*
 * What a watched process hands down to the children that exist already. A pass comes to parents first, unless numbers have
 * begun anew between the two: then a later pass finds it, see watches_judge() of the collector.
 */
static __always_inline void inherit_from_parent(struct verdict *verdict, struct task_struct *leader)
{
	struct process_state *parent;

	if (!settings.children && is_empty(&rules.descent))
		return;
	parent = bpf_task_storage_get(&processes, leader->real_parent->group_leader, NULL, 0);
	if (!parent || (s32)(parent->generation - settings.settled) < 0)
		return;
	verdict->inherited |= parent->watches & settings.children;
	add_terms(&verdict->facts, &parent->hands_down);
}

/** Judge a process that exists already, if the watches have changed since it was judged last. */
static __always_inline struct process_state *judge(struct task_struct *leader)
{
	struct process_state *state = bpf_task_storage_get(&processes, leader, NULL, 0);
	struct verdict verdict = {};

	if (state && state->generation == settings.generation)
		return state;
	if (!state && !settings.judging)
		return NULL;
	find_facts(&verdict.facts, state, leader);
	verdict.inherited = (state ? state->inherited : 0) | watches_by_ancestor(leader);
	inherit_from_parent(&verdict, leader);
	decide(&verdict, leader);
	return apply_verdict(leader, &verdict);
}

/** The watches that select this process and may see it at this moment. */
static __always_inline u64 visible_to(struct process_state *state, struct task_struct *leader)
{
	u64 watches = state->watches & settings.used;

	if (!(watches & ~settings.sees_all))
		return watches;
	remember_dumpable(state, leader);
	return with_sight_of(watches, leader, state->dumpable);
}

#endif
