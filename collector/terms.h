/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The terms of the rules in use, each a bit in the kernel's sets. A term keeps its bit for as long as a rule uses it, so that
 * what processes are known for stays true while rules come and go.
 */
#ifndef TASKMON_TERMS_H
#define TASKMON_TERMS_H

#include <stdbool.h>

#include "kernel.h"
#include "rule.h"

struct terms;

struct terms *terms_new(struct kernel *kernel);
void terms_free(struct terms *terms);

/**
 * A new list of rules in use: terms_begin(), terms_add() for each with the watches that it selects for, terms_commit(). The
 * kernel goes on with the old list until then. terms_add() gives -E2BIG if that is more than the kernel side can hold.
 */
void terms_begin(struct terms *terms);
int terms_add(struct terms *terms, const struct rule *rule, u64 watches);
/** -EIO if the kernel has taken only a part, which is logged. `fresh`: kinds of term (bit per enum term_kind) that are new. */
int terms_commit(struct terms *terms, unsigned int *fresh);

/** All processes have been judged: bits that were given up stand nowhere any more. */
void terms_judged(struct terms *terms);

/** Is there any term of this kind? */
bool terms_have(const struct terms *terms, enum term_kind kind);

/** The bit of a term of a rule in use, or of its children's (TERM_DESCENT); -ENOENT if none has it. */
int terms_find(const struct terms *terms, const struct term *term);
int terms_find_descent(const struct terms *terms, const struct rule *rule);

/** Look up what argv terms hold for the processes that exist, and tell the kernel. */
void terms_find_argv(struct terms *terms);

/** Names of the rules that select a process with these facts, separated by `;`. Valid until the next call. */
const char *terms_rules_of(struct terms *terms, const u64 facts[TERM_WORDS]);

#endif
