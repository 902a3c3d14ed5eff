/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table for people, as pure functions: which columns fit a width, in which order tasks come, what a line looks like.
 */
#ifndef TASKMON_TABLE_FORMAT_H
#define TASKMON_TABLE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "row.h"

#define TABLE_CGROUP_BYTES 256
#define TABLE_LINE_BYTES 2048       /* of a line; every column may be of several bytes */
#define TABLE_SORT_CPU METRIC_TOTAL /* --sort task_cpu_percent; else an enum metric_id */

/** What a task shows, besides who it is. */
enum figure_id {
	FIGURE_CPU,
	FIGURE_SORT, /* the metric of --sort, if no other column has it */
	FIGURE_RSS,
	FIGURE_THREADS,
	FIGURE_READ,
	FIGURE_WRITE,
	FIGURE_DELAY,
	FIGURE_SWITCHES,
	FIGURE_FAULTS,
	FIGURES
};

struct table_row {
	uint32_t tgid, tid, uid;
	uint64_t start_time_ns;
	uint64_t window_ns; /* that shares and rates are of */
	char state;
	bool alarm;
	unsigned int present; /* bit per enum figure_id */
	uint64_t figure[FIGURES];
	char comm[ROW_COMM_BYTES];
	char cgroup[TABLE_CGROUP_BYTES];
};

struct table_layout {
	bool threads;
	unsigned int sort;    /* enum metric_id or TABLE_SORT_CPU */
	unsigned int width;   /* columns of the screen; 0: the usual columns, and names are not cut */
	unsigned int columns; /* set by table_layout_fit() */
};

/** Choose the columns that fit `width`, the most telling first. */
void table_layout_fit(struct table_layout *layout);

/** Metrics to be measured for any width, and those of them whose gain is shown: bit per enum metric_id. */
uint64_t table_needs(unsigned int sort);
uint64_t table_deltas(unsigned int sort);

/** The figures of a row that derive.c has been through. */
void table_read_row(const struct row *row, unsigned int sort, struct table_row *out);

/**
 * Shares and rates become those of the whole interval: a task that lived for a millisecond of it did not use a CPU. A
 * window that is longer stays.
 */
void table_level_row(struct table_row *row, unsigned int sort, uint64_t interval_ns);

/** For qsort_r() with the `sort` of the layout: most first, and what it has not last. */
int table_compare(const void *left, const void *right, void *sort);

/** Has it done anything in its window? */
bool table_is_active(const struct table_row *row);

/** One line, cut to the width of the layout, without its end. `user`: the name of its uid. */
void table_format_header(const struct table_layout *layout, char *out, size_t size);
void table_format_row(const struct table_layout *layout, const struct table_row *row, const char *user, char *out, size_t size);

#endif
