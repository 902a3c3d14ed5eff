/* SPDX-License-Identifier: BSD-2-Clause */
#include "table_format.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "metric.h"
#include "people.h"
#include "text_width.h"

enum {
	TITLE_BYTES = 32,
	CELL_BYTES = 32,
	COMM_MIN = 12, /* columns that a name must have */
	COMM_MAX = 18, /* and at most, if something follows: 15, a mark and a gap */
	USUAL_WIDTH = 80,
};

/* --- figures */

enum figure_kind {
	KIND_SHARE, /* of the window, in hundredths of a percent */
	KIND_BYTES,
	KIND_BYTE_RATE, /* per second, as the next */
	KIND_RATE,
	KIND_COUNT,
	KIND_TIME,
	KIND_LETTER,
};

struct figure {
	const char *title;
	unsigned int metric;
	enum figure_kind kind;
};

static const struct figure figures[FIGURES] = {
	[FIGURE_CPU] = { "CPU%", M_task_on_cpu_ns, KIND_SHARE },
	[FIGURE_RSS] = { "RSS", M_task_pm_size, KIND_BYTES },
	[FIGURE_THREADS] = { "THR", M_task_thread_count, KIND_COUNT },
	[FIGURE_READ] = { "READ/s", M_task_read_bytes, KIND_BYTE_RATE },
	[FIGURE_WRITE] = { "WRIT/s", M_task_write_bytes, KIND_BYTE_RATE },
	[FIGURE_DELAY] = { "DELAY%", M_task_run_delay_ns, KIND_SHARE },
	[FIGURE_SWITCHES] = { "CSW/s", M_task_voluntary_switch_count, KIND_RATE },
	[FIGURE_FAULTS] = { "FLT/s", M_task_minor_pagefault_count, KIND_RATE },
};

static bool is_delta(enum figure_kind kind)
{
	return kind == KIND_SHARE || kind == KIND_RATE || kind == KIND_BYTE_RATE;
}

/* Which column shows the metric of --sort? */
static enum figure_id sort_figure(unsigned int sort)
{
	if (sort == TABLE_SORT_CPU)
		return FIGURE_CPU;
	for (int id = 0; id < FIGURES; id++)
		if (id != FIGURE_SORT && figures[id].metric == sort)
			return (enum figure_id)id;
	return FIGURE_SORT;
}

static const enum figure_kind kinds_of_gauges[] = {
	[METRIC_COUNT_UNIT] = KIND_COUNT, [METRIC_BYTES] = KIND_BYTES,   [METRIC_NS] = KIND_TIME,
	[METRIC_JIFFIES] = KIND_COUNT,    [METRIC_LETTER] = KIND_LETTER,
};

static const enum figure_kind kinds_of_counters[] = {
	[METRIC_COUNT_UNIT] = KIND_RATE, [METRIC_BYTES] = KIND_BYTE_RATE, [METRIC_NS] = KIND_SHARE,
	[METRIC_JIFFIES] = KIND_RATE,    [METRIC_LETTER] = KIND_LETTER,
};

/* Of any metric: "VOLUNTARY_SWITCH_COUNT/s" is as wide as it is, but nobody need guess. */
static struct figure figure_of(enum figure_id id, unsigned int sort, char title[TITLE_BYTES])
{
	const struct metric *metric;
	struct figure figure = figures[id];
	size_t used;

	if (id != FIGURE_SORT)
		return figure;
	metric = &metrics[sort];
	figure.metric = sort;
	figure.kind = (metric->kind == METRIC_COUNTER ? kinds_of_counters : kinds_of_gauges)[metric->unit];
	used = (size_t)snprintf(title, TITLE_BYTES - 2, "%s", metric->name + strlen("task_"));
	if (used > TITLE_BYTES - 3)
		used = TITLE_BYTES - 3;
	for (size_t i = 0; i < used; i++)
		title[i] = (char)toupper((unsigned char)title[i]);
	if (figure.kind == KIND_SHARE)
		strcpy(title + used, "%");
	else if (is_delta(figure.kind))
		strcpy(title + used, "/s");
	figure.title = title;
	return figure;
}

static uint64_t metrics_of_figures(unsigned int sort, bool deltas_only)
{
	uint64_t set = 0;

	for (int id = 0; id < FIGURES; id++) {
		char title[TITLE_BYTES];
		struct figure figure;

		if (id == FIGURE_SORT && sort_figure(sort) != FIGURE_SORT)
			continue;
		figure = figure_of((enum figure_id)id, sort, title);
		if (!deltas_only || is_delta(figure.kind))
			set |= METRIC_BIT(figure.metric);
	}
	return set;
}

uint64_t table_needs(unsigned int sort)
{
	return metrics_of_figures(sort, false) | METRIC_BIT(M_task_state);
}

uint64_t table_deltas(unsigned int sort)
{
	return metrics_of_figures(sort, true);
}

static uint64_t figure_value(const struct figure *figure, const struct row *row)
{
	unsigned __int128 scaled;

	if (!is_delta(figure->kind))
		return row->value[figure->metric];
	scaled = (unsigned __int128)row->delta[figure->metric] * (figure->kind == KIND_SHARE ? 10000 : 1000000000);
	return (uint64_t)((scaled + (figure->kind == KIND_SHARE ? row->window_ns / 2 : 0)) / row->window_ns);
}

void table_read_row(const struct row *row, unsigned int sort, struct table_row *out)
{
	*out = (struct table_row){
		.tgid = row->tgid,
		.tid = row->tid,
		.uid = row->uid,
		.start_time_ns = row->start_time_ns,
		.window_ns = row->window_ns,
		.state = row->ended                 ? 'X' :
			 row_has(row, M_task_state) ? (char)row->value[M_task_state] :
						      '?',
	};
	for (int id = 0; id < FIGURES; id++) {
		char title[TITLE_BYTES];
		struct figure figure;

		if (id == FIGURE_SORT && sort_figure(sort) != FIGURE_SORT)
			continue;
		figure = figure_of((enum figure_id)id, sort, title);
		if (is_delta(figure.kind) ? !row_has_delta(row, figure.metric) : !row_has(row, figure.metric))
			continue;
		out->present |= 1u << id;
		out->figure[id] = figure_value(&figure, row);
	}
	snprintf(out->comm, sizeof(out->comm), "%s", row->comm);
	snprintf(out->cgroup, sizeof(out->cgroup), "%s", row->cgroup ? row->cgroup : "");
}

void table_level_row(struct table_row *row, unsigned int sort, uint64_t interval_ns)
{
	if (row->window_ns >= interval_ns)
		return;
	for (int id = 0; id < FIGURES; id++) {
		char title[TITLE_BYTES];

		if ((row->present & 1u << id) && is_delta(figure_of((enum figure_id)id, sort, title).kind))
			row->figure[id] = (uint64_t)((unsigned __int128)row->figure[id] * row->window_ns / interval_ns);
	}
	row->window_ns = interval_ns;
}

/* --- order */

bool table_is_active(const struct table_row *row)
{
	return row->figure[FIGURE_CPU] || row->figure[FIGURE_READ] || row->figure[FIGURE_WRITE];
}

static int compare_figure(const struct table_row *left, const struct table_row *right, enum figure_id id)
{
	bool has_left = left->present & 1u << id, has_right = right->present & 1u << id;

	if (has_left != has_right)
		return has_left ? -1 : 1;
	return left->figure[id] > right->figure[id] ? -1 : left->figure[id] < right->figure[id];
}

int table_compare(const void *a, const void *b, void *sort)
{
	const struct table_row *left = a, *right = b;
	int order = compare_figure(left, right, sort_figure(*(const unsigned int *)sort));

	if (!order && table_is_active(left) != table_is_active(right))
		order = table_is_active(left) ? -1 : 1;
	if (!order)
		order = compare_figure(left, right, FIGURE_CPU);
	if (!order)
		order = compare_figure(left, right, FIGURE_RSS);
	return order ? order : left->tid < right->tid ? -1 : left->tid > right->tid;
}

/* --- columns */

enum column_id {
	COLUMN_PID,
	COLUMN_TID,
	COLUMN_USER,
	COLUMN_STATE,
	COLUMN_FIGURES, /* one for each figure from here on */
	COLUMN_COMM = COLUMN_FIGURES + FIGURES,
	COLUMN_CGROUP,
	COLUMNS
};

/* From left to right as they stand. */
static const struct {
	const char *title; /* NULL: of the figure */
	unsigned int width;
	bool left;
	unsigned int from_width; /* only on screens as wide as this */
} columns[COLUMNS] = {
	[COLUMN_PID] = { "PID", 7, false, 0 },
	[COLUMN_TID] = { "TID", 7, false, 0 },
	[COLUMN_USER] = { "USER", 10, true, 0 },
	[COLUMN_STATE] = { "S", 1, true, 0 },
	[COLUMN_FIGURES + FIGURE_CPU] = { NULL, 6, false, 0 },
	[COLUMN_FIGURES + FIGURE_SORT] = { NULL, 6, false, 0 },
	[COLUMN_FIGURES + FIGURE_RSS] = { NULL, 5, false, 0 },
	[COLUMN_FIGURES + FIGURE_THREADS] = { NULL, 4, false, 0 },
	[COLUMN_FIGURES + FIGURE_READ] = { NULL, 6, false, 0 },
	[COLUMN_FIGURES + FIGURE_WRITE] = { NULL, 6, false, 0 },
	[COLUMN_FIGURES + FIGURE_DELAY] = { NULL, 6, false, 100 },
	[COLUMN_FIGURES + FIGURE_SWITCHES] = { NULL, 6, false, 110 },
	[COLUMN_FIGURES + FIGURE_FAULTS] = { NULL, 6, false, 120 },
	[COLUMN_COMM] = { "COMM", COMM_MIN, true, 0 },
	[COLUMN_CGROUP] = { "CGROUP", 20, true, 140 },
};

/* What a narrow screen keeps longest comes first. */
static const enum column_id by_importance[] = {
	COLUMN_COMM,
	COLUMN_PID,
	COLUMN_TID,
	COLUMN_FIGURES + FIGURE_CPU,
	COLUMN_FIGURES + FIGURE_SORT,
	COLUMN_FIGURES + FIGURE_RSS,
	COLUMN_STATE,
	COLUMN_USER,
	COLUMN_FIGURES + FIGURE_THREADS,
	COLUMN_FIGURES + FIGURE_READ,
	COLUMN_FIGURES + FIGURE_WRITE,
	COLUMN_FIGURES + FIGURE_DELAY,
	COLUMN_FIGURES + FIGURE_SWITCHES,
	COLUMN_FIGURES + FIGURE_FAULTS,
	COLUMN_CGROUP,
};

static const char *column_title(const struct table_layout *layout, int id, char room[TITLE_BYTES])
{
	if (columns[id].title)
		return columns[id].title;
	return figure_of((enum figure_id)(id - COLUMN_FIGURES), layout->sort, room).title;
}

static unsigned int column_width(const struct table_layout *layout, int id)
{
	char room[TITLE_BYTES];
	size_t title = strlen(column_title(layout, id, room));

	return title > columns[id].width ? (unsigned int)title : columns[id].width;
}

void table_layout_fit(struct table_layout *layout)
{
	unsigned int width = layout->width ? layout->width : USUAL_WIDTH, used = 0;

	layout->columns = 0;
	for (size_t i = 0; i < sizeof(by_importance) / sizeof(by_importance[0]); i++) {
		enum column_id id = by_importance[i];
		bool sorts = id == COLUMN_FIGURES + FIGURE_SORT;
		unsigned int more;

		/* the figure that sorts is seen on any screen, also if it has a column of its own elsewhere */
		if (sorts)
			id = COLUMN_FIGURES + sort_figure(layout->sort);
		if ((id == COLUMN_TID && !layout->threads) || (layout->columns & 1u << id) ||
		    (!sorts && width < columns[id].from_width))
			continue;
		more = column_width(layout, id) + (used ? 1 : 0);
		if (used + more > width && layout->columns)
			continue;
		used += more;
		layout->columns |= 1u << id;
	}
}

/* --- lines */

struct line {
	char *out;
	size_t size, at;
	unsigned int width, used; /* 0: without limit */
};

/* The last one takes the rest of the line. */
static void put_cell(struct line *line, const struct table_layout *layout, int id, const char *text)
{
	unsigned int width = column_width(layout, id), room;
	bool last = !(layout->columns >> (id + 1));
	char cell[TABLE_CGROUP_BYTES + ROW_COMM_BYTES];

	if (line->at) {
		line->out[line->at++] = ' ';
		line->used++;
	}
	room = line->width > line->used ? line->width - line->used : 0;
	if (id == COLUMN_COMM && !last)
		width = COMM_MAX;
	if (last && layout->width == 0) {
		snprintf(cell, sizeof(cell), "%s", text);
	} else if (last) {
		text_fit(cell, sizeof(cell), text, room, false);
	} else if (columns[id].left) {
		text_fit(cell, sizeof(cell), text, width, true);
	} else {
		unsigned int have = text_width(text);

		snprintf(cell, sizeof(cell), "%*s%s", have < width ? (int)(width - have) : 0, "", text);
		width = have > width ? have : width;
	}
	line->used += last ? 0 : width;
	line->at += (size_t)snprintf(line->out + line->at, line->size - line->at, "%s", cell);
}

void table_format_header(const struct table_layout *layout, char *out, size_t size)
{
	struct line line = { out, size, 0, layout->width, 0 };
	char room[TITLE_BYTES];

	out[0] = '\0';
	for (int id = 0; id < COLUMNS; id++)
		if (layout->columns & 1u << id)
			put_cell(&line, layout, id, column_title(layout, id, room));
}

static void format_figure(const struct table_layout *layout, const struct table_row *row, enum figure_id id, char out[CELL_BYTES])
{
	char title[TITLE_BYTES], text[PEOPLE_BYTES_ROOM];
	struct figure figure = figure_of(id, layout->sort, title);
	uint64_t value = row->figure[id];

	if (!(row->present & 1u << id))
		snprintf(out, CELL_BYTES, "-");
	else if (figure.kind == KIND_SHARE)
		snprintf(out, CELL_BYTES, "%.1f", (double)value / 100);
	else if (figure.kind == KIND_BYTES || figure.kind == KIND_BYTE_RATE)
		snprintf(out, CELL_BYTES, "%s", people_bytes(text, value));
	else if (figure.kind == KIND_TIME)
		snprintf(out, CELL_BYTES, "%s", people_ns(text, value));
	else if (figure.kind == KIND_LETTER)
		snprintf(out, CELL_BYTES, "%c", (int)value);
	else
		snprintf(out, CELL_BYTES, "%s", people_count(text, value));
}

void table_format_row(const struct table_layout *layout, const struct table_row *row, const char *user, char *out, size_t size)
{
	struct line line = { out, size, 0, layout->width, 0 };
	char pid[CELL_BYTES], tid[CELL_BYTES], comm[ROW_COMM_BYTES + 2], figure[CELL_BYTES];
	const char state[] = { row->state, '\0' };
	const char *const texts[COLUMNS] = {
		[COLUMN_PID] = pid,     [COLUMN_TID] = tid,   [COLUMN_USER] = user,
		[COLUMN_STATE] = state, [COLUMN_COMM] = comm, [COLUMN_CGROUP] = row->cgroup,
	};

	out[0] = '\0';
	snprintf(pid, sizeof(pid), "%u", row->tgid);
	snprintf(tid, sizeof(tid), "%u", row->tid);
	snprintf(comm, sizeof(comm), "%s%s", row->alarm ? "! " : "", row->comm);
	for (int id = 0; id < COLUMNS; id++) {
		if (!(layout->columns & 1u << id))
			continue;
		if (!texts[id])
			format_figure(layout, row, (enum figure_id)(id - COLUMN_FIGURES), figure);
		put_cell(&line, layout, id, texts[id] ? texts[id] : figure);
	}
}
