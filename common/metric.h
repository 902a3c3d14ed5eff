/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_METRIC_H
#define TASKMON_METRIC_H

#include <stddef.h>
#include <stdint.h>

#include "record.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_WINDOW };
enum metric_scope { METRIC_THREAD, METRIC_PROCESS };
enum metric_unit { METRIC_COUNT_UNIT, METRIC_BYTES, METRIC_NS, METRIC_JIFFIES, METRIC_LETTER };
enum metric_cost { METRIC_FREE, METRIC_HOOK, METRIC_WALK };

/** One row of metrics.def. */
struct metric {
	const char *name;
	const char *help;
	enum metric_kind kind;
	enum metric_scope scope;
	enum metric_unit unit;
	enum metric_cost cost;
};

/** The table: METRIC_TOTAL rows, indexed by enum metric_id. */
extern const struct metric metrics[METRIC_TOTAL];

/** Names of the enums as users and the wire see them: "counter", "thread", "bytes", "free". */
const char *metric_kind_name(enum metric_kind kind);
const char *metric_scope_name(enum metric_scope scope);
const char *metric_unit_name(enum metric_unit unit);
const char *metric_cost_name(enum metric_cost cost);

/** Index of the metric called `name` (`len` bytes, need not be terminated), or -ENOENT. */
int metric_find(const char *name, size_t len);

/** The known name most like `name` by edit distance, or NULL if none is near enough to suggest. */
const char *metric_suggest(const char *name);

/** Bit set of all metrics of one cost. */
uint64_t metric_set_of_cost(enum metric_cost cost);

/**
 * Parse `free`, `all` or a list NAME[,NAME...] into a bit set (bit = enum metric_id).
 * Returns 0, or -EINVAL with one line in `error` that names the unknown word and what was expected.
 */
int metric_parse_set(const char *text, uint64_t *set, char *error, size_t error_size);

#endif
