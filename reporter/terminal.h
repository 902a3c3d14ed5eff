/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Standard output as a terminal: its size, what it can do, and how it is told.
 */
#ifndef TASKMON_TERMINAL_H
#define TASKMON_TERMINAL_H

#include <stdbool.h>

struct terminal {
	bool is_terminal;
	bool can_steer;             /* the cursor: not on one that says it is dumb */
	bool has_colour;            /* and nobody has set NO_COLOR */
	unsigned int width, height; /* of a terminal */
};

/** Find out. Characters have the widths of UTF-8 from here on, whatever the language. */
void terminal_init(struct terminal *terminal);

/** It may have another size now. */
void terminal_measure(struct terminal *terminal);

#define TERMINAL_CLEAR "\033[H\033[2J" /* all of it, and begin at the top */
#define TERMINAL_HOME "\033[H"
#define TERMINAL_ERASE_LINE "\033[K"
#define TERMINAL_ERASE_REST "\033[J"
#define TERMINAL_REVERSE "\033[7m"
#define TERMINAL_RED "\033[1;31m"
#define TERMINAL_YELLOW "\033[33m"
#define TERMINAL_DIM "\033[2m"
#define TERMINAL_PLAIN "\033[0m"

#endif
