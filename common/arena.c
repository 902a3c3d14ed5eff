/* SPDX-License-Identifier: BSD-2-Clause */
#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 64 << 10 };

struct arena_block {
	struct arena_block *next;
	size_t size;
	alignas(max_align_t) char bytes[];
};

static void *arena_alloc(void *data, size_t size)
{
	struct arena *arena = data;
	size_t rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	struct arena_block *block = arena->blocks;

	if (rounded < size)
		return NULL;
	if (!block || block->size - arena->used < rounded) {
		size_t room = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;

		block = malloc(sizeof(*block) + room);
		if (!block)
			return NULL;
		block->next = arena->blocks;
		block->size = room;
		arena->blocks = block;
		arena->used = 0;
	}
	arena->used += rounded;
	return block->bytes + arena->used - rounded;
}

/* protobuf-c frees piecemeal while it unpacks and on errors; the arena frees all at its end. */
static void arena_ignore(void *data, void *pointer)
{
	(void)data;
	(void)pointer;
}

void arena_init(struct arena *arena)
{
	*arena = (struct arena){ .allocator = { arena_alloc, arena_ignore, arena } };
}

void arena_free(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *block = arena->blocks;

		arena->blocks = block->next;
		free(block);
	}
	arena->used = 0;
}
