/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules: which processes are worth watching, as configuration files say it. config/README.md has their language.
 */
#ifndef TASKMON_RULE_H
#define TASKMON_RULE_H

#include <stdbool.h>
#include <stddef.h>

#include "record.h"

#define RULE_NAME_MAX 63
#define RULE_TEXT_MAX 500
#define RULE_TERMS_MAX 64
#define RULE_CLAUSES_MAX 64

enum term_kind { TERM_NAME, TERM_KERNEL_THREAD, TERM_ARGV, TERM_USER, TERM_CONNECTION, TERM_LIMIT, TERM_DESCENT, TERM_KINDS };

/** One condition on a process. TERM_DESCENT: a process that the same rule selects has started it; rules that follow children imply it. */
struct term {
	enum term_kind kind;
	char *text; /* canonical, for people too; terms with the same text are the same */
	char **words; /* TERM_NAME, TERM_KERNEL_THREAD: names, a prefix ends in `*`; TERM_ARGV: tokens, or a star, a slash and a last part */
	size_t word_count;
	uint32_t user;
	struct connection_key connection;
	struct limit limit; /* `term` is not used here */
};

/** A process is selected if all terms of `need` hold and none of `except`: bit sets over the rule's terms. */
struct rule_clause {
	u64 need, except;
};

struct rule {
	char *name;
	char *text; /* for people: its description, or its conditions; shortened to RULE_TEXT_MAX bytes and "..." */
	bool children;
	size_t term_count, clause_count;
	struct term terms[RULE_TERMS_MAX];
	struct rule_clause clauses[RULE_CLAUSES_MAX];
};

#define RULES_MAX 1000 /* with their texts, they fit into a Welcome */

struct rules {
	size_t count;
	struct rule **list;
};

/**
 * Add the rules of a file: those in its key "rules". A later one replaces an earlier one of that name. -EINVAL (-ENOENT: there is no
 * such file) with one line in `error` (file, line, what was expected) and `rules` as it was.
 */
int rules_read(struct rules *rules, const char *path, char *error, size_t error_size);
void rules_free(struct rules *rules);

/**
 * All rules anew: those of `known_apps` (NULL: none), then those of `config` (NULL: none), which win. -EINVAL with one line in
 * `error` and `rules` as they were.
 */
int rules_load(struct rules *rules, const char *known_apps, const char *config, char *error, size_t error_size);

/** A whole name, or the beginning of one and `*`? At most 15 bytes. */
bool rule_valid_name(const char *word);

const struct rule *rules_find(const struct rules *rules, const char *name);

/** A rule of one term: names as a client gives them. NULL when out of memory. Free with rule_free(). */
struct rule *rule_of_names(char *const *names, size_t count);
void rule_free(struct rule *rule);

#endif
