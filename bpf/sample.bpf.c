// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The sampler: one pass over all tasks, a packed record for each that a due watch selects. There are two ways. This one, iter/task, works
 * everywhere: a read() returns as many records as fit, and the kernel runs the program again for a task whose record did
 * not. The other is in pass.bpf.h; the pass after a change of watches, which judges all processes, always goes this way.
 */
#define WITH_TYPES /* it is run for every thread there is */
#include "sample.bpf.h"
#include "pass.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* False: there is no memory for what must be known of it. */
static __always_inline bool sample_thread(struct task_record *record, struct process_state *state, struct task_struct *task,
					  u64 watches)
{
	struct thread_state *thread = NULL;

	if (settings.judging || settings.measured) {
		thread = thread_state_of(task, watches & settings.threads);
		if (!thread)
			return false;
		thread->watches = watches & settings.threads; /* for an end that no program sees */
	}
	fill_thread(record, thread, task, watches & request.threads, bpf_ktime_get_boot_ns());
	record->facts[0] = state->facts.bits[0];
	record->facts[1] = state->facts.bits[1];
	record->folds = watches & settings.windows;
	return true;
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
		fill_either(&space->record, &space->walk, state, leader, watches);
		bpf_seq_write(out, &space->record, sizeof(space->record));
	}
	if (watches & request.threads && !(task->flags & PF_EXITING) && sample_thread(&space->record, state, task, watches))
		bpf_seq_write(out, &space->record, sizeof(space->record));
	return 0;
}
