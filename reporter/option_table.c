/* SPDX-License-Identifier: BSD-2-Clause */
#include "option_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "metric.h"
#include "modules.h"
#include "option_values.h"
#include "table_format.h"

#define INTERVAL_MIN 0.1
#define INTERVAL_MAX 3600.0
#define ROTATE_BYTES_MIN 4096
#define ROTATE_BYTES_MAX (1ULL << 50)
#define KEEP_MAX 1000
#define TOP_MAX 1000000
#define DURATION_MAX 31536000.0 /* a year */

/* --- one function per option */

static int set_pid(struct options *options, const char *value, char *error, size_t size)
{
	return value_pids(value, &options->pids, &options->pid_count, error, size);
}

static int set_name(struct options *options, const char *value, char *error, size_t size)
{
	(void)error, (void)size;
	return value_append_text(value, &options->select.names, &options->select.name_count);
}

static int set_user(struct options *options, const char *value, char *error, size_t size)
{
	return value_users(value, &options->select.uids, &options->select.uid_count, error, size);
}

static int set_regex(struct options *options, const char *value, char *error, size_t size)
{
	return select_add_regex(&options->select, value, error, size);
}

static int set_cgroup(struct options *options, const char *value, char *error, size_t size)
{
	if (!*value) {
		snprintf(error, size, "it is empty (expected the path of a cgroup, or a glob)");
		return -EINVAL;
	}
	return value_append_text(value, &options->select.cgroups, &options->select.cgroup_count);
}

static int set_rule(struct options *options, const char *value, char *error, size_t size)
{
	char *words = strdup(value), *rest = words, *word;
	int err = words ? 0 : -ENOMEM;

	(void)error, (void)size;
	while (!err && (word = strsep(&rest, ",")))
		err = value_append_text(word, &options->rules, &options->rule_count);
	free(words);
	return err;
}

static void set_all(struct options *options)
{
	options->all = true;
}

static void set_children(struct options *options)
{
	options->children = CHILDREN_FOLLOWED;
}

static void set_no_children(struct options *options)
{
	options->children = CHILDREN_IGNORED;
}

static void set_threads(struct options *options)
{
	options->threads = true;
}

static int set_cpu(struct options *options, const char *value, char *error, size_t size)
{
	static const char *const words[] = { [CPU_BPF] = "bpf", [CPU_STAT] = "stat", [CPU_TOP] = "top" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(value, words[i]) == 0) {
			options->cpu = (enum cpu_source)i;
			return 0;
		}
	}
	snprintf(error, size, "there is no \"%s\" (expected bpf, stat or top)", value);
	return -EINVAL;
}

static int set_modules(struct options *options, const char *value, char *error, size_t size)
{
	return modules_parse(value, &options->modules, error, size);
}

static int set_metrics(struct options *options, const char *value, char *error, size_t size)
{
	return metric_parse_set(value, &options->metrics, error, size);
}

static int set_probe(struct options *options, const char *value, char *error, size_t size)
{
	(void)error, (void)size;
	if (options->probes_of_config) {
		while (options->probe_count)
			free(options->probes[--options->probe_count]);
		free(options->probe_variables);
		options->probe_variables = NULL;
		options->probes_of_config = false;
	}
	options->has_probe_option = true;
	return value_append_text(value, &options->probes, &options->probe_count);
}

static int set_interval(struct options *options, const char *value, char *error, size_t size)
{
	return value_seconds(value, INTERVAL_MIN, INTERVAL_MAX, &options->interval_ns, error, size);
}

static int set_duration(struct options *options, const char *value, char *error, size_t size)
{
	return value_seconds(value, INTERVAL_MIN, DURATION_MAX, &options->duration_ns, error, size);
}

static int set_csv(struct options *options, const char *value, char *error, size_t size)
{
	return value_text(value, "a directory", &options->csv_dir, error, size);
}

static int set_json(struct options *options, const char *value, char *error, size_t size)
{
	return value_text(value, "a file or -", &options->json_path, error, size);
}

static int set_sort(struct options *options, const char *value, char *error, size_t size)
{
	int id = strcmp(value, "task_cpu_percent") == 0 ? TABLE_SORT_CPU : metric_find(value, strlen(value));
	const char *near = id < 0 ? metric_suggest(value) : NULL;

	if (id < 0) {
		snprintf(error, size, "\"%s\" is not a metric (%s%s%sexpected task_cpu_percent or a name from --list metrics)",
			 value, near ? "did you mean " : "", near ? near : "", near ? "? " : "");
		return -EINVAL;
	}
	options->sort = (unsigned int)id;
	return 0;
}

static int set_top(struct options *options, const char *value, char *error, size_t size)
{
	uint64_t top = 0;
	int err = value_number(value, 1, TOP_MAX, &top, error, size);

	options->top = (unsigned int)top;
	return err;
}

static int set_rotate_bytes(struct options *options, const char *value, char *error, size_t size)
{
	return value_bytes(value, ROTATE_BYTES_MIN, ROTATE_BYTES_MAX, &options->output.rotate_bytes, error, size);
}

static int set_rotate_seconds(struct options *options, const char *value, char *error, size_t size)
{
	return value_seconds(value, 1, DURATION_MAX, &options->output.rotate_ns, error, size);
}

static int set_keep(struct options *options, const char *value, char *error, size_t size)
{
	uint64_t keep = options->output.keep;
	int err = value_number(value, 1, KEEP_MAX, &keep, error, size);

	options->output.keep = (unsigned int)keep;
	return err;
}

static void set_append(struct options *options)
{
	options->output.append = true;
}

static int set_socket(struct options *options, const char *value, char *error, size_t size)
{
	const size_t longest = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (strlen(value) > longest) {
		snprintf(error, size, "the path has %zu bytes (expected at most %zu)", strlen(value), longest);
		return -EINVAL;
	}
	return value_text(value, "the path of a socket", &options->socket_path, error, size);
}

static int set_config(struct options *options, const char *value, char *error, size_t size)
{
	return value_text(value, "a file", &options->config_path, error, size);
}

static int set_explain(struct options *options, const char *value, char *error, size_t size)
{
	options->action = ACTION_EXPLAIN_THRESHOLD;
	return value_text(value, "a task.csv", &options->explain_path, error, size);
}

static int set_list(struct options *options, const char *value, char *error, size_t size)
{
	static const struct {
		const char *name;
		enum action action;
	} lists[] = {
		{ "metrics", ACTION_LIST_METRICS },
		{ "modules", ACTION_LIST_MODULES },
		{ "rules", ACTION_LIST_RULES },
		{ "tasks", ACTION_LIST_TASKS },
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (strcmp(value, lists[i].name) == 0) {
			options->action = lists[i].action;
			return 0;
		}
	}
	snprintf(error, size, "there is no list of \"%s\" (expected metrics, modules, rules or tasks)", value);
	return -EINVAL;
}

static void set_version(struct options *options)
{
	options->action = ACTION_VERSION;
}

static void set_help(struct options *options)
{
	options->action = ACTION_HELP;
}

enum option_id {
	OPTION_PID = 1, /* popt keeps 0 for itself */
	OPTION_NAME,
	OPTION_REGEX,
	OPTION_USER,
	OPTION_CGROUP,
	OPTION_RULE,
	OPTION_ALL,
	OPTION_CHILDREN,
	OPTION_NO_CHILDREN,
	OPTION_THREADS,
	OPTION_CPU,
	OPTION_MODULES,
	OPTION_METRICS,
	OPTION_PROBE,
	OPTION_INTERVAL,
	OPTION_DURATION,
	OPTION_CSV,
	OPTION_JSON,
	OPTION_CONFIG,
	OPTION_EXPLAIN,
	OPTION_SORT,
	OPTION_TOP,
	OPTION_ROTATE_BYTES,
	OPTION_ROTATE_SECONDS,
	OPTION_KEEP,
	OPTION_APPEND,
	OPTION_SOCKET,
	OPTION_LIST,
	OPTION_VERSION,
	OPTION_HELP,
};

/* What an option does: `value` takes its argument, `flag` needs none. */
static const struct {
	int (*value)(struct options *options, const char *value, char *error, size_t size);
	void (*flag)(struct options *options);
} setters[] = {
	[OPTION_PID] = { .value = set_pid },
	[OPTION_NAME] = { .value = set_name },
	[OPTION_REGEX] = { .value = set_regex },
	[OPTION_USER] = { .value = set_user },
	[OPTION_CGROUP] = { .value = set_cgroup },
	[OPTION_RULE] = { .value = set_rule },
	[OPTION_ALL] = { .flag = set_all },
	[OPTION_CHILDREN] = { .flag = set_children },
	[OPTION_NO_CHILDREN] = { .flag = set_no_children },
	[OPTION_THREADS] = { .flag = set_threads },
	[OPTION_CPU] = { .value = set_cpu },
	[OPTION_MODULES] = { .value = set_modules },
	[OPTION_METRICS] = { .value = set_metrics },
	[OPTION_PROBE] = { .value = set_probe },
	[OPTION_INTERVAL] = { .value = set_interval },
	[OPTION_DURATION] = { .value = set_duration },
	[OPTION_CSV] = { .value = set_csv },
	[OPTION_JSON] = { .value = set_json },
	[OPTION_CONFIG] = { .value = set_config },
	[OPTION_EXPLAIN] = { .value = set_explain },
	[OPTION_SORT] = { .value = set_sort },
	[OPTION_TOP] = { .value = set_top },
	[OPTION_ROTATE_BYTES] = { .value = set_rotate_bytes },
	[OPTION_ROTATE_SECONDS] = { .value = set_rotate_seconds },
	[OPTION_KEEP] = { .value = set_keep },
	[OPTION_APPEND] = { .flag = set_append },
	[OPTION_SOCKET] = { .value = set_socket },
	[OPTION_LIST] = { .value = set_list },
	[OPTION_VERSION] = { .flag = set_version },
	[OPTION_HELP] = { .flag = set_help },
};

const struct poptOption option_table[] = {
	{ "pid", 'p', POPT_ARG_STRING, NULL, OPTION_PID, "these processes; ends when they have ended", "N[,N...]" },
	{ "name", 'n', POPT_ARG_STRING, NULL, OPTION_NAME, "processes whose name matches a glob; repeatable", "PATTERN" },
	{ "regex", '\0', POPT_ARG_STRING, NULL, OPTION_REGEX,
	  "or in whose name an extended regular expression is found; repeatable", "REGEX" },
	{ "user", 'u', POPT_ARG_STRING, NULL, OPTION_USER, "processes of a real user", "USER[,USER...]" },
	{ "cgroup", '\0', POPT_ARG_STRING, NULL, OPTION_CGROUP,
	  "processes in a cgroup whose path, or one above it, matches a glob; repeatable", "PATTERN" },
	{ "rule", 'r', POPT_ARG_STRING, NULL, OPTION_RULE, "processes that a rule of the collector selects", "NAME[,NAME...]" },
	{ "all", 'a', POPT_ARG_NONE, NULL, OPTION_ALL, "every process that you may see", NULL },
	{ "children", '\0', POPT_ARG_NONE, NULL, OPTION_CHILDREN, "follow what these start (the default for COMMAND)", NULL },
	{ "no-children", '\0', POPT_ARG_NONE, NULL, OPTION_NO_CHILDREN, "do not (the default for --pid)", NULL },
	{ "threads", 't', POPT_ARG_NONE, NULL, OPTION_THREADS, "a row per thread, not per process", NULL },
	{ "modules", 'm', POPT_ARG_STRING, NULL, OPTION_MODULES, "what to report: task,cpu (the default), mem, net, syscall",
	  "LIST" },
	{ "metrics", '\0', POPT_ARG_STRING, NULL, OPTION_METRICS, "of the task module: names, free (default) or all", "LIST" },
	{ "cpu", '\0', POPT_ARG_STRING, NULL, OPTION_CPU,
	  "who tells of CPU time: the collector (default), or, without one, /proc/PID/stat or top(1)", "bpf|stat|top" },
	{ "probe", '\0', POPT_ARG_STRING, NULL, OPTION_PROBE, "calls of this function, for memleak; repeatable",
	  "BIN:FUNC[(ARGS)]" },
	{ "interval", 'i', POPT_ARG_STRING, NULL, OPTION_INTERVAL, "between two samples: 0.1 to 3600, default 5", "SECONDS" },
	{ "duration", 'd', POPT_ARG_STRING, NULL, OPTION_DURATION, "end after this time; COMMAND is left running", "SECONDS" },
	{ "csv", '\0', POPT_ARG_STRING, NULL, OPTION_CSV, "a CSV file per module and event.csv in DIR", "DIR" },
	{ "json", '\0', POPT_ARG_STRING, NULL, OPTION_JSON, "JSON Lines into FILE or to standard output", "FILE|-" },
	{ "config", 'c', POPT_ARG_STRING, NULL, OPTION_CONFIG, "settings and thresholds; options win over it", "FILE" },
	{ "explain-threshold", '\0', POPT_ARG_STRING, NULL, OPTION_EXPLAIN,
	  "which alarms the thresholds of -c would have raised over a task.csv", "FILE" },
	{ "sort", '\0', POPT_ARG_STRING, NULL, OPTION_SORT, "of the table: most first, default task_cpu_percent", "METRIC" },
	{ "top", '\0', POPT_ARG_STRING, NULL, OPTION_TOP, "of the table: not more tasks than this", "N" },
	{ "rotate-bytes", '\0', POPT_ARG_STRING, NULL, OPTION_ROTATE_BYTES,
	  "begin a new file before one gets longer; K, M and G are understood", "N" },
	{ "rotate-seconds", '\0', POPT_ARG_STRING, NULL, OPTION_ROTATE_SECONDS, "begin a new file after this time", "SECONDS" },
	{ "keep", '\0', POPT_ARG_STRING, NULL, OPTION_KEEP, "this many old ones: FILE.1 is the latest; default 7", "N" },
	{ "append", '\0', POPT_ARG_NONE, NULL, OPTION_APPEND, "continue files that are there, if they have the same header", NULL },
	{ "socket", 's', POPT_ARG_STRING, NULL, OPTION_SOCKET, "of the collector, default " OPTION_SOCKET_DEFAULT, "PATH" },
	{ "list", '\0', POPT_ARG_STRING, NULL, OPTION_LIST, "what there is, and end", "metrics|modules|rules|tasks" },
	{ "version", '\0', POPT_ARG_NONE, NULL, OPTION_VERSION, "print the version and end", NULL },
	{ "help", '?', POPT_ARG_NONE, NULL, OPTION_HELP, "print this and end", NULL },
	POPT_TABLEEND,
};

const char *option_name(int val)
{
	for (const struct poptOption *option = option_table; option->longName; option++)
		if (option->val == val)
			return option->longName;
	return "?";
}

int option_apply(struct options *options, int val, const char *value, char *error, size_t error_size)
{
	if (!setters[val].flag)
		return setters[val].value(options, value, error, error_size);
	setters[val].flag(options);
	return 0;
}

int options_set(struct options *options, const char *name, const char *value, char *error, size_t error_size)
{
	for (const struct poptOption *option = option_table; option->longName; option++)
		if (strcmp(option->longName, name) == 0 && setters[option->val].value)
			return setters[option->val].value(options, value, error, error_size);
	return -EINVAL;
}
