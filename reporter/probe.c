/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the list of arguments of "f(int)(int size)" or "f(int size)" begins; NULL: it has none. */
static const char *find_arguments(const char *function)
{
	size_t length = strlen(function), at = length;
	int depth = 0;

	if (length == 0 || function[length - 1] != ')')
		return NULL;
	while (at-- > 0) {
		depth += (function[at] == ')') - (function[at] == '(');
		if (depth == 0)
			return at > 0 ? function + at : NULL;
	}
	return NULL;
}

static int split(struct probe *probe, const char *text, const char *default_arguments, char *error, size_t error_size)
{
	const char *colon = strchr(text, ':'), *arguments;

	if (!colon || colon == text || !colon[1]) {
		snprintf(error, error_size,
			 "\"%s\" (expected BIN:FUNC or BIN:FUNC(ARGUMENTS), such as ./server:parse(int fd, char [10] "
			 "name))",
			 text);
		return -EINVAL;
	}
	arguments = find_arguments(colon + 1);
	probe->binary = strndup(text, (size_t)(colon - text));
	probe->function = arguments ? strndup(colon + 1, (size_t)(arguments - colon - 1)) : strdup(colon + 1);
	if (arguments)
		probe->arguments = strndup(arguments + 1, strlen(arguments) - 2);
	else
		probe->arguments = strdup(default_arguments ? default_arguments : "");
	return probe->binary && probe->function && probe->arguments ? 0 : -ENOMEM;
}

static void set_columns(struct probe_set *set, struct probe *probe)
{
	for (size_t i = 0; i < probe->declaration.count; i++) {
		const char *name = probe->declaration.arguments[i].name;
		size_t column = 0;

		while (column < set->column_count && strcmp(set->columns[column], name) != 0)
			column++;
		if (column == set->column_count)
			set->columns[set->column_count++] = name;
		probe->column[i] = column;
	}
}

static int parse_one(struct probe_set *set, const char *text, const char *arguments, char *error, size_t error_size)
{
	struct probe *probe = &set->list[set->count];
	char reason[256];
	int err;

	if (set->count == PROBES_MAX) {
		snprintf(error, error_size, "there are too many (expected at most %d)", PROBES_MAX);
		return -EINVAL;
	}
	set->count++;
	err = split(probe, text, arguments, error, error_size);
	if (err)
		return err;
	if (declaration_parse(&probe->declaration, probe->arguments, reason, sizeof(reason))) {
		snprintf(error, error_size, "%s:%s: %s", probe->binary, probe->function, reason);
		return -EINVAL;
	}
	set_columns(set, probe);
	return 0;
}

int probe_set_parse(struct probe_set *set, char *const *texts, size_t count, const char *arguments, char *error, size_t error_size)
{
	int err = 0;

	*set = (struct probe_set){ 0 };
	for (size_t i = 0; !err && i < count; i++)
		err = parse_one(set, texts[i], arguments, error, error_size);
	return err;
}

void probe_set_free(struct probe_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		free(set->list[i].binary);
		free(set->list[i].function);
		free(set->list[i].arguments);
	}
	for (size_t i = 0; i < set->symbol_count; i++) {
		free(set->symbols[i].name);
		free(set->symbols[i].shown);
	}
	for (size_t i = 0; i < set->file_count; i++)
		close(set->files[i]);
	*set = (struct probe_set){ 0 };
}
