/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of terms.
 */
#ifndef TASKMON_TERM_SET_H
#define TASKMON_TERM_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "record.h"

static inline void term_set_add(struct term_set *set, size_t bit)
{
	set->bits[bit / 64] |= 1ULL << bit % 64;
}

static inline bool term_set_has(const struct term_set *set, size_t bit)
{
	return set->bits[bit / 64] >> bit % 64 & 1;
}

static inline void term_set_join(struct term_set *set, const struct term_set *other)
{
	for (size_t i = 0; i < TERM_WORDS; i++)
		set->bits[i] |= other->bits[i];
}

static inline bool term_set_has_all(const struct term_set *set, const struct term_set *of)
{
	return (set->bits[0] & of->bits[0]) == of->bits[0] && (set->bits[1] & of->bits[1]) == of->bits[1];
}

static inline bool term_set_has_any(const struct term_set *set, const struct term_set *of)
{
	return (set->bits[0] & of->bits[0]) | (set->bits[1] & of->bits[1]);
}

static inline bool term_set_same(const struct term_set *a, const struct term_set *b)
{
	return a->bits[0] == b->bits[0] && a->bits[1] == b->bits[1];
}

static inline bool term_set_is_empty(const struct term_set *set)
{
	return !(set->bits[0] | set->bits[1]);
}

#endif
