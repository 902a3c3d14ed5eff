// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The sampler: one pass over all tasks, a packed record for each that a due watch selects. A read() of the iterator
 * returns as many as fit; the kernel runs the program again for a task whose record did not fit.
 */
#define FILL_WITH_TYPED_WALK /* it is run for every thread there is */
#include "fill.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("iter/task")
int sample_task(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task, *leader;
	struct seq_file *out = context->meta->seq;
	u32 user = SCRATCH_SAMPLE;
	struct process_state *state;
	struct workspace *space;
	struct task_record *record;
	struct thread_state *thread;
	bool is_leader;
	u64 watches;

	if (!task)
		return 0;
	is_leader = task->pid == task->tgid;
	if (!is_leader && !request.threads)
		return 0;
	leader = task->group_leader;
	state = judge(leader);
	space = bpf_map_lookup_elem(&scratch, &user);
	if (!state || state->ended || !space)
		return 0;
	record = &space->record;
	watches = visible_to(state, leader);
	if (is_leader && watches & request.processes) {
		fill_process(space, state, leader, watches & request.processes);
		bpf_seq_write(out, record, sizeof(*record));
	}
	if (watches & request.threads && !(task->flags & PF_EXITING)) {
		thread = thread_state_of(task, watches & request.threads);
		if (!thread)
			return 0;
		fill_thread(record, thread, task, watches & request.threads, bpf_ktime_get_boot_ns());
		bpf_seq_write(out, record, sizeof(*record));
	}
	return 0;
}
