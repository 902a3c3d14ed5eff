/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text on a screen, where a character takes none, one or two columns. terminal_init() makes wcwidth(3) know that.
 */
#ifndef TASKMON_TEXT_WIDTH_H
#define TASKMON_TEXT_WIDTH_H

#include <stdbool.h>
#include <stddef.h>

/** How many columns it takes. */
unsigned int text_width(const char *text);

/**
 * Copy text (UTF-8) so that it takes `width` columns of a screen at most, and exactly so many with `pad`. What is cut
 * ends in "…". Returns how many columns it takes.
 */
unsigned int text_fit(char *out, size_t size, const char *text, unsigned int width, bool pad);

#endif
