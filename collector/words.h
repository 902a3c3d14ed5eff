/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel side looks up for the terms of rules: names, tokens of argv, users and connections, each with the terms that it makes true.
 */
#ifndef TASKMON_WORDS_H
#define TASKMON_WORDS_H

#include "kernel.h"
#include "rule.h"

struct words;

struct words *words_new(struct kernel *kernel);
void words_free(struct words *words);

/** A new list: words_begin(), words_add() for each term with its bit, words_push(). The kernel goes on with the old one until then. */
void words_begin(struct words *words);
/** -ENOMEM; then the list has a part of the term. */
int words_add(struct words *words, const struct term *term, size_t bit);
/** Tell the kernel what is new and what is gone. What it did not take is tried again next time, and its error returned. */
int words_push(struct words *words);

/** Add the terms that hold for one argument, which need not end with a NUL. */
void words_of_argument(const struct words *words, const char *argument, size_t length, struct term_set *facts);

#endif
