/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The terms of a rule: single conditions, each a bit in the rule's alternatives.
 */
#ifndef TASKMON_RULE_TERM_H
#define TASKMON_RULE_TERM_H

#include "rule.h"

/** A rule without terms. NULL when out of memory. */
struct rule *rule_new(const char *name);

/**
 * Each gives the number of the term in its rule: an existing one if it is the same. -E2BIG if there would be more than RULE_TERMS_MAX,
 * -ENOMEM. The term of rule_add_term() is taken over with its text (NULL: out of memory), also on failure.
 */
int rule_add_term(struct rule *rule, struct term *term);
int rule_add_words(struct rule *rule, enum term_kind kind, char *const *words, size_t count);

#endif
