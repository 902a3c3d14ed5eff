// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Each system call of the tasks of which somebody wants them, as it is entered and left.
 *
 * A ring per CPU in mapped memory, and no wake-up: CPUs do not wait for each other as they do for the lock of a BPF
 * ring buffer, and a record with all that has to be decided about it costs no more than the bare one does there
 * (tests/bench/syscall).
 */
#include "watch.bpf.h"
#include "preempt.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define NO_NUMBER (-1)

static __always_inline bool is_compat(struct task_struct *task)
{
	return bpf_core_field_exists(task->thread_info.status) && task->thread_info.status & TS_COMPAT;
}

/* As remember_dumpable(), of a task that runs in its own address space. */
static __always_inline bool is_dumpable(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	unsigned long flags;

	if (bpf_core_field_exists(task->exec_state))
		return dumpable_by_itself(task);
	if (!mm)
		return false;
	if (bpf_core_field_exists(mm->flags.__mm_flags))
		flags = mm->flags.__mm_flags[0];
	else
		flags = ((struct mm_struct___before_6_18 *)mm)->flags;
	return (flags & MMF_DUMPABLE_MASK) == SUID_DUMP_USER;
}

/* Who gets the system calls of the current task. A user sees those of threads that are theirs at this very moment. */
static __always_inline u64 audience_of(struct task_struct *task)
{
	struct process_state *state = watched(task);
	u64 watches;

	if (!state)
		return 0;
	watches = state->watches & settings.syscalls & settings.used;
	if (!(watches & ~settings.sees_all))
		return watches;
	return with_sight_of(watches, task, is_dumpable(task));
}

static __always_inline void record_call(struct task_struct *task, u64 watches, u32 number, u32 flags, u64 value)
{
	u32 cpu = bpf_get_smp_processor_id(), slot;
	struct stream_ring *ring = bpf_map_lookup_elem(&stream_rings, &cpu);
	struct syscall_record *record;
	u64 head;

	if (!ring)
		goto full;
	head = ring->head;
	if (head == ring->limit) {
		ring->limit = *(volatile u64 *)&ring->tail + ring->slots;
		if (head == ring->limit)
			goto full;
	}
	slot = ring->first + (head & (ring->slots - 1));
	record = bpf_map_lookup_elem(&stream_records, &slot);
	if (!record)
		goto full;
	record->time_ns = bpf_ktime_get_boot_ns();
	record->value = value;
	record->watches = watches;
	record->tid = task->pid;
	record->tgid = task->tgid;
	record->number = number;
	record->flags = flags;
	((u64 *)record->comm)[0] = ((u64 *)task->comm)[0];
	((u64 *)record->comm)[1] = ((u64 *)task->comm)[1];
	/* x86 keeps the order of stores; elsewhere the collector must not see the new head before the record */
#ifdef __TARGET_ARCH_x86
	barrier();
	*(volatile u64 *)&ring->head = head + 1;
#else
	__sync_fetch_and_add(&ring->head, 1);
#endif
	return;
full:
	count_loss(watches, LOSS_STREAM_FULL);
}

/* sigreturn restores the registers of what the signal has interrupted, so that nothing is left of its own number. */
static __always_inline bool is_signal_return(u32 number, bool compat)
{
	return compat ? number == 119 || number == 173 : number == 15 || number == 0x40000000 + 513;
}

static __always_inline void note_signal_return(u32 number, bool compat)
{
	u32 tid = bpf_get_current_pid_tgid();

	if (is_signal_return(number, compat))
		bpf_map_update_elem(&signal_returns, &tid, &number, BPF_ANY);
	else if (number == (u32)NO_NUMBER)
		bpf_map_delete_elem(&signal_returns, &tid);
}

static __always_inline u32 number_left(u32 number)
{
	u32 tid = bpf_get_current_pid_tgid(), *noted;

	if (number != (u32)NO_NUMBER)
		return number;
	noted = bpf_map_lookup_elem(&signal_returns, &tid);
	if (noted) {
		number = *noted;
		bpf_map_delete_elem(&signal_returns, &tid);
	}
	return number;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(stream_enter, struct pt_regs *regs, long number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 watches = audience_of(task);
	bool compat;

	if (!watches)
		return 0;
	compat = is_compat(task);
	note_signal_return(number, compat);
	WITHOUT_PREEMPTION(record_call(task, watches, number, compat ? SYSCALL_COMPAT : 0, compat ? (u32)regs->bx : regs->di));
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(stream_leave, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 watches = audience_of(task);
	u32 number;

	if (!watches)
		return 0;
	number = number_left(regs->orig_ax);
	WITHOUT_PREEMPTION(record_call(task, watches, number, SYSCALL_LEAVE | (is_compat(task) ? SYSCALL_COMPAT : 0), result));
	return 0;
}
