/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_merge.h"

#include <stdlib.h>

enum { GIVE_BACK_RECORDS = 4096 }; /* taken records make room for new ones this often at least */

struct cursor {
	struct stream_ring *ring;
	const struct syscall_record *records; /* of this ring */
	u64 at, end;                          /* the next one to take, and up to where */
	u64 next_ns;                          /* of that one */
	u64 given_back;
};

struct ring_merge {
	size_t ring_count;
	struct cursor *cursors;
	struct cursor **heap; /* those with records to take, the oldest first */
	size_t heap_count;
};

struct ring_merge *ring_merge_new(size_t rings)
{
	struct ring_merge *merge = calloc(1, sizeof(*merge));

	if (!merge)
		return NULL;
	merge->ring_count = rings;
	merge->cursors = calloc(rings, sizeof(*merge->cursors));
	merge->heap = calloc(rings, sizeof(struct cursor *));
	if (merge->cursors && merge->heap)
		return merge;
	ring_merge_free(merge);
	return NULL;
}

void ring_merge_free(struct ring_merge *merge)
{
	if (!merge)
		return;
	free(merge->cursors);
	free(merge->heap);
	free(merge);
}

void ring_merge_set(struct ring_merge *merge, size_t i, struct stream_ring *ring, const struct syscall_record *records)
{
	merge->cursors[i].ring = ring;
	merge->cursors[i].records = records;
}

static const struct syscall_record *record_at(const struct cursor *cursor)
{
	return &cursor->records[cursor->at & (cursor->ring->slots - 1)];
}

static void give_back(struct cursor *cursor)
{
	__atomic_store_n(&cursor->ring->tail, cursor->at, __ATOMIC_RELEASE);
	cursor->given_back = cursor->at;
}

static void sift_down(struct ring_merge *merge, size_t i)
{
	struct cursor **heap = merge->heap, *moving = heap[i];

	for (size_t child; (child = 2 * i + 1) < merge->heap_count; i = child) {
		if (child + 1 < merge->heap_count && heap[child + 1]->next_ns < heap[child]->next_ns)
			child++;
		if (heap[child]->next_ns >= moving->next_ns)
			break;
		heap[i] = heap[child];
	}
	heap[i] = moving;
}

static void build_heap(struct ring_merge *merge, u64 now_ns)
{
	merge->heap_count = 0;
	for (size_t i = 0; i < merge->ring_count; i++) {
		struct cursor *cursor = &merge->cursors[i];

		cursor->end = __atomic_load_n(&cursor->ring->head, __ATOMIC_ACQUIRE);
		if (cursor->at == cursor->end)
			continue;
		cursor->next_ns = record_at(cursor)->time_ns;
		if (cursor->next_ns <= now_ns)
			merge->heap[merge->heap_count++] = cursor;
	}
	for (size_t i = merge->heap_count / 2; i-- > 0;)
		sift_down(merge, i);
}

/* The time up to which the oldest ring can be read on before it is another's turn. */
static u64 turn_ends(const struct ring_merge *merge, u64 now_ns)
{
	u64 ends = now_ns;

	for (size_t i = 1; i < 3 && i < merge->heap_count; i++)
		if (merge->heap[i]->next_ns < ends)
			ends = merge->heap[i]->next_ns;
	return ends;
}

/*
 * The clock was read before the heads are: whatever a thread did before a record that is older than `now_ns` has been
 * published by then, on whichever CPU, so it is handed over first.
 */
size_t ring_merge_read(struct ring_merge *merge, u64 now_ns, size_t most, ring_merge_handler handler, void *context)
{
	size_t taken = 0;

	build_heap(merge, now_ns);
	while (merge->heap_count && taken < most) {
		struct cursor *cursor = merge->heap[0];
		u64 ends_ns = turn_ends(merge, now_ns);

		do {
			handler(record_at(cursor), context);
			taken++;
			if (++cursor->at - cursor->given_back >= GIVE_BACK_RECORDS)
				give_back(cursor);
			if (cursor->at == cursor->end)
				break;
			cursor->next_ns = record_at(cursor)->time_ns;
		} while (cursor->next_ns <= ends_ns && taken < most);
		if (cursor->at == cursor->end || cursor->next_ns > now_ns)
			merge->heap[0] = merge->heap[--merge->heap_count];
		if (merge->heap_count)
			sift_down(merge, 0);
	}
	for (size_t i = 0; i < merge->ring_count; i++)
		if (merge->cursors[i].given_back != merge->cursors[i].at)
			give_back(&merge->cursors[i]);
	return taken;
}
