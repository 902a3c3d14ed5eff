/* SPDX-License-Identifier: BSD-2-Clause */
#include "rule_term.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const word_kinds[TERM_KINDS] = {
	[TERM_NAME] = "comm",
	[TERM_KERNEL_THREAD] = "kernel_thread",
	[TERM_ARGV] = "argv",
};

struct rule *rule_new(const char *name)
{
	struct rule *rule = calloc(1, sizeof(*rule));

	if (rule)
		rule->name = strdup(name);
	if (!rule || rule->name)
		return rule;
	free(rule);
	return NULL;
}

static void term_free(struct term *term)
{
	for (size_t i = 0; i < term->word_count; i++)
		free(term->words[i]);
	free(term->words);
	free(term->text);
}

void rule_free(struct rule *rule)
{
	if (!rule)
		return;
	for (size_t i = 0; i < rule->term_count; i++)
		term_free(&rule->terms[i]);
	free(rule->name);
	free(rule->text);
	free(rule);
}

int rule_add_term(struct rule *rule, struct term *term)
{
	int err = !term->text ? -ENOMEM : rule->term_count == RULE_TERMS_MAX ? -E2BIG : 0;

	for (size_t i = 0; term->text && i < rule->term_count; i++) {
		if (strcmp(rule->terms[i].text, term->text) != 0)
			continue;
		term_free(term);
		return (int)i;
	}
	if (err) {
		term_free(term);
		return err;
	}
	rule->terms[rule->term_count] = *term;
	return (int)rule->term_count++;
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "comm nginx,redis-server" */
static char *describe_words(const char *kind, char *const *words, size_t count)
{
	size_t size = strlen(kind) + 2;
	char *text;

	for (size_t i = 0; i < count; i++)
		size += strlen(words[i]) + 1;
	text = malloc(size);
	if (!text)
		return NULL;
	strcpy(text, kind);
	for (size_t i = 0, at = strlen(kind); i < count; i++)
		at += (size_t)sprintf(text + at, "%s%s", i ? "," : " ", words[i]);
	return text;
}

int rule_add_words(struct rule *rule, enum term_kind kind, char *const *words, size_t count)
{
	struct term term = { .kind = kind, .words = calloc(count + 1, sizeof(*term.words)) };

	while (term.words && term.word_count < count) {
		term.words[term.word_count] = strdup(words[term.word_count]);
		if (!term.words[term.word_count])
			break;
		term.word_count++;
	}
	if (term.word_count == count) {
		qsort(term.words, count, sizeof(term.words[0]), compare_words);
		term.text = describe_words(word_kinds[kind], term.words, count);
	}
	return rule_add_term(rule, &term);
}
