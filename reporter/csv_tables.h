/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands in each CSV file. A column is a name and how its cell is written, so header and rows cannot drift apart.
 */
#ifndef TASKMON_CSV_TABLES_H
#define TASKMON_CSV_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "modules.h"
#include "output.h"
#include "row.h"

struct csv_column {
	const char *name;
	char *(*put)(char *at, const struct row *row); /* returns where its text ends */
};

/** The file of a module. */
struct csv_table {
	enum module_id module;
	const struct csv_column *columns; /* ends with a NULL name */
	bool all_metrics;                 /* the metrics of --metrics follow the columns */
	bool windows_only;                /* no row for a sample without a window to measure in */
	bool ends_only;     /* rows of tasks say only that they have ended: csv_put_calls() writes what stands before */
	bool measured_only; /* no row without any of its figures: those of processes are absent where rows are threads */
	uint64_t deltas;    /* that its columns show, bit per enum metric_id */
	uint64_t gauges;    /* likewise, of metrics as they are */
};

extern const struct csv_table csv_tables[];
extern const unsigned int csv_table_count;

/**
 * Open `file`, which is within the directory or absolute. A NULL `header`: there was no memory for it. NULL with errno
 * set after the cause has been logged.
 */
struct output *csv_open(const char *directory, const char *file, const char *header, const struct output_policy *policy);

/** The first line of the file, with its end, to be freed. NULL: out of memory. */
char *csv_header(const struct csv_table *table, uint64_t metrics);
void csv_put_row(struct output *output, const struct csv_table *table, uint64_t metrics, const struct row *row);

/** event.csv, which is always there. */
#define CSV_EVENT_FILE "event.csv"
#define CSV_EVENT_HEADER "time,event,tid,tgid,comm,detail\n"
void csv_put_event(struct output *output, const struct event *event);
void csv_put_loss(struct output *output, const struct loss *loss);
void csv_put_gap(struct output *output, const struct gap *gap);

#endif
