/* SPDX-License-Identifier: BSD-2-Clause */
#include "window.h"

#include <stdlib.h>

#include "hash.h"
#include "log.h"
#include "metric.h"

struct key {
	u64 start_time_ns;
	u64 tid; /* as wide as its neighbour: no padding to be hashed */
};

struct kept {
	struct key key;
	UT_hash_handle hh;
	u64 value[METRIC_TOTAL]; /* of metric_window_bits */
};

struct windows {
	struct kept *table;
};

struct windows *windows_new(void)
{
	return calloc(1, sizeof(struct windows));
}

static struct kept *find(const struct windows *windows, const struct task_record *record)
{
	const struct key key = { record->start_time_ns, record->tid };
	struct kept *kept;

	HASH_FIND(hh, windows->table, &key, sizeof(key), kept);
	return kept;
}

static struct kept *add(struct windows *windows, const struct task_record *record)
{
	struct kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return NULL;
	kept->key = (struct key){ record->start_time_ns, record->tid };
	HASH_ADD(hh, windows->table, key, sizeof(kept->key), kept);
	if (kept->hh.tbl)
		return kept;
	free(kept);
	return NULL;
}

static void raise(u64 *value, const u64 *other)
{
	for (u64 left = metric_window_bits; left; left &= left - 1) {
		int id = __builtin_ctzll(left);

		value[id] = value[id] > other[id] ? value[id] : other[id];
	}
}

void windows_keep(struct windows *windows, const struct task_record *record)
{
	struct kept *kept = find(windows, record);

	if (!kept)
		kept = add(windows, record);
	if (kept)
		raise(kept->value, record->value);
	else
		log_error("window", "out of memory: maxima are lost");
}

void windows_include(const struct windows *windows, struct task_record *record)
{
	const struct kept *kept = find(windows, record);

	if (kept)
		raise(record->value, kept->value);
}

static void drop(struct windows *windows, struct kept *kept)
{
	HASH_DEL(windows->table, kept);
	free(kept);
}

void windows_forget(struct windows *windows, const struct task_record *record)
{
	struct kept *kept = find(windows, record);

	if (kept)
		drop(windows, kept);
}

void windows_begin(struct windows *windows)
{
	struct kept *kept, *next;

	HASH_ITER(hh, windows->table, kept, next)
		drop(windows, kept);
}

void windows_free(struct windows *windows)
{
	if (!windows)
		return;
	windows_begin(windows);
	free(windows);
}
