/* SPDX-License-Identifier: BSD-2-Clause */
#include "terms.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"
#include "log.h"
#include "term_set.h"
#include "words.h"

#define SUBSYSTEM "rules"

enum { ARGV_BYTES = 256 << 10, RULES_TEXT_BYTES = 1024 };

enum slot_state {
	SLOT_FREE,
	SLOT_USED,
	SLOT_STALE, /* given up, but may still stand in what is known of processes */
};

struct slot {
	enum slot_state state;
	bool wanted; /* by the list that is being made */
	char *text;
	enum term_kind kind;
	struct limit limit;
};

/* A clause with the rule that it came from. */
struct named_clause {
	struct clause clause;
	char rule[RULE_NAME_MAX + 1];
};

struct terms {
	struct kernel *kernel;
	struct slot slots[TERMS_MAX];
	struct words *words;
	struct named_clause clauses[CLAUSES_MAX], next[CLAUSES_MAX];
	size_t clause_count, next_count;
	unsigned int fresh;
	bool has_found_argv;       /* the kernel has a table of it */
	struct term_set named_for; /* what `names` was made for */
	char names[RULES_TEXT_BYTES];
};

struct terms *terms_new(struct kernel *kernel)
{
	struct terms *terms = calloc(1, sizeof(*terms));

	if (!terms)
		return NULL;
	terms->kernel = kernel;
	terms->words = words_new(kernel);
	if (terms->words)
		return terms;
	free(terms);
	return NULL;
}

void terms_free(struct terms *terms)
{
	if (!terms)
		return;
	words_free(terms->words);
	for (size_t i = 0; i < TERMS_MAX; i++)
		free(terms->slots[i].text);
	free(terms);
}

/* --- a new list */

void terms_begin(struct terms *terms)
{
	words_begin(terms->words);
	for (size_t i = 0; i < TERMS_MAX; i++)
		terms->slots[i].wanted = false;
	terms->next_count = 0;
	terms->fresh = 0;
}

int terms_find(const struct terms *terms, const struct term *term)
{
	for (int i = 0; i < TERMS_MAX; i++)
		if (terms->slots[i].state == SLOT_USED && strcmp(terms->slots[i].text, term->text) == 0)
			return i;
	return -ENOENT;
}

/* The bit of a term: that of the same one, or a free one. */
static int slot_of(struct terms *terms, const struct term *term)
{
	int slot = terms_find(terms, term), free_slot = 0;

	if (slot >= 0)
		return slot;
	while (free_slot < TERMS_MAX && terms->slots[free_slot].state != SLOT_FREE)
		free_slot++;
	if (free_slot == TERMS_MAX)
		return -E2BIG;
	terms->slots[free_slot] = (struct slot){ SLOT_USED, false, strdup(term->text), term->kind, term->limit };
	if (!terms->slots[free_slot].text) {
		terms->slots[free_slot].state = SLOT_FREE;
		return -ENOMEM;
	}
	terms->fresh |= 1u << term->kind;
	return free_slot;
}

/* A rule that changes begins anew: what its earlier self handed down is gone. */
static char *descent_text(const struct rule *rule)
{
	size_t size;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return NULL;
	fprintf(stream, "started by %s:", rule->name);
	for (size_t i = 0; i < rule->term_count; i++)
		fprintf(stream, " %s;", rule->terms[i].text);
	for (size_t i = 0; i < rule->clause_count; i++)
		fprintf(stream, " %llx/%llx", (unsigned long long)rule->clauses[i].need,
			(unsigned long long)rule->clauses[i].except);
	if (fclose(stream) == 0)
		return text;
	free(text);
	return NULL;
}

int terms_find_descent(const struct terms *terms, const struct rule *rule)
{
	struct term term = { .kind = TERM_DESCENT, .text = descent_text(rule) };
	int slot = term.text ? terms_find(terms, &term) : -ENOENT;

	free(term.text);
	return slot;
}

/* The term that holds for children of what the rule selects. */
static int descent_slot(struct terms *terms, const struct rule *rule)
{
	struct term term = { .kind = TERM_DESCENT, .text = descent_text(rule) };
	int slot = term.text ? slot_of(terms, &term) : -ENOMEM;

	if (slot >= 0)
		terms->slots[slot].wanted = true;
	free(term.text);
	return slot;
}

static struct named_clause *add_clause(struct terms *terms, const struct rule *rule, u64 watches)
{
	struct named_clause *next = &terms->next[terms->next_count++];

	*next = (struct named_clause){ .clause.watches = watches };
	snprintf(next->rule, sizeof(next->rule), "%s", rule->name);
	return next;
}

int terms_add(struct terms *terms, const struct rule *rule, u64 watches)
{
	struct term_set hands_down = { 0 };
	int bits[RULE_TERMS_MAX];

	if (terms->next_count + rule->clause_count + rule->children > CLAUSES_MAX)
		return -E2BIG;
	if (rule->children) {
		int slot = descent_slot(terms, rule);

		if (slot < 0)
			return slot;
		term_set_add(&hands_down, (size_t)slot);
	}
	for (size_t i = 0; i < rule->term_count; i++) {
		int err;

		bits[i] = slot_of(terms, &rule->terms[i]);
		if (bits[i] < 0)
			return bits[i];
		terms->slots[bits[i]].wanted = true;
		err = words_add(terms->words, &rule->terms[i], (size_t)bits[i]);
		if (err)
			return err;
	}
	for (size_t i = 0; i < rule->clause_count; i++) {
		struct named_clause *next = add_clause(terms, rule, watches);

		next->clause.hands_down = hands_down;
		for (size_t t = 0; t < rule->term_count; t++) {
			if (rule->clauses[i].need >> t & 1)
				term_set_add(&next->clause.need, (size_t)bits[t]);
			if (rule->clauses[i].except >> t & 1)
				term_set_add(&next->clause.except, (size_t)bits[t]);
		}
	}
	if (rule->children) {
		struct named_clause *next = add_clause(terms, rule, watches);

		next->clause.need = next->clause.hands_down = hands_down;
	}
	return 0;
}

static int push_limits(struct terms *terms, struct rule_settings *settings)
{
	u32 count = 0;
	int err = 0;

	for (u32 i = 0; !err && i < TERMS_MAX; i++) {
		const struct slot *slot = &terms->slots[i];
		struct limit limit = slot->limit;

		if (slot->state != SLOT_USED || slot->kind != TERM_LIMIT)
			continue;
		limit.term = i;
		err = count < LIMITS_MAX ? kernel_table_set(terms->kernel, TABLE_LIMITS, &count, &limit) : -E2BIG;
		count += !err;
	}
	settings->limit_count = count;
	return err;
}

static int push_clauses(struct terms *terms, struct rule_settings *settings)
{
	u32 base = kernel_rules(terms->kernel)->clause_base ? 0 : CLAUSES_MAX;
	int err = 0;

	for (u32 i = 0; !err && i < terms->next_count; i++) {
		u32 key = base + i;

		err = kernel_table_set(terms->kernel, TABLE_CLAUSES, &key, &terms->next[i].clause);
	}
	settings->clause_base = base;
	settings->clause_count = (u32)terms->next_count;
	return err;
}

/* Which argv must be looked at: that of programs with a name that some clause wants too, or that of all. */
static void gate_argv(struct terms *terms, struct rule_settings *settings)
{
	for (size_t i = 0; i < terms->next_count; i++) {
		const struct clause *clause = &terms->next[i].clause;
		struct term_set names = { 0 };

		if (!term_set_has_any(&clause->need, &settings->argv) && !term_set_has_any(&clause->except, &settings->argv))
			continue;
		for (size_t w = 0; w < TERM_WORDS; w++)
			names.bits[w] = clause->need.bits[w] & settings->names.bits[w];
		settings->argv_always |= term_set_is_empty(&names);
		for (size_t w = 0; w < TERM_WORDS; w++)
			settings->argv_gate.bits[w] |= names.bits[w];
	}
}

static void give_up_unwanted(struct terms *terms)
{
	for (size_t i = 0; i < TERMS_MAX; i++) {
		struct slot *slot = &terms->slots[i];

		if (slot->state != SLOT_USED || slot->wanted)
			continue;
		free(slot->text);
		*slot = (struct slot){ .state = SLOT_STALE };
	}
}

static void collect_kinds(const struct terms *terms, struct rule_settings *settings)
{
	struct term_set *const sets[TERM_KINDS] = {
		[TERM_NAME] = &settings->names,      [TERM_KERNEL_THREAD] = &settings->names,    [TERM_ARGV] = &settings->argv,
		[TERM_USER] = &settings->users,      [TERM_CONNECTION] = &settings->connections, [TERM_LIMIT] = &settings->limits,
		[TERM_DESCENT] = &settings->descent,
	};

	for (size_t i = 0; i < TERMS_MAX; i++) {
		if (terms->slots[i].state != SLOT_USED)
			continue;
		term_set_add(sets[terms->slots[i].kind], i);
		term_set_add(&settings->used, i);
	}
}

int terms_commit(struct terms *terms, unsigned int *fresh)
{
	struct rule_settings settings = { 0 };
	int err, failed;

	give_up_unwanted(terms);
	collect_kinds(terms, &settings);
	gate_argv(terms, &settings);
	err = words_push(terms->words);
	failed = push_limits(terms, &settings);
	err = failed ? failed : err;
	failed = push_clauses(terms, &settings);
	err = failed ? failed : err;
	*kernel_rules(terms->kernel) = settings;
	memcpy(terms->clauses, terms->next, sizeof(terms->clauses));
	terms->clause_count = terms->next_count;
	terms->named_for = (struct term_set){ 0 };
	terms->names[0] = '\0';
	*fresh = terms->fresh;
	if (err == -E2BIG)
		log_warning(SUBSYSTEM, "more than %d limits are in use: some are not compared", LIMITS_MAX);
	else if (err)
		log_error(SUBSYSTEM, "the kernel did not take all: %s", strerror(-err));
	return err ? -EIO : 0;
}

void terms_judged(struct terms *terms)
{
	/* what was found is known of the processes now; they may execute something else */
	if (terms->has_found_argv)
		kernel_table_clear(terms->kernel, TABLE_ARGV_FOUND);
	terms->has_found_argv = false;
	for (size_t i = 0; i < TERMS_MAX; i++)
		if (terms->slots[i].state == SLOT_STALE)
			terms->slots[i].state = SLOT_FREE;
}

bool terms_have(const struct terms *terms, enum term_kind kind)
{
	for (size_t i = 0; i < TERMS_MAX; i++)
		if (terms->slots[i].state == SLOT_USED && terms->slots[i].kind == kind)
			return true;
	return false;
}

/* --- processes that exist already */

static void find_argv_of(struct terms *terms, pid_t pid, char *buffer)
{
	struct term_set facts = { 0 };
	struct pid_key key;
	char path[32];
	ssize_t size;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	size = read(fd, buffer, ARGV_BYTES);
	close(fd);
	for (ssize_t at = 0, length; at < size; at += length + 1) {
		length = (ssize_t)strnlen(buffer + at, (size_t)(size - at));
		words_of_argument(terms->words, buffer + at, (size_t)length, &facts);
	}
	if (!term_set_is_empty(&facts) && access_process_key(pid, &key) == 0)
		kernel_table_set(terms->kernel, TABLE_ARGV_FOUND, &key, &facts);
}

void terms_find_argv(struct terms *terms)
{
	char *buffer = malloc(ARGV_BYTES);
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	terms->has_found_argv = true;
	while (buffer && proc && (entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			find_argv_of(terms, (pid_t)atoi(entry->d_name), buffer);
	if (proc)
		closedir(proc);
	free(buffer);
}

/* --- for people */

const char *terms_rules_of(struct terms *terms, const u64 facts[TERM_WORDS])
{
	const struct term_set set = { { facts[0], facts[1] } };
	const char *last = "";
	size_t at = 0;

	if (term_set_is_empty(&set))
		return "";
	if (term_set_same(&set, &terms->named_for))
		return terms->names;
	terms->names[0] = '\0';
	for (size_t i = 0; i < terms->clause_count; i++) {
		const struct named_clause *clause = &terms->clauses[i];

		/* the clauses of a rule stand together; a selection by name on the command line has no name */
		if (!clause->rule[0] || strcmp(clause->rule, last) == 0 || !term_set_has_all(&set, &clause->clause.need) ||
		    term_set_has_any(&set, &clause->clause.except) || at + strlen(clause->rule) + 2 > sizeof(terms->names))
			continue;
		last = clause->rule;
		at += (size_t)sprintf(terms->names + at, "%s%s", at ? ";" : "", last);
	}
	terms->named_for = set;
	return terms->names;
}
