/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What both ways of taking a sample of all tasks have in common: sample.bpf.c (iter/task) and pass.bpf.h.
 */
#ifndef TASKMON_SAMPLE_BPF_H
#define TASKMON_SAMPLE_BPF_H

#include "fill.bpf.h"

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

struct comparison {
	struct process_state *state;
	struct task_record *record;
	struct term_set facts;
};

static long compare_with_limit(u32 index, struct comparison *comparison)
{
	struct process_state *state = comparison->state;
	struct task_record *record = comparison->record;
	struct limit *limit = bpf_map_lookup_elem(&limits, &index);
	u64 now = record->time_ns;
	u32 metric;

	if (!limit || index >= LIMITS_MAX)
		return 1;
	metric = limit->metric;
	if (metric >= METRIC_TOTAL)
		return 0;
	if (record->present & METRIC_BIT(metric) && crosses(limit, state, index, record->value[metric], now))
		state->limit_until_ns[index] = now + limit->hold_ns + 1;
	if (state->limit_until_ns[index] > now)
		comparison->facts.bits[limit->term / 64 & 1] |= 1ULL << (limit->term & 63);
	return 0;
}

/* A process whose figures cross a limit of a rule is selected as long as they do, and for the hold time. */
static __always_inline struct process_state *judge_by_limits(struct workspace *space, struct process_state *state,
							     struct task_struct *leader)
{
	struct comparison comparison = { .state = state, .record = &space->record, .facts = state->facts };

	remove_terms(&comparison.facts, &rules.limits);
	fill_process(&space->record, &space->walk, state, leader, 0);
	bpf_loop(rules.limit_count, compare_with_limit, &comparison, 0);
	state->limit_time_ns = space->record.time_ns;
	if (comparison.facts.bits[0] == state->facts.bits[0] && comparison.facts.bits[1] == state->facts.bits[1])
		return state;
	return judge_by(comparison.facts, state, leader);
}

/*
 * A process of which no thread is left and whose last exit was skipped (see preempt.bpf.h): a pass finds it, where its parent has not
 * waited for it. One that had ended before it was watched is shown as it is.
 */
static __always_inline bool ended_unseen(struct process_state *state, struct task_struct *leader)
{
	/* in this order: of a main thread that exec replaces (EXIT_DEAD, de_thread()) the number of threads falls last */
	return *(volatile int *)&leader->signal->nr_threads == 1 && leader->exit_state == EXIT_ZOMBIE && state->threads_begun &&
	       !state->handed_over && !__sync_lock_test_and_set(&state->ended, 1);
}

/* The record of a process; its last one, and then for all that watch it, if it is found to have ended. */
static __always_inline void fill_either(struct task_record *record, struct thread_walk *walk, struct process_state *state,
					struct task_struct *leader, u64 watches)
{
	if (!ended_unseen(state, leader)) {
		fill_process(record, walk, state, leader, watches & request.processes);
		record->folds = watches & settings.windows;
		return;
	}
	if (!state->main_thread_ended)
		keep_remains(state, leader, bpf_ktime_get_boot_ns());
	fill_process_end(record, walk, state, leader, watches, exit_status_of(leader, true));
	forget_charge(process_key(leader));
	exit_heap(leader, true);
}

#endif
