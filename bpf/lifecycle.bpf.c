// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Fork, exec, rename, exit: where verdicts are made, inherited and ended, and what a task leaves behind is kept.
 */
#include "fill.bpf.h"
#include "preempt.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

__hidden __noinline void forbid_preemption(void)
{
	if (bpf_preempt_disable)
		bpf_preempt_disable();
}

__hidden __noinline void allow_preemption(void)
{
	if (bpf_preempt_disable)
		bpf_preempt_enable();
}

/*
 * The collector sleeps until the first record, then waits a moment for more and takes them all; until it has, more
 * wake-ups would only cost, unless the ring runs full.
 */
#define WAKE_UP_BYTES (256 << 10)

static __always_inline void emit(void *record, u64 size, u64 watches)
{
	u64 waiting = bpf_ringbuf_query(&lifecycle, BPF_RB_AVAIL_DATA);
	u64 flags = waiting == 0 || waiting >= WAKE_UP_BYTES ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;

	if (bpf_ringbuf_output(&lifecycle, record, size, flags))
		count_loss(watches, LOSS_RING_FULL);
}

static __always_inline void emit_event(u32 type, u32 flags, u64 watches, struct task_struct *task, u32 other_tid, const char *comm,
				       const char *old_comm)
{
	struct task_event event = {
		.type = type,
		.flags = flags,
		.watches = watches,
		.time_ns = bpf_ktime_get_boot_ns(),
		.start_time_ns = task->start_boottime,
		.tid = task->pid,
		.tgid = task->tgid,
		.other_tid = other_tid,
		.uid = task->real_cred->uid.val,
	};

	if (!watches)
		return;
	bpf_probe_read_kernel_str(event.comm, sizeof(event.comm), comm);
	bpf_probe_read_kernel_str(event.old_comm, sizeof(event.old_comm), old_comm);
	emit(&event, sizeof(event), watches);
}

static __always_inline void handle_fork(struct task_struct *parent, struct task_struct *child)
{
	struct process_state *state = watched(parent);
	struct verdict verdict = {};
	u64 watches;

	if (child->pid != child->tgid) {
		/* a thread: its process's verdict holds for it */
		if (!state)
			return;
		__sync_fetch_and_add(&state->threads_begun, 1);
		__sync_fetch_and_add(&state->figure[F_task_thread_create_count], 1);
		if (state->watches & PER_THREAD)
			thread_state_of(child, state->watches & settings.threads);
		watches = visible_to(state, child->group_leader) & settings.threads;
		if (!watches)
			return;
		emit_event(RECORD_FORK, RECORD_THREAD, watches, child, parent->pid, child->comm, parent->comm);
		return;
	}
	if (state) {
		__sync_fetch_and_add(&state->figure[F_task_fork_count], 1);
		verdict.inherited = state->watches;
		verdict.facts = state->facts; /* its name and argv are its parent's until it executes something */
		remove_terms(&verdict.facts, &rules.connections);
		remove_terms(&verdict.facts, &rules.limits);
		remove_terms(&verdict.facts, &rules.descent);
		add_terms(&verdict.facts, &state->hands_down);
	}
	decide(&verdict, child);
	state = apply_verdict(child, &verdict);
	if (!state)
		return;
	fork_heap(parent, child);
	if (state->watches & PER_THREAD)
		thread_state_of(child, state->watches & settings.threads);
	watches = visible_to(state, child);
	emit_event(RECORD_FORK, 0, watches, child, parent->pid, child->comm, parent->comm);
}

/* A thread that became the main thread by exec: its old number ends here, without an exit. */
static __always_inline void retire_thread(struct process_state *state, struct task_struct *task, u64 watches)
{
	u32 user = SCRATCH_EXEC;
	struct thread_state *thread = bpf_task_storage_get(&threads, task, NULL, 0);
	struct workspace *space = bpf_map_lookup_elem(&scratch, &user);
	struct task_record *record;
	u32 old_tid;

	if (!thread || !space)
		return;
	record = &space->record;
	old_tid = thread->tid;
	if (old_tid != (u32)task->pid && watches & settings.threads) {
		u64 old_start = thread->start_time_ns;

		fill_thread(record, thread, task, watches & settings.threads, bpf_ktime_get_boot_ns());
		record->facts[0] = state->facts.bits[0];
		record->facts[1] = state->facts.bits[1];
		record->type = RECORD_END;
		record->flags = RECORD_THREAD | RECORD_RETIRED;
		record->tid = old_tid;
		record->start_time_ns = old_start;
		bpf_probe_read_kernel(record->comm, sizeof(record->comm), state->comm);
		emit(record, sizeof(*record), record->watches);
	}
	thread->tid = task->pid;
	thread->start_time_ns = task->start_boottime;
}

/* What a program is, is decided by its name and arguments; what an earlier one in this process did does not count. */
static __always_inline struct process_state *judge_program(struct process_state *state, struct task_struct *task)
{
	struct term_set facts = {};
	u32 user = SCRATCH_EXEC;
	struct workspace *space = bpf_map_lookup_elem(&scratch, &user);

	if (state) {
		facts = state->facts;
		keep_terms(&facts, &rules.descent);
	}
	add_name_facts(&facts, task->comm, task);
	add_user_facts(&facts, task);
	if (space)
		add_argv_facts(&facts, task, space->argv);
	return judge_by(facts, state, task);
}

/* The name that a process had before it executed something is told when nobody knows yet who will watch it. */
static __always_inline void note_old_name(struct task_struct *task)
{
	struct old_name name = {};
	u32 tid = task->pid;

	if (is_empty(&rules.used))
		return;
	bpf_probe_read_kernel_str(name.comm, sizeof(name.comm), task->comm);
	bpf_map_update_elem(&old_names, &tid, &name, BPF_ANY);
}

static __always_inline void take_old_name(struct task_struct *task, char *comm)
{
	u32 tid = task->pid;
	struct old_name *name = bpf_map_lookup_elem(&old_names, &tid);

	if (!name)
		return;
	__builtin_memcpy(comm, name->comm, sizeof(name->comm));
	bpf_map_delete_elem(&old_names, &tid);
}

static __always_inline void handle_exec(struct task_struct *task, pid_t old_pid)
{
	struct process_state *state = watched(task);
	u64 before = 0, watches;
	char old_comm[TASK_COMM_BYTES] = {};

	if (state) {
		before = visible_to(state, task);
		__builtin_memcpy(old_comm, state->comm, sizeof(old_comm));
		if (old_pid != task->pid)
			retire_thread(state, task, before);
	} else if (!is_empty(&rules.used)) {
		take_old_name(task, old_comm);
	}
	exec_heap(task, old_pid != task->pid);
	state = judge_program(state, task);
	watches = state ? visible_to(state, task) : 0;
	if (state) {
		__sync_fetch_and_add(&state->figure[F_task_exec_count], 1);
		bpf_probe_read_kernel(state->comm, sizeof(state->comm), task->comm);
	}
	/* who watched it until now must hear of it too */
	emit_event(RECORD_EXEC, 0, before | watches, task, old_pid, task->comm, old_comm);
}

static __always_inline void handle_rename(struct task_struct *task, const char *comm)
{
	struct process_state *state = watched(task);
	bool is_leader = task->pid == task->tgid;
	struct term_set facts = {};
	u64 watches;

	/* exec renames too; its own event tells more */
	if (BPF_CORE_READ_BITFIELD(task, in_execve)) {
		if (!state)
			note_old_name(task);
		return;
	}
	watches = state ? visible_to(state, task->group_leader) : 0;
	if (!is_leader) {
		emit_event(RECORD_RENAME, RECORD_THREAD, watches & settings.threads, task, 0, comm, task->comm);
		return;
	}
	if (!is_empty(&rules.names)) {
		if (state)
			facts = state->facts;
		remove_terms(&facts, &rules.names);
		add_name_facts(&facts, comm, task);
		state = judge_by(facts, state, task);
		watches |= state ? visible_to(state, task) : 0;
	}
	if (state)
		bpf_probe_read_kernel_str(state->comm, sizeof(state->comm), comm);
	emit_event(RECORD_RENAME, 0, watches, task, 0, comm, task->comm);
}

struct exit_search {
	struct list_head *head, *next;
	struct task_struct *self;
	bool found;
};

static long visit_thread_for_exit(u32 index, struct exit_search *search)
{
	struct list_head *node = search->next;
	struct task_struct *task;

	if (!node || node == search->head)
		return 1;
	task = (void *)node - bpf_core_field_offset(struct task_struct, thread_node);
	search->found = task != search->self && !BPF_CORE_READ(task, exit_state);
	search->next = BPF_CORE_READ(node, next);
	return search->found;
}

/* Is there another thread that may not have come to its exit program yet? */
static __always_inline bool others_exit(struct task_struct *task)
{
	struct list_head *head = (void *)task->signal + bpf_core_field_offset(struct signal_struct, thread_head);
	struct exit_search search = { .head = head, .self = task };

	search.next = BPF_CORE_READ(head, next);
	bpf_loop(THREADS_MAX, visit_thread_for_exit, &search, 0);
	return search.found;
}

/*
 * Is this the last thread of its process to come here? `live` falls earlier, so several can find it at 0, and between
 * the two a thread can be preempted: up to 6.12 it releases its memory there. Then its remains would be missing.
 */
static __always_inline bool is_last_exit(struct process_state *state, struct task_struct *task)
{
	if (task->signal->live.counter != 0)
		return false;
	if (state->remains.threads < state->threads_begun && others_exit(task))
		return false;
	return !__sync_lock_test_and_set(&state->ended, 1);
}

/*
 * exec by a thread that is not the main thread: all others exit, the main thread among them, and the caller takes its
 * place. The process goes on, so its state moves on. See de_thread(), fs/exec.c.
 */
static __always_inline void hand_over(struct process_state *state, struct task_struct *task)
{
	struct task_struct *heir = task->signal->group_exec_task;
	struct process_state *copy;

	if (!heir || heir == task)
		return;
	copy = make_state(&processes, heir);
	if (!copy) {
		count_loss(state->watches, LOSS_STATE_FULL);
		return;
	}
	bpf_probe_read_kernel(copy, sizeof(*copy), state);
	state->handed_over = 1;
	copy->handed_over = 0;
	copy->main_thread_ended = 0; /* the heir will be the main thread */
	if (copy->watches & settings.threads)
		thread_state_of(heir, copy->watches & settings.threads); /* its present number, for retire_thread() */
}

/* Block requests that are still in flight when their thread exits count with their length so far. */
static __always_inline void close_requests(struct process_state *state, struct task_struct *task)
{
	struct charge_key key = process_key(task->group_leader);
	struct charge *charge;

	if (!(settings.measured & METRIC_BIT(M_task_io_request_time_max)))
		return;
	charge = bpf_map_lookup_elem(&charges, &key);
	if (charge && charge->in_flight)
		note_open_requests(key);
}

static __always_inline void handle_exit(struct task_struct *task)
{
	struct process_state *state = watched(task);
	struct task_struct *leader = task->group_leader;
	u64 now = bpf_ktime_get_boot_ns();
	u32 user = SCRATCH_EXIT;
	struct workspace *space;
	struct task_record *record;
	struct thread_state *thread;
	bool process_ended;
	u64 watches;

	if (!state) {
		thread = bpf_task_storage_get(&threads, task, NULL, 0);
		if (thread)
			thread->ended = 1; /* for watches that there were */
		forget_charge(thread_key(task));
		if (leader->signal->live.counter == 0)
			forget_charge(process_key(leader));
		return;
	}
	keep_remains(state, task, now);
	hand_over(state, task);
	watches = visible_to(state, leader);
	space = bpf_map_lookup_elem(&scratch, &user);
	if (!space)
		return;
	record = &space->record;
	process_ended = is_last_exit(state, task);

	close_requests(state, task);
	thread = watches & settings.threads ? thread_state_of(task, watches & settings.threads) :
					      bpf_task_storage_get(&threads, task, NULL, 0);
	if (thread)
		thread->ended = 1;
	if (thread && watches & settings.threads) {
		fill_thread(record, thread, task, watches & settings.threads, now);
		record->facts[0] = state->facts.bits[0];
		record->facts[1] = state->facts.bits[1];
		record->type = RECORD_END;
		record->flags |= process_ended ? RECORD_PROCESS_ENDED : 0;
		record->exit_status = exit_status_of(task, process_ended);
		emit(record, sizeof(*record), record->watches);
	}
	forget_charge(thread_key(task));
	if (process_ended && watches) {
		fill_process_end(record, &space->walk, state, leader, watches, exit_status_of(task, true));
		emit(record, sizeof(*record), record->watches);
	}
	if (process_ended)
		forget_charge(process_key(leader));
	exit_heap(task, process_ended);
}

/*
 * The last chance: the kernel is about to free the task, in a softirq, where no program is preempted. If its exit was
 * skipped (see preempt.bpf.h), its final record is sent here. Its main thread may be gone, so only its own state counts.
 */
static __always_inline void handle_free(struct task_struct *task)
{
	struct thread_state *thread = bpf_task_storage_get(&threads, task, NULL, 0);
	struct process_state *state = NULL;
	u64 now = bpf_ktime_get_boot_ns();
	struct task_record *record;
	struct workspace *space;
	u32 user = SCRATCH_FREE;
	u64 watches;

	if (task->pid == task->tgid)
		state = bpf_task_storage_get(&processes, task, NULL, 0);
	space = bpf_map_lookup_elem(&scratch, &user);
	if (!space)
		return;
	record = &space->record;
	if (settings.measured & METRIC_BIT(M_task_io_request_time_max) && ((thread && !thread->ended) || (state && !state->ended)))
		note_open_requests((struct charge_key){});
	/* a main thread whose number went on to another thread by exec (exchange_tids(), fs/exec.c) has not ended for anyone */
	if (thread && !thread->ended && thread->tid == (u32)task->pid) {
		watches = with_sight_of(thread->watches & settings.used & settings.threads, task, dumpable_by_itself(task));
		fill_thread(record, thread, task, watches, now);
		bpf_probe_read_kernel(record->process_comm, sizeof(record->process_comm), task->comm);
		record->type = RECORD_END;
		record->exit_status = task->exit_code;
		if (watches)
			emit(record, sizeof(*record), watches);
		forget_charge(thread_key(task));
	}
	if (state && !state->ended && !state->handed_over) {
		if (!state->main_thread_ended)
			keep_remains(state, task, now);
		watches = visible_to(state, task);
		fill_process_end(record, &space->walk, state, task, watches, exit_status_of(task, true));
		if (watches)
			emit(record, sizeof(*record), watches);
		forget_charge(process_key(task));
		exit_heap(task, true);
	}
}

SEC("tp_btf/sched_process_free")
int BPF_PROG(on_free, struct task_struct *task)
{
	handle_free(task);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	WITHOUT_PREEMPTION(handle_fork(parent, child));
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, pid_t old_pid)
{
	WITHOUT_PREEMPTION(handle_exec(task, old_pid));
	return 0;
}

SEC("tp_btf/task_rename")
int BPF_PROG(on_rename, struct task_struct *task, const char *comm)
{
	WITHOUT_PREEMPTION(handle_rename(task, comm));
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	WITHOUT_PREEMPTION(handle_exit(task));
	return 0;
}
