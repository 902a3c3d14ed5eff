/* SPDX-License-Identifier: BSD-2-Clause */
#include "config_thresholds.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "option_values.h"

enum { RULES_MAX = 256, REASON_BYTES = 256 };
#define LIMIT_MAX 1e18
#define SECONDS_MAX 86400.0

/* --- values of a threshold */

/* One line, and a column of its own: no spaces. */
static int apply_name(void *target, const cJSON *value, struct json_file *file)
{
	struct threshold_rule *rule = target;
	const char *text = cJSON_GetStringValue(value);

	(void)file;
	if (!text || strlen(text) > 64)
		return -EINVAL;
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at <= ' ' || (unsigned char)*at > '~')
			return -EINVAL;
	return json_text(value, &rule->name);
}

static int apply_metric(void *target, const cJSON *value, struct json_file *file)
{
	char reason[REASON_BYTES];

	if (!cJSON_IsString(value))
		return -EINVAL;
	if (threshold_parse_figure(target, value->valuestring, reason, sizeof(reason)) == 0)
		return 0;
	return json_file_refuse(file, value, "\"metric\": %s", reason);
}

static int apply_method(void *target, const cJSON *value, struct json_file *file)
{
	struct threshold_rule *rule = target;

	(void)file;
	for (int method = THRESHOLD_STATIC; cJSON_IsString(value) && method <= THRESHOLD_MAD; method++) {
		if (strcmp(value->valuestring, threshold_method_name((enum threshold_method)method)) == 0) {
			rule->method = (enum threshold_method)method;
			return 0;
		}
	}
	return -EINVAL;
}

static int apply_side(void *target, const cJSON *value, struct json_file *file)
{
	static const struct {
		const char *word;
		unsigned int sides;
	} words[] = {
		{ "above", THRESHOLD_ABOVE },
		{ "below", THRESHOLD_BELOW },
		{ "both", THRESHOLD_ABOVE | THRESHOLD_BELOW },
	};

	(void)file;
	for (size_t i = 0; cJSON_IsString(value) && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(value->valuestring, words[i].word) == 0) {
			((struct threshold_rule *)target)->sides = words[i].sides;
			return 0;
		}
	}
	return -EINVAL;
}

static int apply_mode(void *target, const cJSON *value, struct json_file *file)
{
	struct threshold_rule *rule = target;

	(void)file;
	return json_either(value, "mark", "only", &rule->only);
}

#define APPLY_NUMBER(member, least, most)                                                           \
	static int apply_##member(void *target, const cJSON *value, struct json_file *file)         \
	{                                                                                           \
		(void)file;                                                                         \
		return json_number(value, least, most, &((struct threshold_rule *)target)->member); \
	}
#define APPLY_WHOLE(member, least, most)                                                           \
	static int apply_##member(void *target, const cJSON *value, struct json_file *file)        \
	{                                                                                          \
		(void)file;                                                                        \
		return json_whole(value, least, most, &((struct threshold_rule *)target)->member); \
	}

APPLY_NUMBER(above, 0, LIMIT_MAX)
APPLY_NUMBER(below, 0, LIMIT_MAX)
APPLY_NUMBER(k, 0.5, 1000)
APPLY_NUMBER(clear, 0, LIMIT_MAX)
APPLY_NUMBER(floor, 0, LIMIT_MAX)
APPLY_WHOLE(window, 5, 10000)
APPLY_WHOLE(warmup, 0, 100000)

static int apply_for(void *target, const cJSON *value, struct json_file *file)
{
	double seconds;

	(void)file;
	if (json_number(value, 0, SECONDS_MAX, &seconds))
		return -EINVAL;
	((struct threshold_rule *)target)->for_ns = (uint64_t)llround(seconds * 1e9);
	return 0;
}

/* --- whom it is about */

/* A word or a list of words. */
static int append_words(const cJSON *value, char ***list, size_t *count)
{
	const cJSON *word;
	int err = 0;

	if (cJSON_IsString(value) && value->valuestring[0])
		return value_append_text(value->valuestring, list, count);
	if (!cJSON_IsArray(value) || !value->child)
		return -EINVAL;
	cJSON_ArrayForEach(word, value) {
		err = cJSON_IsString(word) && word->valuestring[0] ? value_append_text(word->valuestring, list, count) : -EINVAL;
		if (err)
			break;
	}
	return err;
}

static int apply_match_name(void *target, const cJSON *value, struct json_file *file)
{
	struct select *match = target;

	(void)file;
	return append_words(value, &match->names, &match->name_count);
}

static int apply_match_rule(void *target, const cJSON *value, struct json_file *file)
{
	struct select *match = target;

	(void)file;
	return append_words(value, &match->rules, &match->rule_count);
}

static int apply_match_user(void *target, const cJSON *value, struct json_file *file)
{
	struct select *match = target;
	char reason[REASON_BYTES];
	int err;

	if (!cJSON_IsString(value))
		return -EINVAL;
	err = value_users(value->valuestring, &match->uids, &match->uid_count, reason, sizeof(reason));
	return err == -EINVAL ? json_file_refuse(file, value, "\"user\": %s", reason) : err;
}

static const struct json_setting match_settings[] = {
	{ "name", apply_match_name, "a glob on the name of the process, or a list of them" },
	{ "user", apply_match_user, "a user, or several as \"USER,USER\"" },
	{ "rule", apply_match_rule, "a rule of the collector, or a list of them" },
	{ NULL, NULL, NULL },
};

static int apply_match(void *target, const cJSON *value, struct json_file *file)
{
	struct threshold_rule *rule = target;

	return cJSON_IsObject(value) ? json_file_apply(file, value, match_settings, &rule->match) : -EINVAL;
}

static const struct json_setting settings[] = {
	{ "name", apply_name, "a word of at most 64 letters" },
	{ "metric", apply_metric, "task_cpu_percent, a metric or NAME_rate" },
	{ "method", apply_method, "\"static\", \"ewma\" or \"mad\"" },
	{ "above", apply_above, "a number, 0 or more" },
	{ "below", apply_below, "a number, 0 or more" },
	{ "k", apply_k, "a number of deviations from 0.5 to 1000" },
	{ "side", apply_side, "\"above\", \"below\" or \"both\"" },
	{ "for", apply_for, "a number of seconds from 0 to 86400" },
	{ "clear", apply_clear, "a number, 0 or more" },
	{ "floor", apply_floor, "a number, 0 or more" },
	{ "window", apply_window, "a number of samples from 5 to 10000" },
	{ "warmup", apply_warmup, "a number of samples up to 100000" },
	{ "match", apply_match, "an object with \"name\", \"user\" or \"rule\"" },
	{ "mode", apply_mode, "\"mark\" or \"only\"" },
	{ NULL, NULL, NULL },
};

/* --- the list */

static int read_rule(struct threshold_rules *rules, const cJSON *object, struct json_file *file)
{
	struct threshold_rule *rule = &rules->list[rules->count++];
	char reason[REASON_BYTES];
	int err;

	threshold_rule_init(rule);
	if (!cJSON_IsObject(object))
		return json_file_refuse(file, object, "a threshold is an object (expected {\"metric\": ...})");
	err = json_file_apply(file, object, settings, rule);
	if (err)
		return err;
	if (!cJSON_GetObjectItemCaseSensitive(object, "metric"))
		return json_file_refuse(file, object, "a threshold without \"metric\" (expected what it is about)");
	err = threshold_rule_complete(rule, reason, sizeof(reason));
	if (err)
		return err == -EINVAL ? json_file_refuse(file, object, "%s", reason) : err;
	for (size_t i = 0; i + 1 < rules->count; i++)
		if (strcmp(rules->list[i].name, rule->name) == 0)
			return json_file_refuse(file, object,
						"another threshold is \"%s\", too (expected a \"name\" of "
						"its own)",
						rule->name);
	return 0;
}

int config_thresholds(struct threshold_rules *rules, const cJSON *list, struct json_file *file)
{
	int count = cJSON_GetArraySize(list);
	const cJSON *object;
	int err = 0;

	if (!cJSON_IsArray(list))
		return -EINVAL;
	if (count > RULES_MAX)
		return json_file_refuse(file, list, "%d thresholds (expected at most %d)", count, RULES_MAX);
	if (count == 0)
		return 0;
	rules->list = calloc((size_t)count, sizeof(*rules->list));
	if (!rules->list)
		return -ENOMEM;
	cJSON_ArrayForEach(object, list) {
		err = read_rule(rules, object, file);
		if (err)
			break;
	}
	return err;
}
