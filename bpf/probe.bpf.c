// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Probed functions: a record at each call and each return, with what its thread has added to the heap in between.
 *
 * To show returns the kernel puts the address of a trampoline in place of the return address, and keeps a list of open
 * calls per thread. Here is a list beside that one, with the same rules for what has been left by longjmp() or an
 * exception (kernel/events/uprobes.c: prepare_uretprobe(), handle_trampoline(); arch/x86/kernel/uprobes.c:
 * arch_uretprobe_is_alive()).
 */
#include "watch.bpf.h"
#include "heap.bpf.h"
#include "preempt.bpf.h"

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
	struct probe_target target = { .tgid = task->tgid, .slot = PROBE_COOKIE_SLOT(cookie) };
	struct process_state *state;
	struct probe_spec *spec;
	u32 *serial;

	if ((u32)cookie != target.tgid)
		return NULL;
	serial = bpf_map_lookup_elem(&probe_targets, &target);
	if (!serial || *serial != PROBE_COOKIE_SERIAL(cookie))
		return NULL;
	*slot = target.slot;
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

/* The verifier must see that the index is within the array, and the compiler must not find out first. */
static __always_inline struct probe_call *call_at(struct probe_thread *thread, u32 i)
{
	asm volatile("" : "+r"(i));
	return &thread->calls[i & (PROBE_CALLS_MAX - 1)];
}

/* A look at the list of open calls. */
struct call_search {
	struct probe_thread *thread;
	u64 sp, address;
	u32 slot;
	u32 depth; /* of calls of this probe */
	u32 found; /* the last call of this probe at `sp`, counted from 1 */
	u32 anew;  /* none of those at `sp` is open any more: it has been called anew */
};

static long visit_call(u32 i, struct call_search *search)
{
	struct probe_call *call = call_at(search->thread, i);

	if (i >= search->thread->open_calls)
		return 1;
	if (call->slot == search->slot)
		search->depth++;
	if (call->slot == search->slot && call->sp == search->sp)
		search->found = i + 1;
	if (call->sp == search->sp && (call->slot == search->slot || call->address != search->address))
		search->anew = 1;
	return 0;
}

static __always_inline void search_calls(struct call_search *search)
{
	search->depth = search->found = search->anew = 0;
	bpf_loop(PROBE_CALLS_MAX, visit_call, search, 0);
}

/*
 * From the end of the list: calls that have returned, or have been left without that, as their part of the stack is
 * used again.
 */
static long drop_call(u32 i, struct call_search *search)
{
	u32 open_calls = search->thread->open_calls;
	struct probe_call *call = call_at(search->thread, open_calls - 1);

	if (open_calls == 0 || (call->slot != PROBE_NO_SLOT && call->sp >= search->sp && !(search->anew && call->sp == search->sp)))
		return 1;
	search->thread->open_calls = open_calls - 1;
	return 0;
}

static __always_inline void drop_calls(struct call_search *search)
{
	bpf_loop(PROBE_CALLS_MAX, drop_call, search, 0);
}

/* Returns how deep it is, 0 if its return will not be seen. */
static __always_inline u32 begin_call(struct probe_thread *thread, struct task_struct *task, const struct user_regs *regs, u32 slot,
				      const struct heap_state *heap)
{
	struct call_search search = { .thread = thread, .sp = regs->sp, .address = regs->ip, .slot = slot };
	struct probe_call *call;
	u32 i;

	search_calls(&search);
	if (search.anew && is_tail_call(task, regs->sp))
		search.anew = 0;
	drop_calls(&search);
	i = thread->open_calls;
	if (i >= PROBE_CALLS_MAX || !shows_return(task))
		return 0;
	call = call_at(thread, i);
	call->sp = regs->sp;
	call->address = regs->ip;
	call->bytes = heap->thread_size;
	call->blocks = heap->thread_times;
	call->slot = slot;
	thread->open_calls = i + 1;
	search_calls(&search);
	return search.depth;
}

/* --- records */

static __always_inline void send(void *record)
{
	u64 waiting = bpf_ringbuf_query(&probe_hits, BPF_RB_AVAIL_DATA);

	bpf_ringbuf_submit(record, waiting == 0 || waiting >= WAKE_UP_BYTES ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

static __always_inline void begin_hit(struct probe_hit *hit, struct task_struct *task, u32 slot, u64 watches,
				      const struct heap_state *heap, u32 flags)
{
	__builtin_memset(hit, 0, sizeof(*hit));
	hit->type = RECORD_PROBE;
	hit->slot = slot;
	hit->watches = watches;
	hit->time_ns = bpf_ktime_get_boot_ns();
	hit->tid = task->pid;
	hit->tgid = task->tgid;
	hit->flags = flags;
	hit->heap_bytes = heap->size;
	hit->heap_blocks = heap->times;
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

static __noinline int handle_call(struct user_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct probe_texts *texts = NULL;
	struct arguments arguments;
	struct probe_thread *thread;
	struct probe_spec *spec;
	struct probe_hit *hit;
	struct heap_state heap = {};
	u32 slot, depth = 0, flags;
	u64 watches;

	spec = probe_of(regs, task, &slot, &watches);
	if (!spec)
		return 0;
	flags = heap_now(task, &heap) ? PROBE_TOTALS : 0;
	thread = bpf_task_storage_get(&probe_threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (thread)
		depth = begin_call(thread, task, regs, slot, &heap);
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
		begin_hit(hit, task, slot, watches, &heap, flags | PROBE_TEXTS);
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
	begin_hit(hit, task, slot, watches, &heap, flags);
	hit->depth = depth;
	read_arguments(hit, spec, &arguments, NULL);
	send(hit);
	return 0;
}

SEC("uprobe")
int probe_call(struct user_regs *regs)
{
	WITHOUT_PREEMPTION(handle_call(regs));
	return 0;
}

static __noinline int handle_return(struct user_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct probe_thread *thread;
	struct probe_spec *spec;
	struct probe_hit *hit;
	struct call_search search = { .sp = regs->sp - 8 };
	u64 watches, bytes = 0, blocks = 0;
	u32 slot, flags = PROBE_RETURN;
	struct heap_state heap = {};

	spec = probe_of(regs, task, &slot, &watches);
	thread = bpf_task_storage_get(&probe_threads, task, NULL, 0);
	if (!spec || !thread)
		return 0;
	if (heap_now(task, &heap))
		flags |= PROBE_TOTALS;
	search.thread = thread;
	search.slot = slot;
	search_calls(&search);
	if (search.found) {
		struct probe_call *call = call_at(thread, search.found - 1);

		bytes = heap.thread_size - call->bytes;
		blocks = heap.thread_times - call->blocks;
		if (flags & PROBE_TOTALS)
			flags |= PROBE_CHANGE;
		call->slot = PROBE_NO_SLOT;
	}
	hit = bpf_ringbuf_reserve(&probe_hits, sizeof(*hit), 0);
	if (hit) {
		begin_hit(hit, task, slot, watches, &heap, flags);
		hit->depth = search.found ? search.depth : 0;
		hit->bytes_change = bytes;
		hit->blocks_change = blocks;
		send(hit);
	} else {
		count_loss(watches, LOSS_PROBE_FULL);
	}
	search.anew = 0;
	drop_calls(&search);
	return 0;
}

SEC("uretprobe")
int probe_return(struct user_regs *regs)
{
	WITHOUT_PREEMPTION(handle_return(regs));
	return 0;
}

/* Each is read in a place of its own: the verifier wants to know which. */
static __noinline u64 address_of_text(struct user_regs *regs, u32 place)
{
	u64 value = 0;

	switch (place) {
	case 0:
		return *(volatile u64 *)&regs->di;
	case 1:
		return *(volatile u64 *)&regs->si;
	case 2:
		return *(volatile u64 *)&regs->dx;
	case 3:
		return *(volatile u64 *)&regs->cx;
	case 4:
		return *(volatile u64 *)&regs->r8;
	case 5:
		return *(volatile u64 *)&regs->r9;
	}
	bpf_probe_read_user(&value, sizeof(value), (void *)(regs->sp + 8 * (1 + place - PROBE_REGISTERS)));
	return value;
}

/*
 * Texts that a program points to may not be in memory yet, and only a program that may sleep can have them brought in:
 * the one that reads them is not allowed to, because it looks at other tasks. This one is attached so that it runs
 * before. What sleeps must have a stack of less than 64 bytes (preempt.bpf.h).
 */
SEC("uprobe.s")
int probe_touch(struct user_regs *regs)
{
	u64 cookie = bpf_get_attach_cookie(regs), address;
	u32 slot = PROBE_COOKIE_SLOT(cookie);
	struct probe_spec *spec = bpf_map_lookup_elem(&probes, &slot);
	char byte;

	if (!spec || (u32)cookie != (u32)(bpf_get_current_pid_tgid() >> 32))
		return 0;
	for (u32 i = 0; i < PROBE_ARGUMENTS_MAX; i++) {
		const struct probe_argument *argument = &spec->arguments[i];

		if (i >= spec->argument_count)
			break;
		if (!argument->text_bytes)
			continue;
		address = address_of_text(regs, argument->place);
		bpf_copy_from_user(&byte, 1, (void *)address);
		bpf_copy_from_user(&byte, 1, (void *)(address + argument->text_bytes - 1));
	}
	return 0;
}
