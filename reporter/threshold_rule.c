/* SPDX-License-Identifier: BSD-2-Clause */
#include "threshold_rule.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "derive.h"
#include "metric.h"

#define CPU_PERCENT "task_cpu_percent"
#define RATE_SUFFIX "_rate"
enum { WARMUP_LEAST = 5 };
#define STATIC_CLEAR 0.1 /* of the limit */

static const char *const method_names[] = {
	[THRESHOLD_STATIC] = "static",
	[THRESHOLD_EWMA] = "ewma",
	[THRESHOLD_MAD] = "mad",
};

const char *threshold_method_name(enum threshold_method method)
{
	return method_names[method];
}

void threshold_rule_init(struct threshold_rule *rule)
{
	*rule = (struct threshold_rule){
		.method = THRESHOLD_MAD,
		.above = NAN,
		.below = NAN,
		.k = NAN,
		.clear = NAN,
		.floor = NAN,
		.window = SIZE_MAX,
		.warmup = SIZE_MAX,
		.for_ns = THRESHOLD_FOR_TWO,
	};
}

uint64_t threshold_for_ns(const struct threshold_rule *rule, uint64_t interval_ns)
{
	uint64_t for_ns = rule->for_ns == THRESHOLD_FOR_TWO ? interval_ns : rule->for_ns;

	return for_ns > interval_ns / 2 ? for_ns - interval_ns / 2 : 0;
}

void threshold_rules_free(struct threshold_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++) {
		free(rules->list[i].name);
		select_free(&rules->list[i].match);
	}
	free(rules->list);
	*rules = (struct threshold_rules){ 0 };
}

bool threshold_rules_ask_rules(const struct threshold_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		if (rules->list[i].match.rule_count)
			return true;
	return false;
}

/* --- what is judged */

static int find_figure(struct threshold_rule *rule, const char *name, size_t length)
{
	int id = metric_find(name, length);

	if (id < 0)
		return id;
	rule->metric = (enum metric_id)id;
	return 0;
}

int threshold_parse_figure(struct threshold_rule *rule, const char *name, char *error, size_t error_size)
{
	size_t length = strlen(name), suffix = strlen(RATE_SUFFIX);
	const char *near;

	if (strcmp(name, CPU_PERCENT) == 0) {
		rule->figure = THRESHOLD_CPU_PERCENT;
		rule->metric = M_task_on_cpu_ns;
		return 0;
	}
	if (find_figure(rule, name, length) == 0) {
		rule->figure = THRESHOLD_VALUE;
		if (metrics[rule->metric].unit != METRIC_LETTER)
			return 0;
		snprintf(error, error_size, "%s is no number (expected a metric that is one)", name);
		return -EINVAL;
	}
	if (length > suffix && strcmp(name + length - suffix, RATE_SUFFIX) == 0 && find_figure(rule, name, length - suffix) == 0) {
		rule->figure = THRESHOLD_RATE;
		if (metrics[rule->metric].kind == METRIC_COUNTER)
			return 0;
		snprintf(error, error_size, "%s is a %s and has no rate (expected its name alone, or a counter)",
			 metrics[rule->metric].name, metric_kind_name(metrics[rule->metric].kind));
		return -EINVAL;
	}
	near = metric_suggest(name);
	snprintf(error, error_size, "unknown metric \"%s\" (%s%s%sexpected " CPU_PERCENT ", a metric or NAME" RATE_SUFFIX ")", name,
		 near ? "did you mean " : "", near ? near : "", near ? "? " : "");
	return -EINVAL;
}

void threshold_figure_name(const struct threshold_rule *rule, char *out, size_t size)
{
	if (rule->figure == THRESHOLD_CPU_PERCENT)
		snprintf(out, size, "%s", CPU_PERCENT);
	else
		snprintf(out, size, "%s%s", metrics[rule->metric].name, rule->figure == THRESHOLD_RATE ? RATE_SUFFIX : "");
}

bool threshold_figure(const struct threshold_rule *rule, const struct row *row, uint64_t least_window_ns, double *figure)
{
	uint64_t hundredths;

	if (rule->figure == THRESHOLD_VALUE) {
		*figure = row_has(row, rule->metric) ? (double)row->value[rule->metric] : 0;
		return row_has(row, rule->metric);
	}
	if (!row_has_delta(row, rule->metric) || row->window_ns < least_window_ns)
		return false;
	if (rule->figure == THRESHOLD_RATE) {
		*figure = (double)row->delta[rule->metric] * 1e9 / (double)row->window_ns;
		return true;
	}
	if (!derive_cpu_percent(row, &hundredths))
		return false;
	*figure = (double)hundredths / 100;
	return true;
}

uint64_t threshold_rules_needs(const struct threshold_rules *rules)
{
	uint64_t needs = 0;

	for (size_t i = 0; i < rules->count; i++)
		needs |= METRIC_BIT(rules->list[i].metric);
	return needs;
}

uint64_t threshold_rules_deltas(const struct threshold_rules *rules)
{
	uint64_t deltas = 0;

	for (size_t i = 0; i < rules->count; i++)
		if (rules->list[i].figure != THRESHOLD_VALUE)
			deltas |= METRIC_BIT(rules->list[i].metric);
	return deltas;
}

/* --- defaults, and what does not fit together */

static int complete_static(struct threshold_rule *rule, char *error, size_t error_size)
{
	rule->sides = (isnan(rule->above) ? 0u : THRESHOLD_ABOVE) | (isnan(rule->below) ? 0u : THRESHOLD_BELOW);
	if (!rule->sides) {
		snprintf(error, error_size, "a static threshold has no limit (expected \"above\" or \"below\")");
		return -EINVAL;
	}
	if (rule->sides == (THRESHOLD_ABOVE | THRESHOLD_BELOW) && rule->below >= rule->above) {
		snprintf(error, error_size, "\"below\" is not less than \"above\" (expected room between them)");
		return -EINVAL;
	}
	if (!isnan(rule->k) || rule->window != SIZE_MAX) {
		snprintf(error, error_size, "\"%s\" is not for a static threshold (expected it with ewma or mad)",
			 isnan(rule->k) ? "window" : "k");
		return -EINVAL;
	}
	if (!isnan(rule->clear) &&
	    (rule->sides == (THRESHOLD_ABOVE | THRESHOLD_BELOW) || rule->clear > rule->above || rule->clear < rule->below)) {
		snprintf(error, error_size, "\"clear\" is on the wrong side of the limit (expected it within the one limit)");
		return -EINVAL;
	}
	rule->clear_below = isnan(rule->clear) ? rule->below * (1 + STATIC_CLEAR) : rule->clear;
	rule->clear = isnan(rule->clear) ? rule->above * (1 - STATIC_CLEAR) : rule->clear;
	rule->window = 0;
	rule->warmup = rule->warmup == SIZE_MAX ? 0 : rule->warmup;
	return 0;
}

static int complete_learning(struct threshold_rule *rule, char *error, size_t error_size)
{
	if (!isnan(rule->above) || !isnan(rule->below)) {
		snprintf(error, error_size, "\"%s\" is for static thresholds only (expected \"k\" and \"side\")",
			 isnan(rule->above) ? "below" : "above");
		return -EINVAL;
	}
	if (rule->figure == THRESHOLD_VALUE && metrics[rule->metric].kind == METRIC_COUNTER) {
		snprintf(error, error_size, "%s only ever grows, and so has no normal value (expected %s" RATE_SUFFIX ")",
			 metrics[rule->metric].name, metrics[rule->metric].name);
		return -EINVAL;
	}
	if (isnan(rule->k))
		rule->k = rule->method == THRESHOLD_EWMA ? THRESHOLD_K_EWMA : THRESHOLD_K_MAD;
	if (isnan(rule->clear))
		rule->clear = rule->k / 2;
	if (rule->clear > rule->k) {
		snprintf(error, error_size, "\"clear\" is beyond \"k\" (expected at most as many deviations)");
		return -EINVAL;
	}
	if (!rule->sides)
		rule->sides = THRESHOLD_ABOVE | THRESHOLD_BELOW;
	if (rule->window == SIZE_MAX)
		rule->window = THRESHOLD_WINDOW;
	if (rule->warmup == SIZE_MAX)
		rule->warmup = rule->window < THRESHOLD_WARMUP ? rule->window : THRESHOLD_WARMUP;
	if (rule->warmup < WARMUP_LEAST) {
		snprintf(error, error_size, "\"warmup\" is too short to learn from (expected at least %d samples)", WARMUP_LEAST);
		return -EINVAL;
	}
	return 0;
}

int threshold_rule_complete(struct threshold_rule *rule, char *error, size_t error_size)
{
	char figure[THRESHOLD_FIGURE_BYTES];
	int err;

	if (rule->method == THRESHOLD_STATIC && rule->sides) {
		snprintf(error, error_size, "\"side\" is not for a static threshold (expected \"above\" or \"below\" alone)");
		return -EINVAL;
	}
	err = rule->method == THRESHOLD_STATIC ? complete_static(rule, error, error_size) :
						 complete_learning(rule, error, error_size);
	if (err)
		return err;
	if (isnan(rule->floor))
		rule->floor = rule->figure == THRESHOLD_CPU_PERCENT && rule->method != THRESHOLD_STATIC ? THRESHOLD_CPU_FLOOR : 0;
	if (rule->name)
		return 0;
	threshold_figure_name(rule, figure, sizeof(figure));
	return asprintf(&rule->name, "%s:%s", figure, method_names[rule->method]) < 0 ? -ENOMEM : 0;
}
