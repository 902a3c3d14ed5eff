/* SPDX-License-Identifier: BSD-2-Clause */
#include "rule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_file.h"
#include "rule_condition.h"
#include "rule_term.h"

/* Takes the rule over. */
static int put_rule(struct rules *rules, struct rule *rule)
{
	struct rule **grown;

	for (size_t i = 0; i < rules->count; i++) {
		if (strcmp(rules->list[i]->name, rule->name) != 0)
			continue;
		rule_free(rules->list[i]);
		rules->list[i] = rule;
		return 0;
	}
	grown = reallocarray(rules->list, rules->count + 1, sizeof(*grown));
	if (!grown) {
		rule_free(rule);
		return -ENOMEM;
	}
	rules->list = grown;
	rules->list[rules->count++] = rule;
	return 0;
}

static bool valid_rule_name(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= RULE_NAME_MAX && strcspn(name, ",;\"\\ \t\n\r") == length;
}

static int read_entry(struct rules *rules, const cJSON *entry, struct json_file *file)
{
	struct rule *rule;
	int err;

	if (!valid_rule_name(entry->string))
		return json_file_refuse(file, entry,
					"rule \"%.80s\": expected a name of at most %d bytes without spaces, commas and quotes",
					entry->string, RULE_NAME_MAX);
	rule = rule_new(entry->string);
	if (!rule)
		return -ENOMEM;
	err = rule_read(rule, entry, file);
	if (!err)
		return put_rule(rules, rule);
	rule_free(rule);
	return err;
}

static int read_all(struct rules *rules, struct json_file *file)
{
	const cJSON *object = cJSON_GetObjectItemCaseSensitive(file->root, "rules"), *entry;
	int err = 0;

	if (!object)
		return 0;
	if (!cJSON_IsObject(object))
		return json_file_refuse(file, object, "\"rules\": expected an object of rules by name");
	cJSON_ArrayForEach(entry, object) {
		err = rules->count == RULES_MAX ? json_file_refuse(file, entry, "more than %d rules", RULES_MAX) :
						  read_entry(rules, entry, file);
		if (err)
			break;
	}
	return err;
}

int rules_read(struct rules *rules, const char *path, char *error, size_t error_size)
{
	struct rules fresh = { 0 };
	struct json_file file;
	int err = json_file_open(&file, path, error, error_size);

	if (!err)
		err = read_all(&fresh, &file);
	if (err == -ENOMEM)
		json_file_no_memory(&file);
	json_file_close(&file);
	for (size_t i = 0; !err && i < fresh.count; i++) {
		err = put_rule(rules, fresh.list[i]);
		fresh.list[i] = NULL;
	}
	rules_free(&fresh);
	return err;
}

void rules_free(struct rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		rule_free(rules->list[i]);
	free(rules->list);
	*rules = (struct rules){ 0 };
}

int rules_load(struct rules *rules, const char *known_apps, const char *config, char *error, size_t error_size)
{
	struct rules fresh = { 0 };
	int err = known_apps ? rules_read(&fresh, known_apps, error, error_size) : 0;

	if (!err && config)
		err = rules_read(&fresh, config, error, error_size);
	if (!err && fresh.count > RULES_MAX) {
		snprintf(error, error_size, "%s: there are more than %d rules with those of this file",
			 config ? config : known_apps, RULES_MAX);
		err = -EINVAL;
	}
	if (err) {
		rules_free(&fresh);
		return -EINVAL;
	}
	rules_free(rules);
	*rules = fresh;
	return 0;
}

const struct rule *rules_find(const struct rules *rules, const char *name)
{
	for (size_t i = 0; i < rules->count; i++)
		if (strcmp(rules->list[i]->name, name) == 0)
			return rules->list[i];
	return NULL;
}

struct rule *rule_of_names(char *const *names, size_t count)
{
	struct rule *rule = rule_new("");

	if (!rule || rule_add_words(rule, TERM_NAME, names, count) < 0) {
		rule_free(rule);
		return NULL;
	}
	rule->clause_count = 1;
	rule->clauses[0].need = 1;
	return rule;
}
