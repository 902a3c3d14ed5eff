/* SPDX-License-Identifier: BSD-2-Clause */
#include "heap_slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "clock.h"
#include "kernel.h"
#include "log.h"

#define SUBSYSTEM "heap"

enum { SPARE = 8 }; /* processes that may be created before the next ones are ready */

struct heap_slots {
	size_t blocks;
	int heaps, ledgers, spare; /* maps */
	size_t ready;              /* in `spare` */
	bool used[HEAP_SLOTS];
};

struct heap_slots *heap_slots_new(struct kernel *kernel, size_t blocks)
{
	struct heap_slots *slots = calloc(1, sizeof(*slots));

	if (!slots)
		return NULL;
	slots->blocks = blocks;
	slots->heaps = kernel_map_fd(kernel, "heaps");
	slots->ledgers = kernel_map_fd(kernel, "ledgers");
	slots->spare = kernel_map_fd(kernel, "spare_slots");
	return slots;
}

void heap_slots_free(struct heap_slots *slots)
{
	if (!slots)
		return;
	heap_slots_empty(slots);
	free(slots);
}

static int put_ledger(struct heap_slots *slots, u32 slot)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "ledger", sizeof(u64), sizeof(struct heap_block), (u32)slots->blocks, &options);
	int err;

	if (fd < 0)
		return fd;
	err = bpf_map_update_elem(slots->ledgers, &slot, &fd, BPF_ANY);
	close(fd); /* it stays as long as it is in the slot */
	return err;
}

/* A slot with an empty ledger; 0: there is no room. */
static u32 make(struct heap_slots *slots)
{
	u32 slot = 1;
	int err;

	while (slot < HEAP_SLOTS && slots->used[slot])
		slot++;
	if (slot == HEAP_SLOTS)
		return 0;
	err = put_ledger(slots, slot);
	if (err) {
		log_warning(SUBSYSTEM, "no room for the blocks of another process: %s", strerror(-err));
		return 0;
	}
	slots->used[slot] = true;
	return slot;
}

void heap_slots_fill(struct heap_slots *slots)
{
	while (slots->ready < SPARE) {
		u32 slot = make(slots);

		if (!slot)
			return;
		if (bpf_map_update_elem(slots->spare, NULL, &slot, BPF_ANY)) {
			heap_slots_give_back(slots, slot);
			return;
		}
		slots->ready++;
	}
}

void heap_slots_taken(struct heap_slots *slots, u32 slot)
{
	if (slot && slots->ready)
		slots->ready--;
}

void heap_slots_give_back(struct heap_slots *slots, u32 slot)
{
	if (!slot || slot >= HEAP_SLOTS)
		return;
	bpf_map_delete_elem(slots->ledgers, &slot);
	slots->used[slot] = false;
}

void heap_slots_empty(struct heap_slots *slots)
{
	u32 slot;

	while (bpf_map_lookup_and_delete_elem(slots->spare, NULL, &slot) == 0)
		heap_slots_give_back(slots, slot);
	slots->ready = 0;
}

static bool get(struct heap_slots *slots, pid_t tgid, u32 slot, struct process_heap *entry)
{
	u32 key = (u32)tgid;

	return bpf_map_lookup_elem(slots->heaps, &key, entry) == 0 && entry->slot == slot;
}

u32 heap_slots_insert(struct heap_slots *slots, const struct heap_notice *notice)
{
	u32 slot = make(slots), key = notice->tgid;
	struct process_heap entry = {
		.start_time_ns = notice->start_time_ns,
		.epoch = clock_boot_ns(),
		.watches = notice->watches,
		.slot = slot,
		.era = notice->era,
	};

	if (!slot)
		return 0;
	if (bpf_map_update_elem(slots->heaps, &key, &entry, BPF_ANY) == 0)
		return slot;
	heap_slots_give_back(slots, slot);
	return 0;
}

void heap_slots_remove(struct heap_slots *slots, pid_t tgid, u32 slot)
{
	struct process_heap entry;
	u32 key = (u32)tgid;

	if (!get(slots, tgid, slot, &entry))
		return;
	if (entry.unknown_frees)
		log_debug(SUBSYSTEM, "process %d freed %llu blocks that it had before it was probed", (int)tgid,
			  (unsigned long long)entry.unknown_frees);
	bpf_map_delete_elem(slots->heaps, &key);
}

bool heap_slots_wanted(struct heap_slots *slots, pid_t tgid, u32 slot)
{
	struct process_heap entry;

	return get(slots, tgid, slot, &entry) && entry.watches;
}
