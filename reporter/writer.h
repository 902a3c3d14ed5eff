/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Last stage: a writer is seven functions and what it needs to be given. Each function returns 0 or a negative errno
 * after it has logged which output failed.
 */
#ifndef TASKMON_WRITER_H
#define TASKMON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "hit.h"
#include "output.h"
#include "row.h"

enum writer_end {
	WRITER_TICK,    /* a tick is complete: what was written is to reach its readers */
	WRITER_REOPEN,  /* files have been moved away: open them anew by their names */
	WRITER_RESIZED, /* the terminal has another size: show it anew */
	WRITER_DONE,    /* nothing more comes: outputs are closed and the writer is freed, also after an error */
};

struct writer {
	const char *name;
	uint64_t needs;  /* metrics to be measured for it: bit per enum metric_id */
	uint64_t deltas; /* metrics whose gain within the window it shows */

	/** The report is armed: headers. Outputs exist from the creation of the writer, but only this empties them. */
	int (*begin)(struct writer *writer);
	int (*row)(struct writer *writer, const struct row *row);
	int (*event)(struct writer *writer, const struct event *event);
	int (*loss)(struct writer *writer, const struct loss *loss);
	int (*gap)(struct writer *writer, const struct gap *gap);
	int (*calls)(struct writer *writer, const struct calls *calls); /* NULL: it has no place for them */
	int (*end)(struct writer *writer, enum writer_end how);

	uint64_t written_bytes; /* to files, up to the last end() */

	int (*hit)(struct writer *writer, const struct hit *hit); /* NULL: it has no place for them */
};

/** How the table looks. */
struct table_options {
	bool threads;
	bool shares_terminal;   /* something else writes there, too: it is not ours to steer */
	unsigned int sort;      /* enum metric_id, or TABLE_SORT_CPU */
	unsigned int top;       /* at most so many; 0: what fits the terminal */
	unsigned int busy_only; /* elsewhere, of more than this only those that did something; 0: all */
};

/**
 * The writers that there are. NULL after the cause has been logged, with errno EEXIST if a file that was to be
 * continued has another header. `policy` may be NULL.
 *
 * `files`, by enum module_id, are names of CSV files within the directory, or absolute; NULL, of one or of all: as the
 * module says. `modules` is a set of enum module_id, `metrics` one of enum metric_id: --modules and --metrics. `directory` is
 * created if it is missing, `path` may be "-".
 */
struct writer *writer_csv_new(const char *directory, char *const *files, unsigned int modules, uint64_t metrics,
			      const struct output_policy *policy);
struct writer *writer_json_new(const char *path, unsigned int modules, uint64_t metrics, const struct output_policy *policy);
/** Without event.csv, which another writer has. */
struct writer *writer_csv_beside(const char *directory, char *const *files, unsigned int modules,
				 const struct output_policy *policy);
/** Rows of another source, named in each, into the output of `json`, which must live as long. */
struct writer *writer_json_beside(struct writer *json, const char *source, unsigned int modules);
/** memleak.csv; `probes` must live longer. */
struct writer *writer_memleak_new(const char *directory, const char *file, const struct probe_set *probes,
				  const struct output_policy *policy);
struct writer *writer_table_new(const struct table_options *options);
struct writer *writer_tasks_new(bool threads); /* --list tasks */

#endif
