/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a threshold says. report.json has a list of them; see config/README.md.
 */
#ifndef TASKMON_THRESHOLD_RULE_H
#define TASKMON_THRESHOLD_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "row.h"
#include "select.h"

enum threshold_method {
	THRESHOLD_STATIC, /* limits that somebody chose */
	THRESHOLD_EWMA,   /* mean ± k·σ, old samples fading out */
	THRESHOLD_MAD,    /* median ± k·1.4826·MAD of the last samples */
};

enum threshold_figure {
	THRESHOLD_VALUE,       /* of a metric */
	THRESHOLD_RATE,        /* of a counter, per second */
	THRESHOLD_CPU_PERCENT, /* of one CPU */
};

/** Which way is wrong: a set. */
enum threshold_side { THRESHOLD_ABOVE = 1, THRESHOLD_BELOW = 2 };

struct threshold_rule {
	char *name;
	enum threshold_figure figure;
	enum metric_id metric; /* whose value or rate it is; M_task_on_cpu_ns for task_cpu_percent */
	enum threshold_method method;
	unsigned int sides;
	double above, below;       /* limits of static */
	double k;                  /* of the others: how many deviations from the baseline */
	double clear, clear_below; /* back when within these: limits of static; `clear` in deviations for the others */
	double floor;              /* figures below it are never alarming */
	size_t window;             /* samples that the baseline is made of */
	size_t warmup;             /* samples before the first verdict */
	uint64_t for_ns;           /* so long beyond the limit before an alarm, and back before it clears; or THRESHOLD_FOR_TWO */
	bool only;                 /* rows of its tasks are written while in alarm only */
	struct select match;       /* which processes */
};

struct threshold_rules {
	struct threshold_rule *list;
	size_t count;
};

/** What a threshold has unless told otherwise. They were chosen with tests/bench/thresholds. */
#define THRESHOLD_K_EWMA 3.5
#define THRESHOLD_K_MAD 4.5
#define THRESHOLD_WINDOW 60
#define THRESHOLD_WARMUP 30
#define THRESHOLD_FOR_TWO UINT64_MAX /* two figures in a row: one may be anything */
#define THRESHOLD_CPU_FLOOR 5.0      /* percent: what idles is often 0, from which anything is infinitely far */

/** The keys that were not given are NAN, SIZE_MAX or 0; they get their defaults. */
void threshold_rule_init(struct threshold_rule *rule);

/** Returns 0, -ENOMEM, or -EINVAL with one line in `error` if what was given does not fit together. */
int threshold_rule_complete(struct threshold_rule *rule, char *error, size_t error_size);

/**
 * How long `for_ns` is where there is a figure every `interval_ns`, which no figure keeps to the nanosecond: up to half of
 * one may be missing.
 */
uint64_t threshold_for_ns(const struct threshold_rule *rule, uint64_t interval_ns);

/** Is any of them about what a rule of the collector selects? */
bool threshold_rules_ask_rules(const struct threshold_rules *rules);

void threshold_rules_free(struct threshold_rules *rules);

/** "task_cpu_percent", a metric or NAME_rate. Returns 0, or -EINVAL with one line in `error`. */
int threshold_parse_figure(struct threshold_rule *rule, const char *name, char *error, size_t error_size);

/** The other way round, terminated. */
#define THRESHOLD_FIGURE_BYTES 64
void threshold_figure_name(const struct threshold_rule *rule, char *out, size_t size);
const char *threshold_method_name(enum threshold_method method);

/** What the rules need to be measured, and the gain of which counters: bit per enum metric_id. */
uint64_t threshold_rules_needs(const struct threshold_rules *rules);
uint64_t threshold_rules_deltas(const struct threshold_rules *rules);

/** The figure of a row. False: it has none, or its window is shorter than `least_window_ns`, too short for a rate. */
bool threshold_figure(const struct threshold_rule *rule, const struct row *row, uint64_t least_window_ns, double *figure);

#endif
