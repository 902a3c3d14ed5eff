/* SPDX-License-Identifier: BSD-2-Clause */
#include "rule_condition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rule_single.h"
#include "str.h"

static const struct rule_dnf always = { .count = 1 };

/* --- combining */

static int too_many(struct json_file *file, const cJSON *value)
{
	return json_file_refuse(file, value, "a rule with more than %d alternatives", RULE_CLAUSES_MAX);
}

/* dnf = dnf and other */
static int both(struct rule_dnf *dnf, const struct rule_dnf *other)
{
	const struct rule_dnf before = *dnf;

	if (before.count * other->count > RULE_CLAUSES_MAX)
		return -E2BIG;
	dnf->count = 0;
	for (size_t i = 0; i < before.count; i++)
		for (size_t j = 0; j < other->count; j++)
			dnf->clauses[dnf->count++] = (struct rule_clause){
				before.clauses[i].need | other->clauses[j].need,
				before.clauses[i].except | other->clauses[j].except,
			};
	return 0;
}

static int read_condition(struct rule_reading *reading, const cJSON *value, struct json_file *file);

static int read_any(void *target, const cJSON *value, struct json_file *file)
{
	struct rule_reading *reading = target;
	struct rule_dnf some = { .count = 0 };
	const cJSON *part;

	if (!cJSON_IsArray(value) || !value->child)
		return -EINVAL;
	cJSON_ArrayForEach(part, value) {
		struct rule_dnf one = always;
		int err = read_condition(&(struct rule_reading){ reading->rule, &one }, part, file);

		if (err)
			return err;
		if (some.count + one.count > RULE_CLAUSES_MAX)
			return too_many(file, value);
		memcpy(&some.clauses[some.count], one.clauses, one.count * sizeof(one.clauses[0]));
		some.count += one.count;
	}
	return both(reading->dnf, &some) ? too_many(file, value) : 0;
}

static int read_all(void *target, const cJSON *value, struct json_file *file)
{
	const cJSON *part;
	int err;

	if (!cJSON_IsArray(value) || !value->child)
		return -EINVAL;
	cJSON_ArrayForEach(part, value) {
		err = read_condition(target, part, file);
		if (err)
			return err;
	}
	return 0;
}

/* Not any of these: each must be one term, or "not" would be more than a bit. */
static int read_except(void *target, const cJSON *value, struct json_file *file)
{
	struct rule_reading *reading = target;
	bool is_list = cJSON_IsArray(value);
	u64 except = 0;

	if (is_list && !value->child)
		return -EINVAL;
	for (const cJSON *part = is_list ? value->child : value; part; part = is_list ? part->next : NULL) {
		struct rule_dnf one = always;
		int err = read_condition(&(struct rule_reading){ reading->rule, &one }, part, file);

		if (err)
			return err;
		for (size_t i = 0; i < one.count; i++) {
			if (one.clauses[i].except || __builtin_popcountll(one.clauses[i].need) != 1)
				return -EINVAL;
			except |= one.clauses[i].need;
		}
	}
	for (size_t i = 0; i < reading->dnf->count; i++)
		reading->dnf->clauses[i].except |= except;
	return 0;
}

/* --- a whole rule */

static int read_children(void *target, const cJSON *value, struct json_file *file)
{
	struct rule_reading *reading = target;

	(void)file;
	return json_bool(value, &reading->rule->children);
}

static int read_description(void *target, const cJSON *value, struct json_file *file)
{
	struct rule_reading *reading = target;

	(void)file;
	if (!cJSON_IsString(value))
		return -EINVAL;
	free(reading->rule->text);
	reading->rule->text = str_shorten(value->valuestring, RULE_TEXT_MAX);
	return reading->rule->text ? 0 : -ENOMEM;
}

#define CONDITION_EXPECTED "a condition: an object with at least one key"
#define CONDITIONS                                                                                                        \
	RULE_SINGLE_CONDITIONS, { "any", read_any, "a list of conditions" }, { "all", read_all, "a list of conditions" }, \
	{                                                                                                                 \
		"except", read_except, "a condition of one key, or a list of such"                                        \
	}

static const struct json_setting conditions[] = { CONDITIONS, { NULL, NULL, NULL } };

/* What concerns the rule as a whole stands beside its condition. */
static const struct json_setting rule_settings[] = {
	CONDITIONS,
	{ "children", read_children, "true or false" },
	{ "description", read_description, "a text" },
	{ NULL, NULL, NULL },
};

/* All keys of an object must hold. */
static int read_condition(struct rule_reading *reading, const cJSON *value, struct json_file *file)
{
	if (!cJSON_IsObject(value) || !value->child)
		return json_file_refuse(file, value, "expected " CONDITION_EXPECTED);
	return json_file_apply(file, value, conditions, reading);
}

/* What the rule selects, as the file has it. */
static char *condition_text(const cJSON *object)
{
	cJSON *copy = cJSON_Duplicate(object, true);
	char *text, *shortened;

	cJSON_DeleteItemFromObjectCaseSensitive(copy, "children");
	text = copy ? cJSON_PrintUnformatted(copy) : NULL;
	cJSON_Delete(copy);
	shortened = text ? str_shorten(text, RULE_TEXT_MAX) : NULL;
	free(text);
	return shortened;
}

int rule_read(struct rule *rule, const cJSON *object, struct json_file *file)
{
	struct rule_dnf dnf = always;
	int err;

	if (!cJSON_IsObject(object))
		return json_file_refuse(file, object, "rule \"%s\": expected an object", rule->name);
	err = json_file_apply(file, object, rule_settings, &(struct rule_reading){ rule, &dnf });
	if (err)
		return err;
	for (size_t i = 0; i < dnf.count; i++)
		if (!dnf.clauses[i].need)
			return json_file_refuse(file, object,
						"rule \"%s\" selects nothing (expected a condition, not only exceptions)",
						rule->name);
	rule->clause_count = dnf.count;
	memcpy(rule->clauses, dnf.clauses, dnf.count * sizeof(dnf.clauses[0]));
	if (!rule->text)
		rule->text = condition_text(object);
	return rule->text ? 0 : -ENOMEM;
}
