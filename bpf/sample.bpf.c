// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The sampler: one pass over all tasks, a packed record for each that a due watch selects. A read() of the iterator
 * returns as many as fit; the kernel runs the program again for a task whose record did not fit.
 */
#define FILL_WITH_TYPED_WALK /* it is run for every thread there is */
#include "fill.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The first walk of a pass; see stretch.bpf.h. */
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

static __always_inline void emit_sample(struct seq_file *out, struct task_record *record, u64 verdict)
{
	record->folds = verdict & settings.windows;
	bpf_seq_write(out, record, sizeof(*record));
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
	fill_process(space, state, leader, 0);
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

SEC("iter/task")
int sample_task(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task, *leader;
	struct seq_file *out = context->meta->seq;
	u32 user = SCRATCH_SAMPLE;
	struct process_state *state;
	struct workspace *space;
	struct thread_state *thread;
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
		fill_process(space, state, leader, watches & request.processes);
		emit_sample(out, &space->record, watches);
	}
	if (watches & request.threads && !(task->flags & PF_EXITING)) {
		thread = thread_state_of(task, watches & request.threads);
		if (!thread)
			return 0;
		fill_thread(&space->record, thread, task, watches & request.threads, bpf_ktime_get_boot_ns());
		space->record.facts[0] = state->facts.bits[0];
		space->record.facts[1] = state->facts.bits[1];
		emit_sample(out, &space->record, watches);
	}
	return 0;
}

/* Before a pass: what is in flight. */
SEC("syscall")
int note_requests(void *context)
{
	note_open_requests((struct charge_key){});
	return 0;
}
