/* SPDX-License-Identifier: BSD-2-Clause */
#include "metric.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

#define METRIC_COUNT METRIC_COUNT_UNIT /* the unit `COUNT` of the table */
const struct metric metrics[METRIC_TOTAL] = {
#define METRIC(name, kind, scope, unit, cost, help) \
	[M_##name] = { #name, help, METRIC_##kind, METRIC_##scope, METRIC_##unit, METRIC_##cost },
#include "metrics.def"
#undef METRIC
};
#undef METRIC_COUNT

const char *metric_kind_name(enum metric_kind kind)
{
	static const char *const names[] = { "counter", "gauge", "window" };
	return names[kind];
}

const char *metric_scope_name(enum metric_scope scope)
{
	static const char *const names[] = { "thread", "process" };
	return names[scope];
}

const char *metric_unit_name(enum metric_unit unit)
{
	static const char *const names[] = { "count", "bytes", "ns", "jiffies", "letter" };
	return names[unit];
}

const char *metric_cost_name(enum metric_cost cost)
{
	static const char *const names[] = { "free", "hook", "walk" };
	return names[cost];
}

int metric_find(const char *name, size_t len)
{
	for (int id = 0; id < METRIC_TOTAL; id++)
		if (strlen(metrics[id].name) == len && memcmp(metrics[id].name, name, len) == 0)
			return id;
	return -ENOENT;
}

const char *metric_suggest(const char *name)
{
	const char *best = NULL;
	size_t best_distance = strlen(name) / 3 + 2;

	for (int id = 0; id < METRIC_TOTAL; id++) {
		const char *candidate = metrics[id].name;
		size_t distance = str_distance(name, candidate);
		/* people leave the common prefix out */
		size_t bare = str_distance(name, candidate + strlen("task_"));

		if (bare < distance)
			distance = bare;
		if (distance < best_distance) {
			best_distance = distance;
			best = candidate;
		}
	}
	return best;
}

uint64_t metric_set_of_cost(enum metric_cost cost)
{
	uint64_t set = 0;

	for (int id = 0; id < METRIC_TOTAL; id++)
		if (metrics[id].cost == cost)
			set |= METRIC_BIT(id);
	return set;
}

static int parse_word(const char *word, size_t len, uint64_t *set, char *error, size_t error_size)
{
	char name[64];
	const char *near;
	int id = metric_find(word, len);

	if (id >= 0) {
		*set |= METRIC_BIT(id);
		return 0;
	}
	snprintf(name, sizeof(name), "%.*s", (int)len, word);
	near = metric_suggest(name);
	snprintf(error, error_size, "unknown metric \"%s\" (%s%s%sexpected free, all or names from --list metrics)", name,
		 near ? "did you mean " : "", near ? near : "", near ? "? " : "");
	return -EINVAL;
}

int metric_parse_set(const char *text, uint64_t *set, char *error, size_t error_size)
{
	uint64_t parsed = 0;

	if (strcmp(text, "all") == 0) {
		*set = METRIC_ALL_BITS;
		return 0;
	}
	if (strcmp(text, "free") == 0) {
		*set = metric_set_of_cost(METRIC_FREE);
		return 0;
	}
	for (const char *word = text;; word++) {
		size_t len = strcspn(word, ",");
		int err = parse_word(word, len, &parsed, error, error_size);

		if (err)
			return err;
		word += len;
		if (!*word)
			break;
	}
	*set = parsed;
	return 0;
}
