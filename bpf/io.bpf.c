// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Block requests, charged to the task that submitted them, and the page cache.
 *
 * A request begins when its bio is queued, which happens in the task's context (submit_bio_noacct(), block/blk-core.c). Where
 * the device works with requests it ends with block_rq_complete, of which one request can hold several bios; where it
 * works with bios (device mapper, md) it ends with block_bio_complete.
 */
#include "charge.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define BIOS_MAX (1 << 20) /* of one request: more sectors than one can have */

SEC("tp_btf/block_bio_queue")
int BPF_PROG(on_bio_queue, struct bio *bio)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_state *state = hooked(task);
	struct request_start start = {};
	struct charge *charge;
	u64 key = (u64)bio;

	bpf_map_delete_elem(&requests, &key); /* one that was complete unseen had this address before */
	if (!state)
		return 0;
	start.time_ns = bpf_ktime_get_boot_ns();
	start.watches = state->watches;
	start.process = process_key(task->group_leader);
	charge = charge_of(&start.process, state->watches);
	if (!charge)
		return 0;
	if (state->watches & settings.threads) {
		start.thread = thread_key(task);
		charge_of(&start.thread, state->watches);
	}
	if (bpf_map_update_elem(&requests, &key, &start, BPF_ANY))
		count_loss(state->watches, LOSS_TABLE_FULL);
	else
		__sync_fetch_and_add(&charge->in_flight, 1);
	return 0;
}

/* The first part of a bio becomes a bio of its own, whose owner is the rest: bio_chain(), block/bio.c. */
SEC("tp_btf/block_split")
int BPF_PROG(on_bio_split, struct bio *bio)
{
	u64 key = (u64)bio, whole = (u64)bio->bi_private;
	struct request_start piece = { .whole = whole };
	struct request_start *start = bpf_map_lookup_elem(&requests, &whole);

	if (!start || start->whole || bpf_map_lookup_elem(&requests, &key))
		return 0;
	if (bpf_map_update_elem(&requests, &key, &piece, BPF_NOEXIST))
		count_loss(start->watches, LOSS_TABLE_FULL);
	else
		__sync_fetch_and_add(&start->pieces, 1);
	return 0;
}

/* `all_of_it`: none of its pieces can be left. */
static __always_inline void complete_bio(struct bio *bio, bool all_of_it)
{
	u64 key = (u64)bio, length;
	struct request_start *start = bpf_map_lookup_elem(&requests, &key);
	struct charge *charge;

	if (start && start->whole) {
		u64 whole = start->whole;

		bpf_map_delete_elem(&requests, &key);
		key = whole;
		start = bpf_map_lookup_elem(&requests, &key);
		all_of_it = false;
	}
	if (!start || (!all_of_it && __sync_fetch_and_add(&start->pieces, -1) != 0))
		return;
	length = minus(bpf_ktime_get_boot_ns(), start->time_ns);
	charge = bpf_map_lookup_elem(&charges, &start->process);
	if (charge) {
		keep_longest(&charge->figure[F_task_io_request_time_max], length);
		__sync_fetch_and_add(&charge->in_flight, -1);
	}
	charge = bpf_map_lookup_elem(&charges, &start->thread);
	if (charge)
		keep_longest(&charge->figure[F_task_io_request_time_max], length);
	bpf_map_delete_elem(&requests, &key);
}

SEC("tp_btf/block_bio_complete")
int BPF_PROG(on_bio_complete, struct request_queue *queue, struct bio *bio)
{
	complete_bio(bio, true);
	return 0;
}

struct bio_walk {
	struct bio *next;
	u64 bytes; /* that are complete and not accounted for yet */
};

static long visit_bio(u32 index, struct bio_walk *walk)
{
	struct bio *bio = walk->next;
	u32 size;

	if (!bio)
		return 1;
	size = BPF_CORE_READ(bio, bi_iter.bi_size);
	if (size > walk->bytes)
		return 1; /* only a part of it is complete */
	walk->bytes -= size;
	walk->next = BPF_CORE_READ(bio, bi_next);
	complete_bio(bio, false);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(on_request_complete, struct request *request, int error, unsigned int bytes)
{
	struct bio_walk walk = { request->bio, bytes };

	/*
	 * Somebody goes on with it. Of bios that were queued only data that has to pass through a cache, which is flushed
	 * next: the request ends once more when that is done (block/blk-flush.c).
	 */
	if (request->end_io)
		return 0;
	bpf_loop(BIOS_MAX, visit_bio, &walk, 0);
	return 0;
}

SEC("tp_btf/mm_filemap_add_to_page_cache")
int BPF_PROG(on_cache_add)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_state *state = hooked(task);

	if (!state)
		return 0;
	count_in(state, task, F_task_page_cache_count, 1);
	count_in(state, task, F_task_page_cache_add_count, 1);
	return 0;
}

static __always_inline int count_dirty(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_state *state = hooked(task);

	if (!state)
		return 0;
	count_in(state, task, F_task_page_cache_count, 1);
	count_in(state, task, F_task_page_cache_dirty_count, 1);
	return 0;
}

SEC("tp_btf/writeback_dirty_folio")
int BPF_PROG(on_cache_dirty)
{
	return count_dirty();
}

/* The name before folios (5.18). */
SEC("tp_btf/writeback_dirty_page")
int BPF_PROG(on_cache_dirty_page)
{
	return count_dirty();
}
