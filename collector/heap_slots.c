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

enum {
	SPARE = 8,    /* processes that may be created before the next ones are ready */
	BATCH = 4096, /* blocks */
};

struct heap_slots {
	size_t blocks;             /* of one process */
	u32 *shares;               /* per slot: some may be in the shared ledger */
	int heaps, ledgers, spare; /* maps */
	bool keep_ready;
	size_t ready;        /* in `spare` */
	int fds[HEAP_SLOTS]; /* of the ledgers; -1: there is none */
	u64 keys[BATCH];
	struct heap_block values[BATCH];
};

struct heap_slots *heap_slots_new(struct kernel *kernel, size_t blocks)
{
	struct heap_slots *slots = calloc(1, sizeof(*slots));

	if (!slots)
		return NULL;
	slots->blocks = blocks;
	slots->shares = kernel_heap_shares(kernel);
	memset(slots->fds, 0xff, sizeof(slots->fds));
	slots->heaps = kernel_map_fd(kernel, "heaps");
	slots->ledgers = kernel_map_fd(kernel, "ledgers");
	slots->spare = kernel_map_fd(kernel, "spare_slots");
	return slots;
}

void heap_slots_free(struct heap_slots *slots)
{
	if (!slots)
		return;
	for (u32 slot = 0; slot < HEAP_SLOTS; slot++)
		if (slots->fds[slot] >= 0)
			close(slots->fds[slot]);
	free(slots);
}

static int make_ledger(struct heap_slots *slots, u32 slot, size_t blocks)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "ledger", sizeof(u64), sizeof(struct heap_block), (u32)blocks, &options);
	int err;

	if (fd < 0)
		return fd;
	err = bpf_map_update_elem(slots->ledgers, &slot, &fd, BPF_ANY);
	if (err)
		close(fd);
	else
		slots->fds[slot] = fd;
	return err;
}

/* A slot with an empty ledger; 0: there is no room. */
static u32 make(struct heap_slots *slots)
{
	u32 slot = 1;
	int err;

	while (slot < HEAP_SLOTS && slots->fds[slot] >= 0)
		slot++;
	if (slot == HEAP_SLOTS)
		return 0;
	err = make_ledger(slots, slot, slots->blocks < HEAP_OWN_BLOCKS ? slots->blocks : HEAP_OWN_BLOCKS);
	if (!err)
		return slot;
	log_warning(SUBSYSTEM, "no room for the blocks of another process: %s", strerror(-err));
	return 0;
}

static void drop(struct heap_slots *slots, u32 slot)
{
	bpf_map_delete_elem(slots->ledgers, &slot);
	close(slots->fds[slot]);
	slots->fds[slot] = -1;
}

static bool make_ready(struct heap_slots *slots, u32 slot)
{
	if (bpf_map_update_elem(slots->spare, NULL, &slot, BPF_ANY))
		return false;
	slots->ready++;
	return true;
}

/* Much less work than another one would be. */
static bool clear(struct heap_slots *slots, int fd)
{
	u32 at, count;
	int err;

	for (void *from = NULL;; from = &at) {
		count = BATCH;
		err = bpf_map_lookup_and_delete_batch(fd, from, &at, slots->keys, slots->values, &count, NULL);
		if (err)
			return err == -ENOENT;
	}
}

/* Blocks of a slot in the ledger that all share. */
static void clear_shared(struct heap_slots *slots, u32 slot)
{
	u32 at, count;
	int err = 0;

	slots->shares[slot] = 0;
	for (void *from = NULL; !err && slots->fds[0] >= 0; from = &at) {
		count = BATCH;
		err = bpf_map_lookup_batch(slots->fds[0], from, &at, slots->keys, slots->values, &count, NULL);
		for (u32 i = 0; (!err || err == -ENOENT) && i < count; i++)
			if (slots->keys[i] >> 48 == slot)
				bpf_map_delete_elem(slots->fds[0], &slots->keys[i]);
	}
}

void heap_slots_keep_ready(struct heap_slots *slots, bool keep)
{
	slots->keep_ready = keep;
	if (slots->blocks <= HEAP_OWN_BLOCKS)
		return;
	if (keep && slots->fds[0] < 0 && make_ledger(slots, 0, HEAP_SHARED_FACTOR * slots->blocks))
		log_warning(SUBSYSTEM, "no room for more than %d blocks of a process", HEAP_OWN_BLOCKS);
	else if (!keep && slots->fds[0] >= 0)
		drop(slots, 0);
}

bool heap_slots_step(struct heap_slots *slots)
{
	u32 slot;

	if (slots->keep_ready && slots->ready < SPARE) {
		slot = make(slots);
		if (slot && make_ready(slots, slot))
			return true;
		if (slot)
			drop(slots, slot);
	} else if (!slots->keep_ready && slots->ready > 0) {
		if (bpf_map_lookup_and_delete_elem(slots->spare, NULL, &slot) == 0) {
			slots->ready--;
			drop(slots, slot);
			return true;
		}
		slots->ready = 0;
	}
	return false;
}

size_t heap_slots_ready(const struct heap_slots *slots)
{
	return slots->ready;
}

void heap_slots_taken(struct heap_slots *slots, u32 slot)
{
	if (slot && slots->ready)
		slots->ready--;
}

void heap_slots_give_back(struct heap_slots *slots, u32 slot)
{
	if (!slot || slot >= HEAP_SLOTS || slots->fds[slot] < 0)
		return;
	if (slots->shares[slot])
		clear_shared(slots, slot);
	if (slots->keep_ready && slots->ready < SPARE && clear(slots, slots->fds[slot]) && make_ready(slots, slot))
		return;
	drop(slots, slot);
}

bool heap_slots_look(struct heap_slots *slots, pid_t tgid, u32 slot, struct process_heap *heap)
{
	u32 key = (u32)tgid;

	return bpf_map_lookup_elem(slots->heaps, &key, heap) == 0 && heap->slot == slot;
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

	if (!heap_slots_look(slots, tgid, slot, &entry))
		return;
	if (entry.unknown_frees)
		log_debug(SUBSYSTEM, "process %d freed %llu blocks that it had before it was probed", (int)tgid,
			  (unsigned long long)entry.unknown_frees);
	bpf_map_delete_elem(slots->heaps, &key);
}
