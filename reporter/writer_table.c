/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a person sees: at every tick the tasks, busiest first. On a terminal one picture that is drawn over and over, as
 * large as the screen; elsewhere one table after the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "metric.h"
#include "output.h"
#include "people.h"
#include "table_alarms.h"
#include "table_format.h"
#include "terminal.h"
#include "text_width.h"
#include "writer.h"

enum {
	CLOCK_BYTES = 16,
	NS_PER_S = 1000000000,
	CAUSES_MAX = 16,
	LINES_AROUND = 4,   /* title, header, footer and the one that the cursor is in */
	TICKS_OF_A_GAP = 2, /* the one that shows it and the baseline after it */
};

struct table_writer {
	struct writer writer;
	struct output *output;
	struct table_options options;
	struct terminal terminal;
	struct table_layout layout;
	struct people_users *users;
	struct table_alarms *alarms;
	bool in_place;
	bool stale;      /* the rows are those of the tick before */
	bool had_tick;
	bool was_cleared; /* the screen is ours */
	uint64_t tick_wall_ns;
	uint64_t time_ns, last_time_ns; /* CLOCK_BOOTTIME of the last row of this tick and of the one before; 0: none */
	uint64_t longest_ns;            /* window of this tick */
	struct table_row *rows;
	size_t count, capacity;
	struct loss losses[CAUSES_MAX]; /* in place: since the beginning, else of this tick */
	size_t loss_count;
	char (*alarm_lines)[TABLE_LINE_BYTES]; /* of this tick */
	size_t alarm_count;
	uint64_t gap_count, gap_wall_ns;
	unsigned int gap_ticks; /* until it is over */
};

static int no_memory(void)
{
	log_error(NULL, "out of memory");
	return -ENOMEM;
}

/* --- what comes */

static int make_room(struct table_writer *table)
{
	size_t capacity = table->capacity ? 2 * table->capacity : 64;
	struct table_row *grown;

	if (table->count < table->capacity)
		return 0;
	grown = reallocarray(table->rows, capacity, sizeof(*grown));
	if (!grown)
		return no_memory();
	table->rows = grown;
	table->capacity = capacity;
	return 0;
}

static void drop_stale_rows(struct table_writer *table)
{
	if (table->stale)
		table->count = 0;
	table->stale = false;
}

static int table_row(struct writer *writer, const struct row *row)
{
	struct table_writer *table = (struct table_writer *)writer;
	struct table_row *line;
	int err;

	drop_stale_rows(table);
	err = make_room(table);
	if (err)
		return err;
	line = &table->rows[table->count++];
	table_read_row(row, table->options.sort, line);
	if (row->ended) {
		line->alarm = table_alarms_has(table->alarms, row->tid, row->start_time_ns);
		table_alarms_forget(&table->alarms, row->tid, row->start_time_ns);
	} else {
		table->tick_wall_ns = row->tick_wall_ns;
		if (row->time_ns > table->time_ns)
			table->time_ns = row->time_ns;
		if (row->window_ns > table->longest_ns)
			table->longest_ns = row->window_ns;
	}
	return 0;
}

/*
 * The outputs of --csv and --json have all events; here they would tear the table apart. Alarms mark their tasks, and stand below
 * the table with the reason.
 */
static int table_event(struct writer *writer, const struct event *event)
{
	struct table_writer *table = (struct table_writer *)writer;
	const struct alarm *alarm = event->alarm;
	char (*grown)[TABLE_LINE_BYTES];

	if (table_alarms_event(&table->alarms, event))
		return no_memory();
	if (!alarm)
		return 0;
	grown = reallocarray(table->alarm_lines, table->alarm_count + 1, sizeof(*grown));
	if (!grown)
		return no_memory();
	table->alarm_lines = grown;
	snprintf(grown[table->alarm_count++], sizeof(*grown), "%s: %u %s: %s %s, limit %s%s%s%s%s (%s)", event->name,
		 event->tid, event->comm, alarm->metric, alarm->value, alarm->limit, alarm->baseline ? ", normal " : "",
		 alarm->baseline ? alarm->baseline : "", alarm->cause ? ", " : "", alarm->cause ? alarm->cause : "",
		 alarm->threshold);
	return 0;
}

static int table_loss(struct writer *writer, const struct loss *loss)
{
	struct table_writer *table = (struct table_writer *)writer;
	size_t i = 0;

	while (i < table->loss_count && strcmp(table->losses[i].cause, loss->cause) != 0)
		i++;
	if (i == CAUSES_MAX)
		return 0; /* there are not so many */
	if (i == table->loss_count) {
		table->losses[i] = *loss;
		table->loss_count++;
	} else {
		table->losses[i].count += loss->count;
	}
	return 0;
}

/* --- lines */

static const char *clock_of(char out[CLOCK_BYTES], uint64_t wall_ns)
{
	time_t seconds = wall_ns ? (time_t)(wall_ns / NS_PER_S) : time(NULL);
	struct tm local;

	localtime_r(&seconds, &local);
	strftime(out, CLOCK_BYTES, "%H:%M:%S", &local);
	return out;
}

/* Cut to the screen, in a colour if there are any. */
static void put_line(struct table_writer *table, const char *colour, const char *text)
{
	char fitted[TABLE_LINE_BYTES];

	if (table->in_place)
		output_text(table->output, TERMINAL_ERASE_LINE);
	if (table->layout.width) {
		text_fit(fitted, sizeof(fitted), text, table->layout.width, false);
		text = fitted;
	}
	colour = table->terminal.has_colour ? colour : NULL;
	if (colour)
		output_text(table->output, colour);
	output_text(table->output, text);
	if (colour)
		output_text(table->output, TERMINAL_PLAIN);
	output_line_end(table->output);
}

static void put_title(struct table_writer *table)
{
	const char *what = table->options.threads ? "thread" : "process";
	const char *plural = table->count == 1 ? "" : table->options.threads ? "s" : "es";
	char text[TABLE_LINE_BYTES], clock[CLOCK_BYTES];
	uint64_t cpu = 0;

	for (size_t i = 0; i < table->count; i++)
		cpu += table->rows[i].figure[FIGURE_CPU];
	snprintf(text, sizeof(text), "%s  %zu %s%s, %.1f%% CPU%s%s", clock_of(clock, table->tick_wall_ns), table->count,
		 what, plural, (double)cpu / 100, table->options.sort == TABLE_SORT_CPU ? "" : ", most first of ",
		 table->options.sort == TABLE_SORT_CPU ? "" : metrics[table->options.sort].name);
	put_line(table, NULL, text);
	table_format_header(&table->layout, text, sizeof(text));
	if (table->terminal.has_colour) { /* the bar is as wide as the screen */
		char bar[TABLE_LINE_BYTES];

		text_fit(bar, sizeof(bar), text, table->layout.width, true);
		snprintf(text, sizeof(text), "%s", bar);
	}
	put_line(table, TERMINAL_REVERSE, text);
}

static void put_row(struct table_writer *table, const struct table_row *row)
{
	char text[TABLE_LINE_BYTES];

	table_format_row(&table->layout, row, people_user(&table->users, row->uid), text, sizeof(text));
	put_line(table, row->alarm ? TERMINAL_RED : row->state == 'X' ? TERMINAL_DIM : NULL, text);
}

/* Of the rows, which are sorted. */
static size_t count_shown(const struct table_writer *table)
{
	size_t limit = table->options.top, screen = table->terminal.height, shown = 0;

	if (!limit && !table->in_place)
		limit = table->options.busy_only;
	if (table->in_place && screen > LINES_AROUND && (!limit || limit > screen - LINES_AROUND))
		limit = screen - LINES_AROUND;
	if (!limit || table->count <= limit)
		return table->count;
	if (table->options.top || table->in_place)
		return limit;
	while (shown < limit && table_is_active(&table->rows[shown]))
		shown++;
	return shown;
}

static size_t add_losses(const struct table_writer *table, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < table->loss_count && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s=%llu", i ? " " : "", table->losses[i].cause,
					 (unsigned long long)table->losses[i].count);
	return used;
}

/* One line that is always there: nothing jumps. */
static void put_footer(struct table_writer *table, size_t shown)
{
	char text[TABLE_LINE_BYTES], losses[512] = "nothing", gap[64] = "", clock[CLOCK_BYTES];
	size_t alarms = table_alarms_count(table->alarms);

	add_losses(table, losses, sizeof(losses));
	if (table->gap_ticks)
		snprintf(gap, sizeof(gap), "no collector since %s: waiting  ", clock_of(clock, table->gap_wall_ns));
	else if (table->gap_count)
		snprintf(gap, sizeof(gap), "gaps: %llu, last at %s  ", (unsigned long long)table->gap_count,
			 clock_of(clock, table->gap_wall_ns));
	/* the latest alarm, until there is another one */
	snprintf(text, sizeof(text), "%slost: %s  alarms: %zu  shown: %zu of %zu%s%s", gap, losses, alarms, shown, table->count,
		 table->alarm_count ? "  " : "", table->alarm_count ? table->alarm_lines[table->alarm_count - 1] : "");
	put_line(table, table->gap_ticks || table->loss_count ? TERMINAL_YELLOW : NULL, text);
	if (table->alarm_count > 1) {
		memcpy(table->alarm_lines[0], table->alarm_lines[table->alarm_count - 1], sizeof(table->alarm_lines[0]));
		table->alarm_count = 1;
	}
}

/* The same in a stream: only if there is something to say. */
static void put_remarks(struct table_writer *table, size_t shown)
{
	char text[TABLE_LINE_BYTES];

	if (shown < table->count) {
		snprintf(text, sizeof(text),
			 table->options.top ? "… and %zu more" : "… and %zu more that did less or nothing",
			 table->count - shown);
		put_line(table, NULL, text);
	}
	if (table->loss_count) {
		strcpy(text, "lost: ");
		add_losses(table, text + strlen(text), sizeof(text) - strlen(text));
		put_line(table, TERMINAL_YELLOW, text);
	}
	for (size_t i = 0; i < table->alarm_count; i++)
		put_line(table, TERMINAL_RED, table->alarm_lines[i]);
	output_line_end(table->output);
	table->loss_count = table->alarm_count = 0;
}

/* --- pictures */

static int draw(struct table_writer *table)
{
	size_t shown = count_shown(table);

	if (table->in_place)
		output_text(table->output, table->was_cleared ? TERMINAL_HOME : TERMINAL_CLEAR);
	table->was_cleared = true;
	put_title(table);
	for (size_t i = 0; i < shown; i++)
		put_row(table, &table->rows[i]);
	if (table->in_place) {
		put_footer(table, shown);
		output_text(table->output, TERMINAL_ERASE_REST);
		output_mark_complete(table->output);
	} else {
		put_remarks(table, shown);
	}
	return output_flush(table->output);
}

static void fit_screen(struct table_writer *table)
{
	terminal_measure(&table->terminal);
	/* a line that fills the last column makes some terminals wrap */
	table->layout.width = table->terminal.is_terminal && table->terminal.width > 1 ? table->terminal.width - 1 : 0;
	table_layout_fit(&table->layout);
}

/* Only now: what a row sets off comes after it. */
static void mark_alarms(struct table_writer *table)
{
	for (size_t i = 0; i < table->count; i++) {
		struct table_row *row = &table->rows[i];

		if (row->state != 'X')
			row->alarm = table_alarms_has(table->alarms, row->tid, row->start_time_ns);
	}
}

/* As long as the rows say that the tick was. */
static void level_rows(struct table_writer *table)
{
	bool follows = table->last_time_ns && table->time_ns > table->last_time_ns;
	uint64_t interval_ns = follows ? table->time_ns - table->last_time_ns : table->longest_ns;

	for (size_t i = 0; i < table->count; i++)
		table_level_row(&table->rows[i], table->options.sort, interval_ns);
	table->last_time_ns = table->time_ns;
	table->longest_ns = 0;
}

static int table_tick(struct table_writer *table)
{
	bool had_gap = table->gap_ticks, is_baseline = !table->had_tick && table->count == 0;

	table->had_tick = true;
	if (is_baseline && table->in_place)
		return 0; /* it has no figures */
	if (had_gap)
		table->gap_ticks--;
	else
		drop_stale_rows(table); /* nobody is there any more */
	if (!table->in_place && table->count == 0 && table->loss_count == 0 && table->alarm_count == 0)
		return 0;
	if (!table->in_place && table->stale)
		return output_flush(table->output);
	mark_alarms(table);
	if (!table->stale)
		level_rows(table);
	if (table->count > 1)
		qsort_r(table->rows, table->count, sizeof(table->rows[0]), table_compare, &table->options.sort);
	table->stale = true;
	return draw(table);
}

static int table_gap(struct writer *writer, const struct gap *gap)
{
	struct table_writer *table = (struct table_writer *)writer;
	char text[TABLE_LINE_BYTES], clock[CLOCK_BYTES];

	table->gap_count++;
	table->gap_wall_ns = gap->wall_ns;
	table->gap_ticks = TICKS_OF_A_GAP;
	table->time_ns = table->last_time_ns = table->longest_ns = 0;
	table->stale = table->stale || table->count == 0;
	if (table->in_place)
		return 0;
	snprintf(text, sizeof(text), "gap: %s  %s, waiting for the collector", clock_of(clock, gap->wall_ns), gap->cause);
	put_line(table, TERMINAL_YELLOW, text);
	return 0;
}

static int table_begin(struct writer *writer)
{
	struct table_writer *table = (struct table_writer *)writer;
	int err = output_begin(table->output);

	fit_screen(table);
	if (err || !table->in_place)
		return err;
	output_text(table->output, TERMINAL_CLEAR);
	put_line(table, NULL, "taskmon-report: the first figures come after one interval");
	return output_flush(table->output);
}

static int table_resized(struct table_writer *table)
{
	fit_screen(table);
	if (!table->in_place || !table->was_cleared)
		return 0;
	table->was_cleared = false; /* the terminal has shifted what it shows */
	return draw(table);
}

static int table_done(struct table_writer *table)
{
	int err;

	/* final rows and losses after the last tick */
	if (!table->stale && (table->count || (!table->in_place && (table->loss_count || table->alarm_count))))
		table_tick(table);
	err = output_close(table->output);
	people_users_free(table->users);
	table_alarms_free(&table->alarms);
	free(table->alarm_lines);
	free(table->rows);
	free(table);
	return err;
}

static int table_end(struct writer *writer, enum writer_end how)
{
	struct table_writer *table = (struct table_writer *)writer;

	switch (how) {
	case WRITER_TICK:
		return table_tick(table);
	case WRITER_RESIZED:
		return table_resized(table);
	case WRITER_DONE:
		return table_done(table);
	case WRITER_REOPEN:
		break;
	}
	return 0;
}

struct writer *writer_table_new(const struct table_options *options)
{
	struct table_writer *table = calloc(1, sizeof(*table));

	if (!table) {
		no_memory();
		return NULL;
	}
	table->options = *options;
	table->layout = (struct table_layout){ .threads = options->threads, .sort = options->sort };
	terminal_init(&table->terminal);
	table->in_place = table->terminal.can_steer && !options->shares_terminal;
	table->writer = (struct writer){
		.name = "table",
		.deltas = table_deltas(options->sort),
		.needs = table_needs(options->sort),
		.begin = table_begin,
		.row = table_row,
		.event = table_event,
		.loss = table_loss,
		.gap = table_gap,
		.end = table_end,
	};
	table->output = output_open("-", NULL, NULL);
	if (!table->output) {
		free(table);
		return NULL;
	}
	return &table->writer;
}
