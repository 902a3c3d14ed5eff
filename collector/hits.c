/* SPDX-License-Identifier: BSD-2-Clause */
#include "hits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROWS = 256,
	CELLS = 1024, /* of arguments, numbers and texts each */
	TEXT_BYTES = 128 << 10,
};

struct hits {
	Taskmon__ProbeHits message;
	int64_t time[ROWS];
	uint32_t tid[ROWS], tgid[ROWS], probe[ROWS], flags[ROWS], depth[ROWS];
	uint64_t heap_bytes[ROWS], heap_times[ROWS], present[ROWS];
	int64_t bytes_change[ROWS], times_change[ROWS];
	uint64_t values[CELLS];
	ProtobufCBinaryData texts[CELLS];
	size_t text_bytes;
	uint8_t text[TEXT_BYTES];
};

struct hits *hits_new(void)
{
	struct hits *hits = malloc(sizeof(*hits));

	if (hits)
		hits_reset(hits);
	return hits;
}

void hits_free(struct hits *hits)
{
	free(hits);
}

size_t hits_count(const struct hits *hits)
{
	return hits->message.count;
}

void hits_reset(struct hits *hits)
{
	taskmon__probe_hits__init(&hits->message);
	hits->message.time = hits->time;
	hits->message.tid = hits->tid;
	hits->message.tgid = hits->tgid;
	hits->message.probe = hits->probe;
	hits->message.flags = hits->flags;
	hits->message.depth = hits->depth;
	hits->message.heap_bytes = hits->heap_bytes;
	hits->message.heap_times = hits->heap_times;
	hits->message.present = hits->present;
	hits->message.bytes_change = hits->bytes_change;
	hits->message.times_change = hits->times_change;
	hits->message.values = hits->values;
	hits->message.texts = hits->texts;
	hits->text_bytes = 0;
}

static void add_text(struct hits *hits, const char *text, size_t size)
{
	size_t length = strnlen(text, size);
	uint8_t *copy = hits->text + hits->text_bytes;

	memcpy(copy, text, length);
	hits->text_bytes += length;
	hits->texts[hits->message.n_texts++] = (ProtobufCBinaryData){ .data = copy, .len = length };
}

/* Which arguments are in the row. */
static u64 add_arguments(struct hits *hits, const struct probe_hit *hit, const struct declaration *declaration)
{
	const char *text = hit->flags & PROBE_TEXTS ? ((const struct probe_texts *)hit)->texts : NULL;
	u64 present = 0;
	size_t at = 0;

	for (size_t i = 0; i < declaration->count; i++) {
		const struct declared_argument *argument = &declaration->arguments[i];
		size_t begin = at;

		if (argument->kind == DECLARED_TEXT)
			at += argument->bytes + 1;
		if (!(hit->present >> i & 1) || (argument->kind == DECLARED_TEXT && !text))
			continue;
		if (argument->kind == DECLARED_TEXT)
			add_text(hits, text + begin, argument->bytes);
		else
			hits->values[hits->message.n_values++] = declared_value(argument, hit->arguments[i]);
		present |= 1ULL << i;
	}
	return present;
}

static bool is_full(const struct hits *hits)
{
	return hits->message.count == ROWS || CELLS - hits->message.n_values < DECLARED_MAX ||
	       CELLS - hits->message.n_texts < DECLARED_MAX || TEXT_BYTES - hits->text_bytes < DECLARED_TEXTS_BYTES;
}

int hits_add(struct hits *hits, const struct probe_hit *hit, size_t size, u32 probe, const struct declaration *declaration)
{
	Taskmon__ProbeHits *message = &hits->message;
	size_t row = message->count;

	if (size < (hit->flags & PROBE_TEXTS ? sizeof(struct probe_texts) : sizeof(*hit)))
		return -EINVAL;
	if (is_full(hits))
		return -ENOSPC;
	if (row == 0)
		message->base_ns = hit->time_ns;
	hits->time[row] = (int64_t)(hit->time_ns - message->base_ns);
	hits->tid[row] = hit->tid;
	hits->tgid[row] = hit->tgid;
	hits->probe[row] = probe;
	hits->depth[row] = hit->depth;
	hits->flags[row] = hit->flags & PROBE_RETURN ? TASKMON__PROBE_HITS__FLAG__RETURN : 0;
	hits->present[row] = hit->flags & PROBE_RETURN ? 0 : add_arguments(hits, hit, declaration);
	if (hit->flags & PROBE_TOTALS) {
		hits->flags[row] |= TASKMON__PROBE_HITS__FLAG__TOTALS;
		hits->heap_bytes[message->n_heap_bytes++] = hit->heap_bytes;
		hits->heap_times[message->n_heap_times++] = hit->heap_blocks;
	}
	if (hit->flags & PROBE_CHANGE) {
		hits->flags[row] |= TASKMON__PROBE_HITS__FLAG__CHANGE;
		hits->bytes_change[message->n_bytes_change++] = (int64_t)hit->bytes_change;
		hits->times_change[message->n_times_change++] = (int64_t)hit->blocks_change;
	}
	message->count++;
	message->n_time = message->n_tid = message->n_tgid = message->n_probe = message->n_flags = message->n_depth =
		message->n_present = message->count;
	return 0;
}

Taskmon__ProbeHits *hits_message(struct hits *hits)
{
	return &hits->message;
}
