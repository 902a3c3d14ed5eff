/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lines of the table, one below the other: the title and header, the tasks, and what is to be said of the tick
 * besides.
 */
#ifndef TASKMON_TABLE_LINES_H
#define TASKMON_TABLE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "output.h"
#include "row.h"
#include "table_format.h"
#include "terminal.h"

#define TABLE_CAUSES_MAX 16 /* of losses; there are not so many */

/** Where lines go, and how they fit there. */
struct table_screen {
	struct output *output;
	struct terminal terminal;
	struct table_layout layout;
	bool in_place; /* one picture that is drawn over and over */
};

/** What is to be said besides the tasks. */
struct table_news {
	struct loss losses[TABLE_CAUSES_MAX]; /* in place: since the beginning, else of this tick */
	size_t loss_count;
	char (*alarm_lines)[TABLE_LINE_BYTES]; /* of this tick */
	size_t alarm_count;
	uint64_t gap_count, gap_wall_ns;
	unsigned int gap_ticks; /* until it is over */
};

/** A text, cut to the screen, in a colour (NULL: none) if there are any. */
void table_put_line(const struct table_screen *screen, const char *colour, const char *text);

void table_put_title(const struct table_screen *screen, const struct table_row *rows, size_t count, uint64_t wall_ns);
/** `user`: the name of its uid. */
void table_put_row(const struct table_screen *screen, const struct table_row *row, const char *user);

/** In place. One line that is always there, so that nothing jumps. `in_alarm`: how many tasks are. */
void table_put_footer(const struct table_screen *screen, const struct table_news *news, size_t in_alarm, size_t shown,
		      size_t count);
/** The same in a stream: only if there is something to say. `idle`: those that are left out did less or nothing. */
void table_put_remarks(const struct table_screen *screen, const struct table_news *news, size_t left_out, bool idle);
void table_put_gap(const struct table_screen *screen, const struct gap *gap);

#endif
