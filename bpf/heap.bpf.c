// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The malloc family: each call that gives or takes a block changes the ledger of its process. Allocators call each other
 * (calloc its malloc, the C++ operators theirs, one that is preloaded the next), so only the outermost call of a
 * thread counts. A block leaves the ledger before its memory can be given to anyone else, and enters it before its owner
 * knows its address, so threads cannot come in between.
 */
#include "heap.bpf.h"
#include "preempt.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ALL_ONES (~0ULL)

/*
 * The heap that a probe is about, of the process for which it was attached. Some kernels run it for other processes with the
 * same file, too. What a child does that still has its parent's memory, as after vfork, is nobody's: kernels differ in whose
 * probes they run.
 */
static __always_inline struct process_heap *heap_hit(struct task_struct *task, u64 cookie)
{
	u32 tgid = (u32)cookie;
	struct process_heap *heap;

	if ((u32)task->tgid != tgid)
		return NULL;
	heap = bpf_map_lookup_elem(&heaps, &tgid);
	/* the kernel may have skipped the program on the exec, see preempt.bpf.h; whoever has just executed has one thread */
	if (heap && heap->program != program_of(task)) {
		if (heap->program)
			restart_heap(heap, task);
		heap->program = program_of(task);
	}
	return heap && !heap->borrowed ? heap : NULL;
}

static __always_inline void *ledger_in(u32 slot)
{
	return bpf_map_lookup_elem(&ledgers, &slot);
}

/*
 * Is this a call within the one that the thread is in? Then the return address of that one is still replaced by the
 * trampoline of its return probe; a call that never returned (an exception went through it) has left something else.
 */
static __always_inline bool is_within(struct heap_thread *thread, struct process_heap *heap, struct task_struct *task, u64 stack)
{
	u64 address = 0;

	if (thread->epoch != heap->epoch || stack > thread->stack)
		return false;
	if (bpf_probe_read_user(&address, sizeof(address), (void *)thread->stack))
		return false;
	return address == BPF_CORE_READ(task, mm, uprobes_state.xol_area, vaddr);
}

static __always_inline u64 take_from(void *ledger, u64 key, u64 epoch)
{
	struct heap_block *block;
	u64 size;

	block = ledger ? bpf_map_lookup_elem(ledger, &key) : NULL;
	if (!block || block->epoch != epoch)
		return ALL_ONES;
	size = block->size;
	return bpf_map_delete_elem(ledger, &key) ? ALL_ONES : size;
}

/* Takes a block out of the ledgers: its size is returned, or ALL_ONES if it was not there. */
static __noinline u64 take_block(struct process_heap *heap, u64 address)
{
	u64 size = take_from(ledger_in(heap->slot), address, heap->epoch);

	if (size != ALL_ONES || !heap->shared)
		return size;
	size = take_from(ledger_in(0), HEAP_SHARED_KEY(heap->slot, address), heap->epoch);
	if (size != ALL_ONES)
		__sync_fetch_and_add(&heap->shared, -1);
	return size;
}

static __always_inline void add_to_sums(struct process_heap *heap, struct heap_thread *thread, s64 size, s64 times)
{
	__sync_fetch_and_add(&heap->size, size);
	__sync_fetch_and_add(&heap->times, times);
	if (thread) {
		thread->net_size += size;
		thread->net_times += times;
	}
}

static __always_inline bool put_shared(struct process_heap *heap, u64 address, const struct heap_block *block)
{
	u64 key = HEAP_SHARED_KEY(heap->slot, address);
	void *ledger = ledger_in(0);

	if (heap->times >= settings.heap_blocks || !ledger || bpf_map_update_elem(ledger, &key, block, BPF_ANY))
		return false;
	__sync_fetch_and_add(&heap->shared, 1);
	heap_shares[heap->slot & (HEAP_SLOTS - 1)] = 1;
	return true;
}

/* False: there is no room for it. An address that is given out again was freed by a function that we do not know. */
static __noinline bool put_block(struct process_heap *heap, u64 address, u64 size)
{
	struct heap_block block = { .size = size, .epoch = heap->epoch };
	void *ledger = ledger_in(heap->slot);
	u64 before;

	if (!ledger)
		return false;
	if (!heap->shared && !bpf_map_update_elem(ledger, &address, &block, BPF_NOEXIST))
		return true;
	before = take_block(heap, address);
	if (before != ALL_ONES)
		add_to_sums(heap, NULL, -before, -1);
	if (!bpf_map_update_elem(ledger, &address, &block, BPF_ANY) || put_shared(heap, address, &block))
		return true;
	count_loss(heap->watches, LOSS_HEAP_FULL);
	return false;
}

/* Saturated: no allocator can give 2^47 bytes. */
static __always_inline u64 product(u64 count, u64 size)
{
	u64 large = count > size ? count : size, small = count > size ? size : count;

	if (large >> 47 || (large >> 32 && small >> 16))
		return small ? ALL_ONES : 0;
	return large * small;
}

static __always_inline u64 size_asked_for(enum heap_call call, u64 first, u64 second, u64 third)
{
	switch (call) {
	case HEAP_CALLOC:
		return product(first, second);
	case HEAP_REALLOC:
	case HEAP_ALIGNED:
		return second;
	case HEAP_REALLOCARRAY:
		return product(second, third);
	case HEAP_POSIX:
		return third;
	default:
		return first;
	}
}

static __always_inline void begin_call(struct process_heap *heap, struct heap_thread *thread, enum heap_call call,
				       struct pt_regs *regs)
{
	u64 first = regs->di, second = regs->si, third = regs->dx, stack = regs->sp;

	thread->epoch = heap->epoch;
	thread->stack = stack;
	thread->call = call;
	thread->size = size_asked_for(call, first, second, third);
	thread->out = first;
	thread->old_address = 0;
	if ((call == HEAP_REALLOC || call == HEAP_REALLOCARRAY) && first) {
		thread->old_size = take_block(heap, first);
		if (thread->old_size != ALL_ONES)
			thread->old_address = first;
	}
}

static __always_inline void free_block(struct process_heap *heap, struct heap_thread *thread, u64 address)
{
	u64 size = address ? take_block(heap, address) : 0;

	if (size == ALL_ONES)
		__sync_fetch_and_add(&heap->unknown_frees, 1);
	else if (address)
		add_to_sums(heap, thread, -size, -1);
}

static __noinline int handle_call(struct pt_regs *regs)
{
	u64 cookie = bpf_get_attach_cookie(regs), address = regs->di, stack = regs->sp;
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_heap *heap = heap_hit(task, cookie);
	enum heap_call call = cookie >> 32;
	struct heap_thread *thread;

	if (!heap)
		return 0;
	if (call == HEAP_LIBRARIES) {
		notify_heap(HEAP_MAPPED, task->group_leader, heap->watches, heap, 0);
		return 0;
	}
	thread = bpf_task_storage_get(&heap_threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!thread) {
		count_loss(heap->watches, LOSS_STATE_FULL);
		return 0;
	}
	if (thread->epoch && is_within(thread, heap, task, stack))
		return 0;
	if (call == HEAP_FREE)
		free_block(heap, thread, address);
	else
		begin_call(heap, thread, call, regs);
	return 0;
}

SEC("uprobe")
int on_heap_call(struct pt_regs *regs)
{
	WITHOUT_PREEMPTION(handle_call(regs));
	return 0;
}

/* One change of the sums for each call, or a sample could fall in between. */
static __always_inline void settle(struct process_heap *heap, struct heap_thread *thread, u64 address)
{
	s64 size = 0, times = 0;

	/* what realloc was given is gone if there is a new block, or if it was asked for none; else it is as before */
	if (thread->old_address && (address || !thread->size || !put_block(heap, thread->old_address, thread->old_size))) {
		size -= thread->old_size;
		times--;
	}
	if (address && put_block(heap, address, thread->size)) {
		size += thread->size;
		times++;
	}
	if (size || times)
		add_to_sums(heap, thread, size, times);
}

static __noinline int handle_return(struct pt_regs *regs)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_heap *heap = heap_hit(task, bpf_get_attach_cookie(regs));
	u64 address = regs->ax, stack = regs->sp;
	struct heap_thread *thread;

	if (!heap)
		return 0;
	thread = bpf_task_storage_get(&heap_threads, task, NULL, 0);
	if (!thread || thread->epoch != heap->epoch || stack != thread->stack + sizeof(u64))
		return 0; /* of a call within another, or of one that began unseen */
	thread->epoch = 0;
	if (thread->call == HEAP_POSIX) {
		if ((u32)address || bpf_probe_read_user(&address, sizeof(address), (void *)thread->out))
			address = 0;
	}
	settle(heap, thread, address);
	if (!address)
		return 0;
	__sync_fetch_and_add(&heap->alloc_count, 1);
	__sync_fetch_and_add(&heap->alloc_bytes, thread->size);
	return 0;
}

SEC("uretprobe")
int on_heap_return(struct pt_regs *regs)
{
	WITHOUT_PREEMPTION(handle_return(regs));
	return 0;
}
