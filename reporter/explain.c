/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --explain-threshold FILE: a task.csv takes the place of the collector, and goes through derive and threshold as if it
 * happened now.
 */
#include "explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "csv_tables.h"
#include "derive.h"
#include "exit_status.h"
#include "hash.h"
#include "log.h"
#include "metric.h"
#include "output.h"
#include "threshold.h"

enum { COLUMNS_MAX = METRIC_TOTAL + 32, IGNORED = -1, FIRST_FIELD = METRIC_TOTAL, GAPS_MAX = 1024 };

/* Columns that are no metrics. */
enum { FIELD_TIME = FIRST_FIELD, FIELD_TID, FIELD_TGID, FIELD_COMM, FIELD_START_TIME, FIELD_UID, FIELD_RULES, FIELDS_END };
static const char *const field_names[] = { "time", "tid", "tgid", "comm", "start_time", "uid", "rules" };

/* When a task was last seen, to find out how often it was. */
struct sight {
	uint32_t tid;
	uint64_t wall_ns;
	UT_hash_handle hh;
};

struct explain {
	const char *path;
	unsigned long line;
	int columns[COLUMNS_MAX]; /* a metric, a field or IGNORED */
	size_t column_count;
	uint64_t present; /* metrics that have a column */
	struct derive *derive;
	struct thresholds *thresholds;
	struct output *output;
	unsigned long rows, alarms, clears;
	struct sight *sights;
	uint64_t gaps[GAPS_MAX]; /* between two rows of a task */
	size_t gap_count;
};

static int refuse(const struct explain *explain, const char *what)
{
	log_error(NULL, "%s:%lu: %s", explain->path, explain->line, what);
	return -EINVAL;
}

static int on_event(void *context, const struct event *event)
{
	struct explain *explain = context;

	if (strcmp(event->name, "alarm") == 0)
		explain->alarms++;
	else
		explain->clears++;
	csv_put_event(explain->output, event);
	return 0;
}

/* --- cells */

/* The next cell of a line, taken out of its quotes in place; NULL: there is none. */
static char *next_cell(char **rest)
{
	char *begin = *rest, *in = begin, *out = begin;
	bool quoted = begin && *begin == '"';

	if (!begin)
		return NULL;
	for (in += quoted; *in; in++) {
		if (quoted && *in == '"' && in[1] != '"')
			break;
		if (!quoted && *in == ',')
			break;
		in += quoted && *in == '"';
		*out++ = *in;
	}
	in += quoted && *in == '"';
	*rest = *in == ',' ? in + 1 : NULL;
	*out = '\0';
	return begin;
}

/* RFC 3339 in UTC, as output_time() writes it. */
static bool parse_time(const char *text, uint64_t *wall_ns)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	char *end;
	double fraction;

	if (!rest || *rest != '.' || tm.tm_year < 70)
		return false;
	fraction = strtod(rest, &end);
	*wall_ns = (uint64_t)timegm(&tm) * 1000000000 + (uint64_t)(fraction * 1e9 + 0.5);
	return strcmp(end, "Z") == 0;
}

static bool parse_u64(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool read_field(struct row *row, int field, const char *cell)
{
	uint64_t number = 0;

	if (field == FIELD_COMM) {
		row->comm = row->process_comm = cell;
		return true;
	}
	if (field == FIELD_RULES) {
		row->rules = cell;
		return true;
	}
	if (field == FIELD_TIME)
		return parse_time(cell, &row->wall_ns);
	if (!parse_u64(cell, &number) || (field != FIELD_START_TIME && number > UINT32_MAX))
		return false;
	if (field == FIELD_START_TIME)
		row->start_time_ns = number;
	else
		*(field == FIELD_TID ? &row->tid : field == FIELD_TGID ? &row->tgid : &row->uid) = (uint32_t)number;
	return true;
}

static bool read_metric(struct row *row, uint64_t *values, int id, const char *cell)
{
	if (!*cell || metrics[id].unit == METRIC_LETTER)
		return true;
	row->present |= METRIC_BIT(id);
	return parse_u64(cell, &values[id]);
}

/* --- lines */

static int read_header(struct explain *explain, char *line)
{
	unsigned int fields = 0;

	for (char *cell; (cell = next_cell(&line));) {
		int column = metric_find(cell, strlen(cell));

		if (explain->column_count == COLUMNS_MAX)
			return refuse(explain, "too many columns (expected a task.csv)");
		for (int field = FIRST_FIELD; column < 0 && field < FIELDS_END; field++)
			if (strcmp(field_names[field - FIRST_FIELD], cell) == 0)
				column = field;
		if (column >= FIRST_FIELD)
			fields |= 1u << (column - FIRST_FIELD);
		else if (column >= 0)
			explain->present |= METRIC_BIT(column);
		explain->columns[explain->column_count++] = column < 0 ? IGNORED : column;
	}
	if (fields != (1u << (FIELDS_END - FIRST_FIELD)) - 1)
		return refuse(explain, "not the header of a task.csv (expected time, tid, tgid, comm, start_time, uid, ...)");
	return 0;
}

typedef int (*row_taker)(struct explain *explain, struct row *row);

static int read_row(struct explain *explain, char *line, row_taker take)
{
	uint64_t values[METRIC_TOTAL];
	struct row row = { .value = values };

	for (size_t i = 0; i < explain->column_count; i++) {
		int column = explain->columns[i];
		char *cell = next_cell(&line);

		if (!cell)
			return refuse(explain, "a row that is too short (expected as many cells as the header has)");
		if (column != IGNORED &&
		    !(column < FIRST_FIELD ? read_metric(&row, values, column, cell) : read_field(&row, column, cell)))
			return refuse(explain, "a cell that task.csv does not have (expected what --csv writes)");
	}
	row.time_ns = row.wall_ns;
	return take(explain, &row);
}

static int read_lines(struct explain *explain, FILE *stream, row_taker take)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	int err = 0;

	rewind(stream);
	explain->line = explain->column_count = 0;
	while (!err && (length = getline(&line, &room, stream)) >= 0) {
		explain->line++;
		if (length && line[length - 1] != '\n')
			break; /* of a report that is still at it */
		line[--length] = '\0';
		if (length && line[length - 1] == '\r')
			line[length - 1] = '\0';
		err = explain->line == 1 ? read_header(explain, line) : read_row(explain, line, take);
	}
	free(line);
	if (!err && ferror(stream)) {
		err = -errno;
		log_error(NULL, "%s: %s", explain->path, strerror(-err));
	}
	if (!err && explain->column_count == 0)
		err = refuse(explain, "it has no header (expected a task.csv)");
	return err;
}

static int judge_row(struct explain *explain, struct row *row)
{
	bool passes;
	int err = derive_row(explain->derive, row);

	explain->rows++;
	return err ? err : thresholds_row(explain->thresholds, row, &passes);
}

/* --- the interval of the report that wrote the file */

static int note_gap(struct explain *explain, struct row *row)
{
	struct sight *sight;

	if (explain->gap_count == GAPS_MAX)
		return 0;
	HASH_FIND(hh, explain->sights, &row->tid, sizeof(row->tid), sight);
	if (sight && row->wall_ns > sight->wall_ns) {
		explain->gaps[explain->gap_count++] = row->wall_ns - sight->wall_ns;
	} else if (!sight) {
		sight = calloc(1, sizeof(*sight));
		if (!sight)
			return -ENOMEM;
		sight->tid = row->tid;
		HASH_ADD(hh, explain->sights, tid, sizeof(sight->tid), sight);
		if (!sight->hh.tbl) {
			free(sight);
			return -ENOMEM;
		}
	}
	sight->wall_ns = row->wall_ns;
	return 0;
}

static int compare_gaps(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

/* Most gaps are one interval, whatever ended, began or was lost. */
static int find_interval(struct explain *explain, FILE *stream, uint64_t *interval_ns)
{
	int err = read_lines(explain, stream, note_gap);
	struct sight *sight, *next;

	HASH_ITER(hh, explain->sights, sight, next) {
		HASH_DEL(explain->sights, sight);
		free(sight);
	}
	qsort(explain->gaps, explain->gap_count, sizeof(explain->gaps[0]), compare_gaps);
	if (!err && explain->gap_count)
		*interval_ns = explain->gaps[explain->gap_count / 2];
	return err;
}

static void warn_of_missing(const struct explain *explain, const struct threshold_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		if (!(explain->present & METRIC_BIT(rules->list[i].metric)))
			log_warning(NULL, "%s has no column %s: nothing is known of threshold %s", explain->path,
				    metrics[rules->list[i].metric].name, rules->list[i].name);
}

int explain_thresholds(const struct options *options)
{
	struct explain explain = { .path = options->explain_path };
	FILE *stream = fopen(explain.path, "re");
	uint64_t interval_ns = options->interval_ns;
	int err;

	if (!stream) {
		log_error(NULL, "%s: %s", explain.path, strerror(errno));
		return STATUS_FAILED;
	}
	err = find_interval(&explain, stream, &interval_ns);
	explain.derive = derive_new(threshold_rules_deltas(&options->thresholds), options->threads);
	explain.thresholds = thresholds_new(&options->thresholds, interval_ns, on_event, &explain);
	explain.output = output_open("-", CSV_EVENT_HEADER, NULL);
	if (!err && !(explain.derive && explain.thresholds))
		err = -ENOMEM;
	if (!err && !explain.output)
		err = -EIO;
	if (!err) {
		/* where a task's first row is not its start, it is not known what was before */
		derive_arm(explain.derive, UINT64_MAX);
		output_begin(explain.output);
		err = read_lines(&explain, stream, judge_row);
		if (output_flush(explain.output) && !err)
			err = -EIO;
	}
	if (err == -ENOMEM)
		log_error(NULL, "out of memory");
	if (!err) {
		warn_of_missing(&explain, &options->thresholds);
		log_info(NULL, "%lu rows: %lu alarms, %lu of them cleared", explain.rows, explain.alarms, explain.clears);
	}
	fclose(stream);
	thresholds_free(explain.thresholds);
	derive_free(explain.derive);
	output_close(explain.output);
	return err ? STATUS_FAILED : STATUS_DONE;
}
