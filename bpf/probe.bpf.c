// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Probed functions: a record at each call and each return, with what its thread has added to the heap in between.
 *
 * To show returns the kernel puts the address of a trampoline in place of the return address, and keeps a list of open calls per thread. Here is a list
 * beside that one, with the same rules for what has been left by longjmp() or an exception (kernel/events/uprobes.c: prepare_uretprobe(),
 * handle_trampoline(); arch/x86/kernel/uprobes.c: arch_uretprobe_is_alive()).
 */
#include "watch.bpf.h"
#include "probe.bpf.h"

#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#ifndef __TARGET_ARCH_x86
#error "where arguments are is known for x86-64 only"
#endif

#define WAKE_UP_BYTES (256 << 10) /* as in lifecycle.bpf.c */

/* arch/x86/include/asm/ptrace.h; what a program on an uprobe gets is part of the ABI */
struct user_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* kernel/events/uprobes.c, include/linux/uprobes.h: the trampoline is at the beginning of this area */
struct xol_area___probe {
	unsigned long vaddr;
};

struct uprobes_state___probe {
	struct xol_area___probe *xol_area;
};

struct mm_struct___probe {
	struct uprobes_state___probe uprobes_state;
};

struct uprobe_task___probe {
	unsigned int depth;
};

struct task_struct___probe {
	struct mm_struct___probe *mm;
	struct uprobe_task___probe *utask;
};

#pragma clang attribute pop

/* The probe that this attachment is for, if it is for the current process and somebody who may see it wants it. */
static __always_inline struct probe_spec *probe_of(void *context, struct task_struct *task, u32 *slot, u64 *watches)
{
	u64 cookie = bpf_get_attach_cookie(context);
	struct process_state *state;
	struct probe_spec *spec;

	if ((u32)cookie != (u32)task->tgid)
		return NULL;
	*slot = cookie >> 32;
	spec = bpf_map_lookup_elem(&probes, slot);
	state = watched(task);
	if (!spec || !state)
		return NULL;
	*watches = visible_to(state, task->group_leader) & spec->watches;
	return *watches ? spec : NULL;
}

/* --- open calls */

/* A call that comes by a jump from a probed function finds the trampoline where its return address is. */
static __always_inline bool is_tail_call(struct task_struct *current, u64 sp)
{
	struct task_struct___probe *task = (void *)current;
	u64 trampoline = 0, address = 0;

	trampoline = BPF_CORE_READ(task, mm, uprobes_state.xol_area, vaddr);
	bpf_probe_read_user(&address, sizeof(address), (void *)sp);
	return trampoline && address == trampoline;
}

static __always_inline bool shows_return(struct task_struct *current)
{
	struct task_struct___probe *task = (void *)current;

	return BPF_CORE_READ(task, utask, depth) < PROBE_CALLS_MAX;
}

static __always_inline struct probe_call *last_call(struct probe_thread *thread)
{
	u32 i = thread->open_calls - 1;

	return i < PROBE_CALLS_MAX ? &thread->calls[i] : NULL;
}

/* Is one of those at this place of the stack a call of this probe? Then none of them is open any more: it has been called anew. */
static __always_inline bool is_called_anew(struct probe_thread *thread, u64 sp, u64 address, u32 slot)
{
	for (u32 i = 0; i < PROBE_CALLS_MAX; i++) {
		struct probe_call *call = &thread->calls[i];

		if (i >= thread->open_calls)
			break;
		if (call->sp == sp && (call->slot == slot || call->address != address))
			return true;
	}
	return false;
}

/* Calls that have been left without returning: their part of the stack is used again. */
static __always_inline void drop_dead_calls(struct probe_thread *thread, u64 sp, bool with_this)
{
	for (u32 i = 0; i < PROBE_CALLS_MAX; i++) {
		struct probe_call *call = last_call(thread);

		if (!call || (with_this ? call->sp > sp : call->sp >= sp))
			break;
		thread->open_calls--;
	}
}

/* Calls of this probe that are open. */
static __always_inline u32 depth_of(struct probe_thread *thread, u32 slot)
{
	u32 depth = 0;

	for (u32 i = 0; i < PROBE_CALLS_MAX; i++) {
		if (i >= thread->open_calls)
			break;
		depth += thread->calls[i].slot == slot;
	}
	return depth;
}

/* Returns how deep it is, 0 if its return will not be seen. */
static __always_inline u32 begin_call(struct probe_thread *thread, struct task_struct *task, const struct user_regs *regs, u32 slot)
{
	bool anew = !is_tail_call(task, regs->sp) && is_called_anew(thread, regs->sp, regs->ip, slot);
	u32 i;

	drop_dead_calls(thread, regs->sp, anew);
	i = thread->open_calls;
	if (i >= PROBE_CALLS_MAX || !shows_return(task))
		return 0;
	thread->calls[i] = (struct probe_call){
		.sp = regs->sp,
		.address = regs->ip,
		.bytes = thread->bytes,
		.blocks = thread->blocks,
		.slot = slot,
	};
	thread->open_calls = i + 1;
	return depth_of(thread, slot);
}

/* The last open call of a probe at `sp`; NULL: it was not seen. */
static __always_inline struct probe_call *find_call(struct probe_thread *thread, u32 slot, u64 sp)
{
	struct probe_call *found = NULL;

	for (u32 i = 0; i < PROBE_CALLS_MAX; i++) {
		if (i >= thread->open_calls)
			break;
		if (thread->calls[i].slot == slot && thread->calls[i].sp == sp)
			found = &thread->calls[i];
	}
	return found;
}

/* Calls at the end of the list that have returned, or are below one that has. */
static __always_inline void drop_returned(struct probe_thread *thread, u64 sp)
{
	for (u32 i = 0; i < PROBE_CALLS_MAX; i++) {
		struct probe_call *call = last_call(thread);

		if (!call || (call->slot != PROBE_NO_SLOT && call->sp >= sp))
			break;
		thread->open_calls--;
	}
}

/* --- records */

static __always_inline void send(void *record)
{
	u64 waiting = bpf_ringbuf_query(&probe_hits, BPF_RB_AVAIL_DATA);

	bpf_ringbuf_submit(record, waiting == 0 || waiting >= WAKE_UP_BYTES ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

static __always_inline void begin_hit(struct probe_hit *hit, struct task_struct *task, u32 slot, u64 watches)
{
	__builtin_memset(hit, 0, sizeof(*hit));
	hit->type = RECORD_PROBE;
	hit->slot = slot;
	hit->watches = watches;
	hit->time_ns = bpf_ktime_get_boot_ns();
	hit->tid = task->pid;
	hit->tgid = task->tgid;
}

struct arguments {
	u64 registers[PROBE_REGISTERS];
	u64 sp;
};

static __always_inline void read_registers(struct arguments *arguments, const struct user_regs *regs)
{
	arguments->registers[0] = regs->di;
	arguments->registers[1] = regs->si;
	arguments->registers[2] = regs->dx;
	arguments->registers[3] = regs->cx;
	arguments->registers[4] = regs->r8;
	arguments->registers[5] = regs->r9;
	arguments->sp = regs->sp;
}

/* The first word on the stack is the return address. */
static __always_inline bool argument_at(const struct arguments *arguments, u32 place, u64 *value)
{
	if (place < PROBE_REGISTERS) {
		*value = arguments->registers[place];
		return true;
	}
	return bpf_probe_read_user(value, sizeof(*value), (void *)(arguments->sp + 8 * (1 + place - PROBE_REGISTERS))) == 0;
}

static __always_inline void read_arguments(struct probe_hit *hit, const struct probe_spec *spec, const struct arguments *arguments,
					   struct probe_texts *texts)
{
	for (u32 i = 0; i < PROBE_ARGUMENTS_MAX; i++) {
		const struct probe_argument *argument = &spec->arguments[i];
		u32 at = argument->text_at, size = argument->text_bytes;
		u64 value = 0;
		long length;

		if (i >= spec->argument_count)
			break;
		if (!argument_at(arguments, argument->place, &value))
			continue;
		if (size) {
			if (!texts || size > PROBE_TEXT_MAX || at > PROBE_TEXTS_BYTES)
				continue;
			length = bpf_probe_read_user_str(texts->texts + at, size, (void *)value);
			if (length <= 0)
				continue;
			value = length;
		}
		hit->arguments[i] = value;
		hit->present |= 1ULL << i;
	}
}

static __always_inline bool has_texts(const struct probe_spec *spec)
{
	bool found = false;

	for (u32 i = 0; i < PROBE_ARGUMENTS_MAX; i++)
		found |= i < spec->argument_count && spec->arguments[i].text_bytes;
	return found;
}

SEC("uprobe")
int probe_call(struct user_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct probe_texts *texts = NULL;
	struct arguments arguments;
	struct probe_thread *thread;
	struct probe_spec *spec;
	struct probe_hit *hit;
	u32 slot, depth = 0;
	u64 watches;

	spec = probe_of(regs, task, &slot, &watches);
	if (!spec)
		return 0;
	thread = bpf_task_storage_get(&probe_threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (thread)
		depth = begin_call(thread, task, regs, slot);
	if (!depth)
		count_loss(watches, LOSS_PROBE_RETURN);
	read_registers(&arguments, regs);
	if (has_texts(spec)) {
		texts = bpf_ringbuf_reserve(&probe_hits, sizeof(*texts), 0);
		if (!texts) {
			count_loss(watches, LOSS_PROBE_FULL);
			return 0;
		}
		hit = &texts->hit;
		begin_hit(hit, task, slot, watches);
		hit->flags = PROBE_TEXTS;
		hit->depth = depth;
		read_arguments(hit, spec, &arguments, texts);
		send(texts);
		return 0;
	}
	hit = bpf_ringbuf_reserve(&probe_hits, sizeof(*hit), 0);
	if (!hit) {
		count_loss(watches, LOSS_PROBE_FULL);
		return 0;
	}
	begin_hit(hit, task, slot, watches);
	hit->depth = depth;
	read_arguments(hit, spec, &arguments, NULL);
	send(hit);
	return 0;
}

SEC("uretprobe")
int probe_return(struct user_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct probe_thread *thread;
	struct probe_spec *spec;
	struct probe_hit *hit;
	struct probe_call *call = NULL;
	u64 watches, sp = regs->sp - 8, bytes = 0, blocks = 0;
	u32 slot, depth = 0;

	spec = probe_of(regs, task, &slot, &watches);
	thread = bpf_task_storage_get(&probe_threads, task, NULL, 0);
	if (!spec || !thread)
		return 0;
	call = find_call(thread, slot, sp);
	if (call) {
		depth = depth_of(thread, slot);
		bytes = thread->bytes - call->bytes;
		blocks = thread->blocks - call->blocks;
		call->slot = PROBE_NO_SLOT;
	}
	hit = bpf_ringbuf_reserve(&probe_hits, sizeof(*hit), 0);
	if (hit) {
		begin_hit(hit, task, slot, watches);
		hit->flags = PROBE_RETURN;
		hit->depth = depth;
		hit->bytes_change = bytes;
		hit->blocks_change = blocks;
		send(hit);
	} else {
		count_loss(watches, LOSS_PROBE_FULL);
	}
	drop_returned(thread, sp);
	return 0;
}

/*
 * Texts that a program points to may not be in memory yet, and only a program that may sleep can have them brought in: the one that reads them is not
 * allowed to, because it looks at other tasks. This one is attached so that it runs before.
 */
SEC("uprobe.s")
int probe_touch(struct user_regs *regs)
{
	u64 cookie = bpf_get_attach_cookie(regs);
	u32 slot = cookie >> 32;
	struct probe_spec *spec = bpf_map_lookup_elem(&probes, &slot);
	struct arguments arguments;
	u64 value;
	char byte;

	if (!spec || (u32)cookie != (u32)(bpf_get_current_pid_tgid() >> 32))
		return 0;
	read_registers(&arguments, regs);
	for (u32 i = 0; i < PROBE_ARGUMENTS_MAX; i++) {
		const struct probe_argument *argument = &spec->arguments[i];

		if (i >= spec->argument_count)
			break;
		if (!argument->text_bytes || !argument_at(&arguments, argument->place, &value))
			continue;
		bpf_copy_from_user(&byte, 1, (void *)value);
		bpf_copy_from_user(&byte, 1, (void *)(value + argument->text_bytes - 1));
	}
	return 0;
}
