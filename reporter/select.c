/* SPDX-License-Identifier: BSD-2-Clause */
#include "select.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_texts(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

void select_free(struct select *select)
{
	if (!select)
		return;
	for (size_t i = 0; i < select->regex_count; i++)
		regfree(&select->regexes[i]);
	free(select->regexes);
	free_texts(select->names, select->name_count);
	free_texts(select->cgroups, select->cgroup_count);
	free_texts(select->rules, select->rule_count);
	free(select->uids);
	*select = (struct select){ 0 };
}

int select_add_regex(struct select *select, const char *text, char *error, size_t error_size)
{
	regex_t *grown = reallocarray(select->regexes, select->regex_count + 1, sizeof(*grown));
	char reason[128];
	int err;

	if (!grown)
		return -ENOMEM;
	select->regexes = grown;
	err = regcomp(&grown[select->regex_count], text, REG_EXTENDED | REG_NOSUB);
	if (!err) {
		select->regex_count++;
		return 0;
	}
	regerror(err, NULL, reason, sizeof(reason));
	snprintf(error, error_size, "\"%s\" is not an extended regular expression: %s", text, reason);
	return err == REG_ESPACE ? -ENOMEM : -EINVAL;
}

bool select_narrows(const struct select *select)
{
	return select->name_count || select->regex_count || select->uid_count || select->cgroup_count;
}

static bool matches_name(const struct select *select, const char *comm)
{
	for (size_t i = 0; i < select->name_count; i++)
		if (fnmatch(select->names[i], comm, 0) == 0)
			return true;
	for (size_t i = 0; i < select->regex_count; i++)
		if (regexec(&select->regexes[i], comm, 0, NULL, 0) == 0)
			return true;
	return select->name_count == 0 && select->regex_count == 0;
}

/* The path itself, and then each of those above it. */
static bool matches_path(const char *pattern, const char *cgroup)
{
	size_t length = strlen(cgroup);
	char *path = strdup(cgroup);
	bool matches = false;

	while (path && !matches) {
		matches = fnmatch(pattern, path, 0) == 0;
		while (length > 0 && path[--length] != '/')
			;
		if (length == 0)
			break;
		path[length] = '\0';
	}
	free(path);
	return matches;
}

bool select_cgroup(const struct select *select, const char *cgroup)
{
	for (size_t i = 0; i < select->cgroup_count; i++)
		if (matches_path(select->cgroups[i], cgroup))
			return true;
	return select->cgroup_count == 0;
}

/* `rules`: names, separated by `;`. */
static bool matches_rule(const struct select *select, const char *rules)
{
	for (size_t i = 0; i < select->rule_count; i++) {
		size_t length = strlen(select->rules[i]);

		for (const char *at = rules; at && *at; at = strchr(at, ';') ? strchr(at, ';') + 1 : NULL)
			if (strncmp(at, select->rules[i], length) == 0 && (at[length] == '\0' || at[length] == ';'))
				return true;
	}
	return select->rule_count == 0;
}

static bool matches_user(const struct select *select, uint32_t uid)
{
	for (size_t i = 0; i < select->uid_count; i++)
		if (select->uids[i] == uid)
			return true;
	return select->uid_count == 0;
}

bool select_process(const struct select *select, const char *process_comm, uint32_t uid)
{
	return matches_user(select, uid) && matches_name(select, process_comm);
}

bool select_row(const struct select *select, const struct row *row)
{
	return select_process(select, row->process_comm, row->uid) &&
	       (!select->cgroup_count || select_cgroup(select, row->cgroup)) &&
	       (!select->rule_count || matches_rule(select, row->rules));
}

bool select_event(const struct select *select, const struct event *event, bool process_selected)
{
	bool is_process = event->tid == event->tgid;

	return process_selected || (is_process && event->renamed && select_process(select, event->old_comm, event->uid));
}
