// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The sampler: one pass over all tasks, a packed record for each that a due watch selects. There are two ways. iter/task works
 * everywhere: a read() returns as many records as fit, and the kernel runs the program again for a task whose record did
 * not. Where a program may look up tasks and give addresses a type (6.2), one goes through the lists of processes and threads
 * by itself, which costs half, and leaves the records in memory that the collector has mapped. Such a program may sleep, and
 * so must not use all maps that judging takes (LPM tries): the pass after a change of watches always goes the first way.
 * (The task iterator that programs have since 6.7 begins with the first process each time, and the verifier of 6.18 gives
 * up on a loop over it that fills records.)
 */
#define FILL_WITH_TYPED_WALK /* it is run for every thread there is */
#include "fill.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What is open of a thread before its process's record is filled; see stretch.bpf.h. */
static __always_inline void prepare(struct process_state *state, struct task_struct *task, u64 watches)
{
	struct thread_state *thread;
	struct stretches open;

	if (!(watches & PER_THREAD) || task->flags & PF_EXITING)
		return;
	thread = thread_state_of(task, watches & settings.threads);
	if (!thread)
		return;
	open = open_stretches(thread, task, bpf_ktime_get_boot_ns());
	if (task->pid == task->tgid)
		return; /* its own are looked at when its record is filled */
	keep_longest(&state->open[F_task_switch_offcpu_time_max], open.off_cpu_ns);
	keep_longest(&state->open[F_task_io_wait_time_max], open.io_wait_ns);
	keep_longest(&state->open[F_task_run_delay_max], open.run_delay_ns);
}

/* A metric of the process, or its rate per second since the last comparison; nanoseconds per second are a share. */
static __always_inline bool crosses(const struct limit *limit, struct process_state *state, u32 index, u64 value, u64 now)
{
	u64 last = state->limit_last[index & (LIMITS_MAX - 1)], elapsed = now - state->limit_time_ns;

	state->limit_last[index & (LIMITS_MAX - 1)] = value;
	if (limit->is_rate) {
		if (!state->limit_time_ns || elapsed < 1000000 || value < last)
			return false;
		value = (value - last) * 1000 / (elapsed / 1000000);
	}
	return limit->below ? value < limit->value : value > limit->value;
}

static __always_inline void compare_with_limit(struct process_state *state, struct task_record *record,
					       struct term_set *facts, u32 index)
{
	u32 key = index;
	struct limit *limit = bpf_map_lookup_elem(&limits, &key);
	u64 now = record->time_ns;
	u32 metric, word;

	if (!limit || limit->metric >= METRIC_TOTAL)
		return;
	metric = limit->metric;
	word = limit->term / 64 & 1;
	if (record->present & METRIC_BIT(metric) && crosses(limit, state, index, record->value[metric], now))
		state->limit_until_ns[index] = now + limit->hold_ns + 1;
	if (state->limit_until_ns[index] > now)
		facts->bits[word] |= 1ULL << (limit->term & 63);
}

/* A process whose figures cross a limit of a rule is selected as long as they do, and for the hold time. */
static __always_inline struct process_state *judge_by_limits(struct workspace *space, struct process_state *state,
							     struct task_struct *leader)
{
	struct term_set facts = state->facts;

	remove_terms(&facts, &rules.limits);
	fill_process(&space->record, &space->walk, state, leader, 0);
	for (u32 i = 0; i < LIMITS_MAX; i++) {
		if (i >= rules.limit_count)
			break;
		compare_with_limit(state, &space->record, &facts, i);
	}
	state->limit_time_ns = space->record.time_ns;
	if (facts.bits[0] == state->facts.bits[0] && facts.bits[1] == state->facts.bits[1])
		return state;
	return judge_by(facts, state, leader);
}

/* False: there is no memory for what must be known of it. */
static __always_inline bool sample_thread(struct task_record *record, struct process_state *state,
					  struct task_struct *task, u64 watches)
{
	struct thread_state *thread = NULL;

	if (settings.judging || settings.measured) {
		thread = thread_state_of(task, watches & request.threads);
		if (!thread)
			return false;
	}
	fill_thread(record, thread, task, watches & request.threads, bpf_ktime_get_boot_ns());
	record->facts[0] = state->facts.bits[0];
	record->facts[1] = state->facts.bits[1];
	record->folds = watches & settings.windows;
	return true;
}

/* --- iter/task */

/*
 * Filling a record ends a window, so it must not be done twice. If there may be no room for two, the buffer is made to
 * overflow: the kernel forgets what this run has written, and runs it again with an empty one (bpf_seq_read(),
 * kernel/bpf/bpf_iter.c).
 */
static __always_inline bool make_room(struct seq_file *out, struct task_record *record)
{
	if (out->size - out->count >= 2 * sizeof(*record))
		return false;
	bpf_seq_write(out, record, sizeof(*record));
	bpf_seq_write(out, record, sizeof(*record));
	return true;
}

SEC("iter/task")
int sample_task(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task, *leader;
	struct seq_file *out = context->meta->seq;
	u32 user = SCRATCH_SAMPLE;
	struct process_state *state;
	struct workspace *space;
	bool is_leader;
	u64 watches;

	if (!task)
		return 0;
	is_leader = task->pid == task->tgid;
	if (!is_leader && !request.threads && !request.prepare)
		return 0;
	leader = task->group_leader;
	state = judge(leader);
	space = bpf_map_lookup_elem(&scratch, &user);
	if (!state || state->ended || !space)
		return 0;
	if (request.prepare) {
		prepare(state, task, visible_to(state, leader));
		return 0;
	}
	if (request.limits && is_leader) {
		state = judge_by_limits(space, state, leader);
		if (!state)
			return 0;
	}
	watches = visible_to(state, leader);
	if (!(watches & (request.processes | request.threads)) || make_room(out, &space->record))
		return 0;
	if (is_leader && watches & request.processes) {
		fill_process(&space->record, &space->walk, state, leader, watches & request.processes);
		space->record.folds = watches & settings.windows;
		bpf_seq_write(out, &space->record, sizeof(space->record));
	}
	if (watches & request.threads && !(task->flags & PF_EXITING) &&
	    sample_thread(&space->record, state, task, watches))
		bpf_seq_write(out, &space->record, sizeof(space->record));
	return 0;
}

/* --- by itself */

extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym __weak;
extern void bpf_task_release(struct task_struct *task) __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;

/* An address as the type that it has: loads from it cost no helper, and give 0 if there is no memory. */
#define TYPED(address) bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(struct task_struct))

static __always_inline bool is_same(struct task_struct *task, const struct listed_process *listed)
{
	return task->start_boottime == listed->start_time_ns;
}

struct listing {
	struct list_head *next, *end; /* `tasks` of main threads */
};

/* Has the pass anything to find out about it? */
static __always_inline bool is_selected(struct listed_process *process)
{
	struct task_struct *leader = bpf_task_from_pid(process->tgid);
	struct process_state *state;
	bool selected = false;

	if (!leader)
		return false;
	state = bpf_task_storage_get(&processes, leader, NULL, 0);
	if (state)
		selected = request.limits || state->watches & (request.processes | request.threads);
	bpf_task_release(leader);
	return selected;
}

static long list_process(u32 index, struct listing *at)
{
	struct task_struct *leader = TYPED((void *)at->next - bpf_core_field_offset(struct task_struct, tasks));
	struct listed_process *process;
	u32 key = pass.listed;

	process = bpf_map_lookup_elem(&process_list, &key);
	if (!process)
		return 1;
	if (leader->pid) { /* not the idle task, which is where the list goes round */
		process->tgid = pass.behind.tgid = leader->pid;
		process->start_time_ns = pass.behind.start_time_ns = leader->start_boottime;
		if (is_selected(process))
			pass.listed++;
	}
	at->next = leader->tasks.next;
	pass.list_complete = at->next == at->end;
	return pass.list_complete;
}

/*
 * The next part of the list of the processes that are selected, behind the one that `pass.behind` names; then that is the last
 * one looked at. The list begins and ends with the collector itself. It is taken in parts because a program that runs for long
 * keeps others from the CPU, and from the end of their grace periods.
 */
SEC("syscall")
int list_processes(void *context)
{
	struct task_struct *self = bpf_get_current_task_btf()->group_leader, *last = NULL;
	struct listing at = { .end = (void *)self + bpf_core_field_offset(struct task_struct, tasks) };

	pass.listed = pass.list_complete = 0;
	bpf_rcu_read_lock(); /* what is found in it, and what follows that, is not freed before its end */
	if (pass.behind.tgid) {
		last = bpf_task_from_pid(pass.behind.tgid);
		if (last && is_same(last, &pass.behind) && last->pid == last->tgid) {
			at.next = last->tasks.next;
			pass.list_complete = at.next == at.end;
		}
	} else {
		at.next = at.end;
	}
	if (at.next && !pass.list_complete)
		bpf_loop(PASS_VISITS, list_process, &at, 0);
	bpf_rcu_read_unlock();
	if (last)
		bpf_task_release(last);
	return at.next ? 0 : -ESRCH;
}

static __always_inline struct task_record *next_record(void)
{
	u32 index = pass.records;

	return bpf_map_lookup_elem(&samples, &index);
}

struct thread_visit {
	struct list_head *head, *next;
	struct process_state *state;
	u64 watches;
};

#define TOUCH(task, field) ((void)*(const volatile typeof((task)->field) *)&(task)->field)

/*
 * What a record needs of a task is in a dozen cache lines, cold ones where there are many tasks, and the next thread is known
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
	TOUCH(task, exit_state);
	TOUCH(task, pid);
	TOUCH(task, real_parent);
	TOUCH(task, utime);
	TOUCH(task, nvcsw);
	TOUCH(task, real_cred);
	TOUCH(task, ioac.rchar);
	TOUCH(task, cgroups);
}

static __always_inline void fetch_some(struct task_struct *task)
{
	u32 key = pass.visited / FETCH_TASKS % FETCHES, index = pass.visited % FETCH_TASKS;
	struct fetch *fetched = bpf_map_lookup_elem(&fetches, &key);

	pass.visited++;
	if (!fetched)
		return;
	if (index == 0) {
#pragma unroll
		for (int i = 0; i < FETCH_TASKS; i++)
			fetch(TYPED(fetched->task[i]));
	}
	fetched->task[index % FETCH_TASKS] = (u64)task;
}

/* Its address as the type that it has: loads from it cost no helper. NULL: all have been visited. */
static __always_inline struct task_struct *next_thread(struct thread_visit *visit)
{
	struct list_head *node = visit->next;
	struct task_struct *task;

	if (!node || node == visit->head)
		return NULL;
	task = TYPED((void *)node - bpf_core_field_offset(struct task_struct, thread_node));
	fetch_some(task);
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

static long visit_thread(u32 index, struct thread_visit *visit)
{
	struct task_struct *task = next_thread(visit);
	u64 watches = visit->watches & request.threads;
	struct task_record *record;

	if (!task)
		return 1;
	if (task->flags & PF_EXITING)
		return 0;
	record = next_record();
	if (!record) {
		pass.full = 1;
		return 1;
	}
	fill_thread(record, NULL, task, watches, bpf_ktime_get_boot_ns());
	if (settings.measured)
		include_figures(record, task, watches);
	record->facts[0] = visit->state->facts.bits[0];
	record->facts[1] = visit->state->facts.bits[1];
	record->folds = visit->watches & settings.windows;
	pass.thread.tgid = record->tid;
	pass.thread.start_time_ns = record->start_time_ns;
	pass.records++;
	return 0;
}

static long visit_thread_to_prepare(u32 index, struct thread_visit *visit)
{
	struct task_struct *typed = next_thread(visit), *task;

	if (!typed)
		return 1;
	task = bpf_task_from_pid(typed->pid);
	if (!task)
		return 0;
	prepare(visit->state, task, visit->watches);
	bpf_task_release(task);
	return 0;
}

/* All that is to be known of a process, or its threads behind the one that found room last. */
static __always_inline void sample_process(struct task_struct *leader, struct task_struct *behind)
{
	struct list_head *head = (void *)leader->signal + bpf_core_field_offset(struct signal_struct, thread_head);
	struct process_state *state = bpf_task_storage_get(&processes, leader, NULL, 0);
	u32 user = SCRATCH_SAMPLE;
	struct workspace *space = bpf_map_lookup_elem(&scratch, &user);
	struct thread_visit visit = { .head = head, .state = state };
	struct task_record *record;

	if (!state || state->ended || state->generation != settings.generation || !space)
		return;
	if (request.limits && !behind) {
		state = judge_by_limits(space, state, leader);
		if (!state)
			return;
	}
	visit.state = state;
	visit.watches = visible_to(state, leader);
	if (!(visit.watches & (request.processes | request.threads)))
		return;
	if (!behind && settings.measured & METRICS_OF_SWITCHES) {
		visit.next = BPF_CORE_READ(head, next);
		bpf_loop(THREADS_MAX, visit_thread_to_prepare, &visit, 0);
	}
	record = next_record();
	if (!behind && visit.watches & request.processes && record) {
		fill_process(record, &space->walk, state, leader, visit.watches & request.processes);
		record->folds = visit.watches & settings.windows;
		pass.records++;
	}
	if (!(visit.watches & request.threads))
		return;
	visit.next = behind ? behind->thread_node.next : BPF_CORE_READ(head, next);
	bpf_loop(THREADS_MAX, visit_thread, &visit, 0);
}

static __always_inline void sample_behind_thread(struct task_struct *leader)
{
	struct task_struct *behind = bpf_task_from_pid(pass.thread.tgid);

	if (behind && is_same(behind, &pass.thread) && behind->tgid == leader->tgid)
		sample_process(leader, behind);
	else
		pass.thread_gone = 1;
	if (behind)
		bpf_task_release(behind);
}

/*
 * Process `pass.at` of the list, as far as there is room for its records; the collector sees to room for two, its own and one
 * thread's, before it begins. A number that was given to another process is not what was listed.
 */
SEC("syscall")
int sample_listed_process(void *context)
{
	u32 key = pass.at;
	struct listed_process *process = bpf_map_lookup_elem(&process_list, &key);
	struct task_struct *leader;

	pass.full = pass.thread_gone = 0;
	if (!process)
		return 0;
	bpf_rcu_read_lock();
	leader = bpf_task_from_pid(process->tgid);
	if (leader && is_same(leader, process) && leader->pid == leader->tgid) {
		if (pass.thread.tgid)
			sample_behind_thread(leader);
		else
			sample_process(leader, NULL);
	}
	bpf_rcu_read_unlock();
	if (leader)
		bpf_task_release(leader);
	return 0;
}

/* Before a pass: what is in flight. */
SEC("syscall")
int note_requests(void *context)
{
	note_open_requests((struct charge_key){});
	return 0;
}
