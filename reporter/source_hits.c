/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls and returns of probed functions, from the wire to the pipeline.
 */
#include <errno.h>

#include "hit.h"
#include "source.h"
#include "str.h"

enum { TEXTS_BYTES = 3 * DECLARED_TEXTS_BYTES + DECLARED_MAX }; /* each byte may have become a U+FFFD */

/* How far the columns have been read that only some rows have an entry in. */
struct cursor {
	const Taskmon__ProbeHits *message;
	size_t totals, changes, values, texts;
	char text[TEXTS_BYTES];
};

static bool is_whole(const Taskmon__ProbeHits *message)
{
	size_t count = message->count;

	return message->n_time == count && message->n_tid == count && message->n_tgid == count && message->n_probe == count &&
	       message->n_flags == count && message->n_depth == count && message->n_present == count &&
	       message->n_heap_times == message->n_heap_bytes && message->n_times_change == message->n_bytes_change;
}

static int read_argument(struct cursor *cursor, struct hit *hit, size_t i, size_t *used)
{
	const Taskmon__ProbeHits *message = cursor->message;
	const struct declared_argument *argument = &hit->probe->declaration.arguments[i];
	const ProtobufCBinaryData *text;

	if (argument->kind != DECLARED_TEXT) {
		if (cursor->values == message->n_values)
			return -EPROTO;
		hit->values[i] = message->values[cursor->values++];
		return 0;
	}
	if (cursor->texts == message->n_texts)
		return -EPROTO;
	text = &message->texts[cursor->texts++];
	if (text->len > argument->bytes)
		return -EPROTO;
	hit->texts[i] = cursor->text + *used;
	*used += str_sanitize(cursor->text + *used, sizeof(cursor->text) - *used, text->data, text->len) + 1;
	return 0;
}

static int read_hit(struct source *source, struct cursor *cursor, size_t row, struct hit *hit)
{
	const Taskmon__ProbeHits *message = cursor->message;
	uint32_t flags = message->flags[row], number = message->probe[row];
	const struct probe_set *probes = source->probes;
	size_t used = 0;
	int err = 0;

	if (!probes || number >= probes->symbol_count)
		return -EPROTO;
	*hit = (struct hit){
		.wall_ns = message->base_ns + (uint64_t)message->time[row] + (uint64_t)message->wall_offset_ns,
		.tid = message->tid[row],
		.tgid = message->tgid[row],
		.probe = &probes->list[probes->symbols[number].probe],
		.function = probes->symbols[number].shown,
		.is_return = flags & TASKMON__PROBE_HITS__FLAG__RETURN,
		.depth = message->depth[row],
		.has_totals = flags & TASKMON__PROBE_HITS__FLAG__TOTALS,
		.has_change = flags & TASKMON__PROBE_HITS__FLAG__CHANGE,
		.present = message->present[row],
	};
	if (hit->present >> hit->probe->declaration.count)
		return -EPROTO;
	if ((hit->has_totals && cursor->totals == message->n_heap_bytes) ||
	    (hit->has_change && cursor->changes == message->n_bytes_change))
		return -EPROTO;
	if (hit->has_totals) {
		hit->heap_bytes = message->heap_bytes[cursor->totals];
		hit->heap_times = message->heap_times[cursor->totals++];
	}
	if (hit->has_change) {
		hit->bytes_change = message->bytes_change[cursor->changes];
		hit->times_change = message->times_change[cursor->changes++];
	}
	for (size_t i = 0; !err && i < hit->probe->declaration.count; i++)
		if (hit->present >> i & 1)
			err = read_argument(cursor, hit, i, &used);
	return err;
}

int source_hits(struct source *source, const Taskmon__ProbeHits *message)
{
	struct cursor cursor = { .message = message };
	int err = is_whole(message) ? 0 : -EPROTO;
	struct hit hit;

	for (size_t row = 0; !err && row < message->count; row++) {
		err = read_hit(source, &cursor, row, &hit);
		if (!err)
			err = pipeline_hit(source->pipeline, &hit);
	}
	return err;
}
