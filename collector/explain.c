/* SPDX-License-Identifier: BSD-2-Clause */
#include "explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "term_set.h"
#include "terms.h"

enum { TEXT_BYTES_MAX = 200 };

/* What an explanation is made with. */
struct making {
	const struct terms *terms;
	const struct term_set *facts;
	Taskmon__Explained *message;
	int index[TERMS_MAX]; /* of a term in the message, by its bit; -1: it is not there */
};

/* The index of a term in the message, or a negative errno. */
static int index_of(struct making *making, int bit, const char *text)
{
	Taskmon__Explained *message = making->message;
	Taskmon__Explained__Term *term;

	if (bit < 0)
		return bit;
	if (making->index[bit] >= 0)
		return making->index[bit];
	term = malloc(sizeof(*term));
	if (!term)
		return -ENOMEM;
	taskmon__explained__term__init(term);
	message->terms[message->n_terms] = term;
	term->holds = term_set_has(making->facts, (size_t)bit);
	term->text = str_shorten(text, TEXT_BYTES_MAX); /* of a list of ten thousand names, the first */
	if (!term->text)
		term->text = (char *)protobuf_c_empty_string;
	return making->index[bit] = (int)message->n_terms++;
}

/* The bits of `set`, over the terms of a rule, as indices. */
static int add_indices(struct making *making, const struct rule *rule, u64 set, uint32_t **indices, size_t *count)
{
	*indices = calloc(RULE_TERMS_MAX, sizeof(**indices));
	for (size_t i = 0; *indices && i < rule->term_count; i++) {
		int index;

		if (!(set >> i & 1))
			continue;
		index = index_of(making, terms_find(making->terms, &rule->terms[i]), rule->terms[i].text);
		if (index < 0)
			return index;
		(*indices)[(*count)++] = (uint32_t)index;
	}
	return *indices ? 0 : -ENOMEM;
}

static bool is_met(const struct making *making, const Taskmon__Explained__Alternative *alternative)
{
	for (size_t i = 0; i < alternative->n_need; i++)
		if (!making->message->terms[alternative->need[i]]->holds)
			return false;
	for (size_t i = 0; i < alternative->n_except; i++)
		if (making->message->terms[alternative->except[i]]->holds)
			return false;
	return true;
}

static Taskmon__Explained__Alternative *add_alternative(Taskmon__Explained__Verdict *verdict)
{
	Taskmon__Explained__Alternative *alternative = malloc(sizeof(*alternative));

	if (alternative) {
		taskmon__explained__alternative__init(alternative);
		verdict->alternatives[verdict->n_alternatives++] = alternative;
	}
	return alternative;
}

/* A rule that follows children has one alternative more. */
static int add_descent(struct making *making, const struct rule *rule, Taskmon__Explained__Verdict *verdict)
{
	Taskmon__Explained__Alternative *alternative = add_alternative(verdict);
	char text[RULE_NAME_MAX + 64];
	int index;

	snprintf(text, sizeof(text), "started by a process that %s selects", rule->name);
	index = index_of(making, terms_find_descent(making->terms, rule), text);
	if (index < 0)
		return index;
	if (!alternative || !(alternative->need = malloc(sizeof(*alternative->need))))
		return -ENOMEM;
	alternative->need[0] = (uint32_t)index;
	alternative->n_need = 1;
	verdict->selects |= is_met(making, alternative);
	return 0;
}

static int add_verdict(struct making *making, const struct rule *rule)
{
	Taskmon__Explained__Verdict *verdict = malloc(sizeof(*verdict));
	int err = 0;

	if (!verdict)
		return -ENOMEM;
	taskmon__explained__verdict__init(verdict);
	making->message->verdicts[making->message->n_verdicts++] = verdict;
	verdict->rule = strdup(rule->name);
	verdict->alternatives = calloc(rule->clause_count + 1, sizeof(*verdict->alternatives));
	if (!verdict->rule || !verdict->alternatives)
		return -ENOMEM;
	for (size_t i = 0; i < rule->clause_count; i++) {
		Taskmon__Explained__Alternative *alternative = add_alternative(verdict);

		if (!alternative)
			return -ENOMEM;
		err = add_indices(making, rule, rule->clauses[i].need, &alternative->need, &alternative->n_need);
		if (!err)
			err = add_indices(making, rule, rule->clauses[i].except, &alternative->except, &alternative->n_except);
		if (err)
			return err;
		verdict->selects |= is_met(making, alternative);
	}
	return rule->children ? add_descent(making, rule, verdict) : 0;
}

int explain(const struct watches *watches, const struct term_set *facts, Taskmon__Explained **out)
{
	const struct rules *rules = watches_rules(watches);
	struct making making = { watches_terms(watches), facts, malloc(sizeof(*making.message)), { 0 } };
	int err = 0;

	if (!making.message)
		return -ENOMEM;
	memset(making.index, -1, sizeof(making.index));
	taskmon__explained__init(making.message);
	making.message->terms = calloc(TERMS_MAX, sizeof(*making.message->terms));
	making.message->verdicts = calloc(rules->count + 1, sizeof(*making.message->verdicts));
	if (!making.message->terms || !making.message->verdicts)
		err = -ENOMEM;
	for (size_t i = 0; !err && i < rules->count; i++)
		err = add_verdict(&making, rules->list[i]);
	if (err)
		taskmon__explained__free_unpacked(making.message, NULL);
	else
		*out = making.message;
	return err;
}
