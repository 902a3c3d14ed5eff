/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a person sees: at every tick the tasks, busiest first. On a terminal one picture that is drawn over and over, as
 * large as the screen; elsewhere one table after the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "output.h"
#include "people.h"
#include "table_alarms.h"
#include "table_format.h"
#include "table_lines.h"
#include "terminal.h"
#include "writer.h"

enum {
	LINES_AROUND = 4,   /* title, header, footer and the one that the cursor is in */
	TICKS_OF_A_GAP = 2, /* the one that shows it and the baseline after it */
};

struct table_writer {
	struct writer writer;
	struct table_screen screen;
	struct table_options options;
	struct people_users *users;
	struct table_alarms *alarms;
	bool stale; /* the rows are those of the tick before */
	bool had_tick;
	bool was_cleared; /* the screen is ours */
	uint64_t tick_wall_ns;
	uint64_t time_ns, last_time_ns; /* CLOCK_BOOTTIME of the last row of this tick and of the one before; 0: none */
	uint64_t longest_ns;            /* window of this tick */
	struct table_row *rows;
	size_t count, capacity;
	struct table_news news;
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
	struct table_news *news = &table->news;
	const struct alarm *alarm = event->alarm;
	char(*grown)[TABLE_LINE_BYTES];

	if (table_alarms_event(&table->alarms, event))
		return no_memory();
	if (!alarm)
		return 0;
	grown = reallocarray(news->alarm_lines, news->alarm_count + 1, sizeof(*grown));
	if (!grown)
		return no_memory();
	news->alarm_lines = grown;
	snprintf(grown[news->alarm_count++], sizeof(*grown), "%s: %u %s: %s %s, limit %s%s%s%s%s (%s)", event->name, event->tid,
		 event->comm, alarm->metric, alarm->value, alarm->limit, alarm->baseline ? ", normal " : "",
		 alarm->baseline ? alarm->baseline : "", alarm->cause ? ", " : "", alarm->cause ? alarm->cause : "",
		 alarm->threshold);
	return 0;
}

static int table_loss(struct writer *writer, const struct loss *loss)
{
	struct table_news *news = &((struct table_writer *)writer)->news;
	size_t i = 0;

	while (i < news->loss_count && strcmp(news->losses[i].cause, loss->cause) != 0)
		i++;
	if (i == TABLE_CAUSES_MAX)
		return 0; /* there are not so many */
	if (i == news->loss_count) {
		news->losses[i] = *loss;
		news->loss_count++;
	} else {
		news->losses[i].count += loss->count;
	}
	return 0;
}

/* --- pictures */

/* Of the rows, which are sorted. */
static size_t count_shown(const struct table_writer *table)
{
	size_t limit = table->options.top, lines = table->screen.terminal.height, shown = 0;
	bool in_place = table->screen.in_place;

	if (!limit && !in_place)
		limit = table->options.busy_only;
	if (in_place && lines > LINES_AROUND && (!limit || limit > lines - LINES_AROUND))
		limit = lines - LINES_AROUND;
	if (!limit || table->count <= limit)
		return table->count;
	if (table->options.top || in_place)
		return limit;
	while (shown < limit && table_is_active(&table->rows[shown]))
		shown++;
	return shown;
}

/* What has been said is over, but for what a picture goes on to show. */
static void forget_news(struct table_writer *table)
{
	struct table_news *news = &table->news;

	if (!table->screen.in_place) {
		news->loss_count = news->alarm_count = 0;
	} else if (news->alarm_count > 1) {
		memcpy(news->alarm_lines[0], news->alarm_lines[news->alarm_count - 1], sizeof(news->alarm_lines[0]));
		news->alarm_count = 1;
	}
}

static int draw(struct table_writer *table)
{
	const struct table_screen *screen = &table->screen;
	size_t shown = count_shown(table);

	if (screen->in_place)
		output_text(screen->output, table->was_cleared ? TERMINAL_HOME : TERMINAL_CLEAR);
	table->was_cleared = true;
	table_put_title(screen, table->rows, table->count, table->tick_wall_ns);
	for (size_t i = 0; i < shown; i++)
		table_put_row(screen, &table->rows[i], people_user(&table->users, table->rows[i].uid));
	if (screen->in_place) {
		table_put_footer(screen, &table->news, table_alarms_count(table->alarms), shown, table->count);
		output_text(screen->output, TERMINAL_ERASE_REST);
		output_mark_complete(screen->output);
	} else {
		table_put_remarks(screen, &table->news, table->count - shown, !table->options.top);
	}
	forget_news(table);
	return output_flush(screen->output);
}

static void fit_screen(struct table_writer *table)
{
	struct table_screen *screen = &table->screen;
	const struct terminal *terminal = &screen->terminal;

	terminal_measure(&screen->terminal);
	/* a line that fills the last column makes some terminals wrap */
	screen->layout.width = terminal->is_terminal && terminal->width > 1 ? terminal->width - 1 : 0;
	table_layout_fit(&screen->layout);
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
	const struct table_screen *screen = &table->screen;
	struct table_news *news = &table->news;
	bool had_gap = news->gap_ticks, is_baseline = !table->had_tick && table->count == 0;

	table->had_tick = true;
	if (is_baseline && screen->in_place)
		return 0; /* it has no figures */
	if (had_gap)
		news->gap_ticks--;
	else
		drop_stale_rows(table); /* nobody is there any more */
	if (!screen->in_place && table->count == 0 && news->loss_count == 0 && news->alarm_count == 0)
		return 0;
	if (!screen->in_place && table->stale)
		return output_flush(screen->output);
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
	struct table_news *news = &table->news;

	news->gap_count++;
	news->gap_wall_ns = gap->wall_ns;
	news->gap_ticks = TICKS_OF_A_GAP;
	table->time_ns = table->last_time_ns = table->longest_ns = 0;
	table->stale = table->stale || table->count == 0;
	if (table->screen.in_place)
		return 0;
	table_put_gap(&table->screen, gap);
	return 0;
}

static int table_begin(struct writer *writer)
{
	struct table_writer *table = (struct table_writer *)writer;
	int err = output_begin(table->screen.output);

	fit_screen(table);
	if (err || !table->screen.in_place)
		return err;
	output_text(table->screen.output, TERMINAL_CLEAR);
	table_put_line(&table->screen, NULL, "taskmon-report: the first figures come after one interval");
	return output_flush(table->screen.output);
}

static int table_resized(struct table_writer *table)
{
	fit_screen(table);
	if (!table->screen.in_place || !table->was_cleared)
		return 0;
	table->was_cleared = false; /* the terminal has shifted what it shows */
	return draw(table);
}

static int table_done(struct table_writer *table)
{
	int err;

	/* final rows and losses after the last tick */
	if (!table->stale && (table->count || (!table->screen.in_place && (table->news.loss_count || table->news.alarm_count))))
		table_tick(table);
	err = output_close(table->screen.output);
	people_users_free(table->users);
	table_alarms_free(&table->alarms);
	free(table->news.alarm_lines);
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
	table->screen.layout = (struct table_layout){ .threads = options->threads, .sort = options->sort };
	terminal_init(&table->screen.terminal);
	table->screen.in_place = table->screen.terminal.can_steer && !options->shares_terminal;
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
	table->screen.output = output_open("-", NULL, NULL);
	if (!table->screen.output) {
		free(table);
		return NULL;
	}
	return &table->writer;
}
