/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_OPTIONS_H
#define TASKMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "modules.h"
#include "output.h"
#include "probe.h"
#include "select.h"
#include "threshold_rule.h"

enum action {
	ACTION_REPORT,
	ACTION_LIST_METRICS,
	ACTION_LIST_MODULES,
	ACTION_LIST_TASKS,
	ACTION_LIST_RULES,
	ACTION_EXPLAIN_THRESHOLD,
	ACTION_VERSION,
	ACTION_HELP,
};

/* Who tells of CPU time: the collector, /proc/PID/stat, or top(1). */
enum cpu_source { CPU_BPF, CPU_STAT, CPU_TOP };

enum children { CHILDREN_OF_COMMAND, CHILDREN_FOLLOWED, CHILDREN_IGNORED };

/** The command line and the file of --config, checked. */
struct options {
	enum action action;
	char **rules; /* of the collector's configuration */
	size_t rule_count;
	uint32_t *pids;
	size_t pid_count;
	struct select select;
	bool all;
	bool threads;
	enum children children;
	enum cpu_source cpu;
	unsigned int modules; /* bit per enum module_id */
	uint64_t metrics;     /* bit per enum metric_id: --metrics */
	uint64_t interval_ns;
	uint64_t duration_ns; /* 0: no end */
	char *csv_dir;        /* NULL: not asked for, like the next */
	char *json_path;      /* "-": standard output */
	struct output_policy output;
	unsigned int sort; /* of the table: enum metric_id, or TABLE_SORT_CPU */
	unsigned int top;  /* rows of the table; 0: what fits */
	char *socket_path;
	char *config_path;         /* NULL: none, like the next */
	char *explain_path;        /* --explain-threshold */
	char *files[MODULE_TOTAL]; /* names of CSV files that the configuration gives; NULL: as the module says */
	char **probes;             /* memleak: BINARY:FUNCTION */
	size_t probe_count;
	bool has_probe_option;       /* on the command line */
	bool probes_of_config;       /* those come of the file: one on the command line takes their place */
	struct probe_set *probe_set; /* what they mean; NULL: memleak is not wanted */
	char *probe_variables;       /* and what of their arguments is captured; NULL: nothing */
	struct threshold_rules thresholds;
	char **command; /* COMMAND and its arguments, within argv; NULL: none */
};

/**
 * Parse `argv`. Returns 0, -ENOMEM, or -EINVAL with one line in `error` that says what was wrong, where, and what
 * was expected. `options` must be freed either way.
 */
int options_parse(struct options *options, int argc, char **argv, char *error, size_t error_size);
void options_free(struct options *options);

/** As if `--name value` stood on the command line. Returns 0, -ENOMEM, or -EINVAL with one line in `error`. */
int options_set(struct options *options, const char *name, const char *value, char *error, size_t error_size);

/** Is what it does done to processes, so that some must be selected? */
bool options_want_selection(const struct options *options);

/** Are the children of what is selected part of it? */
bool options_follow_children(const struct options *options);

/** Does CPU time come from elsewhere than the collector? */
bool options_cpu_is_local(const struct options *options);

/** Is a collector needed at all? */
bool options_need_collector(const struct options *options);

/** --help, on standard output. */
void options_print_help(void);

#endif
