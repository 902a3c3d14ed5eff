/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The sampler's quick way. Where a program may look up tasks and give addresses a type (6.2), it goes through the lists of
 * processes and threads by itself, which costs half of what iter/task does (sample.bpf.c), and leaves the records in memory that
 * the collector has mapped. Such a program may sleep, and so must not use all maps that judging takes (LPM tries). It is part of
 * the object of sample.bpf.c, see typed.bpf.h.
 * (The task iterator that programs have since 6.7 begins with the first process each time.)
 *
 * The global functions here take and give numbers only: the verifier looks at each of them once and alone, whatever its callers
 * know, while it follows a static one anew from every state that a loop can be in. 7.x remembers so much more of each state
 * that this decides whether it is done in a moment.
 */
#ifndef TASKMON_PASS_BPF_H
#define TASKMON_PASS_BPF_H

#include "sample.bpf.h"

extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym __weak;
extern void bpf_task_release(struct task_struct *task) __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;

static __always_inline bool is_same(struct task_struct *task, const struct listed_process *listed)
{
	return task->start_boottime == listed->start_time_ns;
}

static __always_inline void note(struct listed_process *place, u32 number, u64 start_time_ns)
{
	place->tgid = number;
	place->start_time_ns = start_time_ns;
}

static __always_inline struct task_record *next_record(void)
{
	u32 index = pass.records;

	return bpf_map_lookup_elem(&samples, &index);
}

/* Nothing depends on it, so a kernel without the field need not be refused. */
#define TOUCH(at, field)                                                           \
	do {                                                                       \
		if (bpf_core_field_exists((at)->field))                            \
			(void)*(const volatile typeof((at)->field) *)&(at)->field; \
	} while (0)

/*
 * What a record needs of a task is in some fifteen cache lines, cold ones where there are many tasks, and the next thread is known
 * only when one of them has come: that wait is most of the cost. So the addresses of the last pass are kept, and the lines of a
 * few threads are asked for at once, which takes no longer than for one. Nothing is done with what is read there: a task
 * may be gone, and its memory be something else.
 */
static __always_inline void fetch(struct task_struct *task)
{
	TOUCH(task, thread_node.next);
	TOUCH(task, flags);
	TOUCH(task, se.sum_exec_runtime);
	TOUCH(task, se.nr_migrations);
	TOUCH(task, sched_info.run_delay);
	TOUCH(task, sched_info.last_queued); /* on some kernels in the next line */
	TOUCH(task, exit_state);
	TOUCH(task, pid);
	TOUCH(task, real_parent);
	TOUCH(task, utime);
	TOUCH(task, nvcsw);
	TOUCH(task, real_cred);
	TOUCH(task, ioac.rchar);
	TOUCH(task, ioac.write_bytes); /* likewise */
	TOUCH(task, cgroups);
}

/* What finding a process and its state takes, and what a record of all of it needs beside its main thread. */
static __always_inline void fetch_process(struct task_struct *leader)
{
	struct signal_struct *signal = leader->signal;
	struct mm_struct *mm = leader->mm;
	struct fdtable *files = leader->files->fdt;

	fetch(leader);
	TOUCH(leader, rcu_users);
	TOUCH(leader->thread_pid, tasks);
	TOUCH(leader->bpf_storage, cache[0]);
	TOUCH(leader->real_cred, uid);
	TOUCH(signal, nr_threads);
	TOUCH(signal, utime);
	TOUCH(signal, ioac.rchar);
	TOUCH(signal, sum_sched_runtime);
	TOUCH(signal, oom_mm);
	TOUCH(mm, total_vm);
	TOUCH(mm, rss_stat[MM_FILEPAGES].count);
	TOUCH(mm, rss_stat[MM_SHMEMPAGES].count);
	(void)*(const volatile unsigned long *)&WORD_AT(files->open_fds);
}

static __always_inline void fetch_some(struct task_struct *task, bool whole)
{
	u32 key = pass.visited / FETCH_TASKS % FETCHES, index = pass.visited % FETCH_TASKS;
	struct fetch *fetched = bpf_map_lookup_elem(&fetches, &key);

	pass.visited++;
	if (!fetched)
		return;
	if (index == 0) {
#pragma unroll
		for (int i = 0; i < FETCH_TASKS; i++) {
			if (whole)
				fetch_process(TYPED(task_struct, fetched->task[i]));
			else
				fetch(TYPED(task_struct, fetched->task[i]));
		}
	}
	fetched->task[index % FETCH_TASKS] = (u64)task;
}

struct thread_visit {
	struct list_head *head, *next;
};

/* Its address as the type that it has. NULL: all have been visited. */
static __always_inline struct task_struct *next_thread(struct thread_visit *visit)
{
	struct list_head *node = visit->next;
	struct task_struct *task;

	if (!node || node == visit->head)
		return NULL;
	task = TYPED(task_struct, (void *)node - bpf_core_field_offset(struct task_struct, thread_node));
	fetch_some(task, false);
	visit->next = task->thread_node.next;
	return task;
}

/* Storage is found only through a reference. */
static __always_inline void include_figures(struct task_record *record, struct task_struct *typed, u64 watches)
{
	struct task_struct *task = bpf_task_from_pid(typed->pid);
	struct thread_state *thread;

	if (!task)
		return;
	thread = thread_state_of(task, watches);
	if (thread)
		fill_thread_figures(record, thread, task, record->time_ns);
	bpf_task_release(task);
}

/* The record of owner.thread. Not 0: there is no room. */
__noinline int put_thread(void)
{
	struct task_struct *task = TYPED(task_struct, owner.thread);
	u64 watches = owner.watches & request.threads;
	struct task_record *record;

	if (task->flags & PF_EXITING)
		return 0;
	record = next_record();
	if (!record) {
		pass.full = 1;
		return 1;
	}
	fill_thread(record, NULL, task, watches, bpf_ktime_get_boot_ns());
	if (settings.measured)
		include_figures(record, task, owner.watches & settings.threads);
	record->facts[0] = owner.facts.bits[0];
	record->facts[1] = owner.facts.bits[1];
	record->folds = owner.watches & settings.windows;
	note(&pass.thread, record->tid, record->start_time_ns);
	pass.records++;
	return 0;
}

static long visit_thread(u32 index, struct thread_visit *visit)
{
	struct task_struct *task = next_thread(visit);

	owner.thread = (u64)task; /* through memory a pointer becomes a number */
	return !task || put_thread();
}

/* What is open of thread `tid`, for the record of its process. */
__noinline int prepare_thread(u32 tid)
{
	struct task_struct *task = bpf_task_from_pid(tid);
	struct process_state *state;

	if (!task)
		return 0;
	bpf_rcu_read_lock(); /* the verifier does not know that there is one already */
	state = watched(task);
	if (state)
		prepare(state, task, owner.watches);
	bpf_rcu_read_unlock();
	bpf_task_release(task);
	return 0;
}

static long visit_thread_to_prepare(u32 index, struct thread_visit *visit)
{
	struct task_struct *task = next_thread(visit);

	if (!task)
		return 1;
	prepare_thread(task->pid);
	return 0;
}

static __always_inline bool is_up_to_date(const struct process_state *state)
{
	return state && !state->ended && state->generation == settings.generation;
}

/* Judge process `tgid` by the limits of rules. */
__noinline int compare_with_limits(u32 tgid)
{
	struct task_struct *leader = bpf_task_from_pid(tgid);
	u32 user = SCRATCH_SAMPLE;
	struct workspace *space = bpf_map_lookup_elem(&scratch, &user);
	struct process_state *state;

	if (!leader)
		return 0;
	state = bpf_task_storage_get(&processes, leader, NULL, 0);
	if (is_up_to_date(state) && space)
		judge_by_limits(space, state, leader);
	bpf_task_release(leader);
	return 0;
}

/* The record of a process, if there is room for one. */
static __always_inline void put_process(struct process_state *state, struct task_struct *leader)
{
	u32 user = SCRATCH_SAMPLE;
	struct workspace *space = bpf_map_lookup_elem(&scratch, &user);
	struct task_record *record = next_record();

	if (!space || !record)
		return;
	fill_either(record, &space->walk, state, leader, owner.watches);
	pass.records++;
}

/* All that is to be known of a process whose verdict stands, if it is selected; `behind` a thread: only of those behind it. */
static __always_inline void sample_selected(struct process_state *state, struct task_struct *leader, struct task_struct *behind)
{
	struct thread_visit visit = { .head = (void *)leader->signal + bpf_core_field_offset(struct signal_struct, thread_head) };

	owner.watches = visible_to(state, leader);
	owner.facts = state->facts;
	if (!behind && owner.watches & (request.processes | request.threads) && settings.measured & METRICS_OF_SWITCHES) {
		visit.next = leader->signal->thread_head.next;
		bpf_loop(THREADS_MAX, visit_thread_to_prepare, &visit, 0);
	}
	if (!behind && owner.watches & request.processes)
		put_process(state, leader);
	if (!(owner.watches & request.threads))
		return;
	visit.next = behind ? behind->thread_node.next : leader->signal->thread_head.next;
	bpf_loop(THREADS_MAX, visit_thread, &visit, 0);
}

/* Process `tgid`. Not 0: it has been gone into, and so is in the list. */
__noinline int sample_process(u32 tgid)
{
	struct task_struct *leader;
	struct process_state *state;
	int found = 0;

	if (request.limits)
		compare_with_limits(tgid);
	leader = bpf_task_from_pid(tgid);
	if (!leader)
		return 0;
	state = bpf_task_storage_get(&processes, leader, NULL, 0);
	if (is_up_to_date(state) && (request.limits || state->watches & (request.processes | request.threads))) {
		sample_selected(state, leader, NULL);
		found = 1;
	}
	bpf_task_release(leader);
	return found;
}

/* The threads of the process that the last run has not finished. */
__noinline int sample_others(u32 tgid)
{
	struct task_struct *behind = bpf_task_from_pid(pass.thread.tgid), *leader;
	struct process_state *state;

	if (!behind) {
		pass.gone = 1;
		return 0;
	}
	pass.gone = !is_same(behind, &pass.thread) || (u32)behind->tgid != tgid;
	leader = pass.gone ? NULL : bpf_task_from_pid(tgid);
	if (leader) {
		state = bpf_task_storage_get(&processes, leader, NULL, 0);
		if (is_up_to_date(state))
			sample_selected(state, leader, behind);
		bpf_task_release(leader);
	}
	bpf_task_release(behind);
	return 0;
}

struct process_visit {
	struct list_head *next, *end; /* `tasks` of main threads */
};

/* Most processes may not be watched, and have no storage of any kind. */
static __always_inline bool has_storage(struct task_struct *leader)
{
	return !bpf_core_field_exists(leader->bpf_storage) || leader->bpf_storage;
}

static long visit_process(u32 index, struct process_visit *at)
{
	struct task_struct *leader = TYPED(task_struct, (void *)at->next - bpf_core_field_offset(struct task_struct, tasks));
	struct listed_process *process;
	u32 key = pass.listed;

	process = bpf_map_lookup_elem(&process_list, &key);
	if (!process || pass.records + 2 > PASS_RECORDS)
		return 1;
	if (leader->pid) { /* not the idle task, which is where the list goes round */
		note(&pass.behind, leader->pid, leader->start_boottime);
		note(process, leader->pid, leader->start_boottime);
		if (!request.threads)
			fetch_some(leader, true);
		if (has_storage(leader) && sample_process(leader->pid))
			pass.listed++;
		if (pass.full)
			return 1;
	}
	at->next = leader->tasks.next;
	pass.complete = at->next == at->end;
	return pass.complete;
}

/* Where the pass goes on. False: what it was to go on behind has ended. */
static __always_inline bool find_place(struct process_visit *at, struct task_struct *behind)
{
	if (!pass.behind.tgid) {
		at->next = at->end;
		return true;
	}
	if (!behind || !is_same(behind, &pass.behind) || behind->pid != behind->tgid)
		return false;
	at->next = behind->tasks.next;
	return true;
}

/*
 * The next part of a pass: the threads of `pass.behind` behind `pass.thread`, if that is named, and the processes behind it, as far
 * as there is room for what is found: for two records, its own and one thread's, before a process is begun. The list begins
 * and ends with the collector itself. A pass is taken in parts because a program that runs for long keeps others from the CPU,
 * and from the end of their grace periods; to have each process in a run of its own costs a third more.
 */
SEC("syscall")
int sample_part(void *context)
{
	struct task_struct *self = bpf_get_current_task_btf()->group_leader, *behind = NULL;
	struct process_visit at = { .end = (void *)self + bpf_core_field_offset(struct task_struct, tasks) };

	pass.listed = pass.records = pass.full = pass.complete = pass.gone = 0;
	bpf_rcu_read_lock(); /* what is found in it, and what follows that, is not freed before its end */
	if (pass.behind.tgid)
		behind = bpf_task_from_pid(pass.behind.tgid);
	if (!find_place(&at, behind))
		pass.gone = 1;
	else if (pass.thread.tgid)
		sample_others(pass.behind.tgid);
	if (!pass.gone && !pass.full) {
		pass.complete = pass.behind.tgid && at.next == at.end;
		if (!pass.complete)
			bpf_loop(PASS_VISITS, visit_process, &at, 0);
		if (!pass.full)
			note(&pass.thread, 0, 0);
	}
	bpf_rcu_read_unlock();
	if (behind)
		bpf_task_release(behind);
	return 0;
}

/* Before a pass: what is in flight. */
SEC("syscall")
int note_requests(void *context)
{
	note_open_requests((struct charge_key){});
	return 0;
}

#endif
