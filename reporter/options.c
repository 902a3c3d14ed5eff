/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <errno.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "metric.h"
#include "option_check.h"
#include "option_table.h"
#include "table_format.h"

#define KEEP_DEFAULT 7

static int parse_own(struct options *options, int argc, char **argv, char *error, size_t size)
{
	poptContext context = poptGetContext("taskmon-report", argc, (const char **)argv, option_table, 0);
	char reason[256] = "";
	int val, err = 0;

	if (!context)
		return -ENOMEM;
	while (!err && (val = poptGetNextOpt(context)) > 0) {
		char *value = poptGetOptArg(context);

		err = option_apply(options, val, value, reason, sizeof(reason));
		if (err == -EINVAL)
			snprintf(error, size, "--%s: %s", option_name(val), reason);
		free(value);
	}
	if (!err && val < -1) {
		err = -EINVAL;
		snprintf(error, size, "%s: %s (see --help)", poptBadOption(context, POPT_BADOPTION_NOALIAS), poptStrerror(val));
	}
	if (!err && poptPeekArg(context)) {
		err = -EINVAL;
		snprintf(error, size, "%s: unexpected word (expected -- before a command; see --help)", poptPeekArg(context));
	}
	poptFreeContext(context);
	return err;
}

static int init(struct options *options)
{
	*options = (struct options){
		.modules = MODULES_DEFAULT,
		.metrics = metric_set_of_cost(METRIC_FREE),
		.interval_ns = 5000000000,
		.output.keep = KEEP_DEFAULT,
		.sort = TABLE_SORT_CPU,
		.socket_path = strdup(OPTION_SOCKET_DEFAULT),
	};
	return options->socket_path ? 0 : -ENOMEM;
}

/* The command line goes first to find the file, and again to win over it. */
static int parse_with_config(struct options *options, int argc, char **argv, char *error, size_t size)
{
	char *path = options->config_path;
	int err;

	options->config_path = NULL;
	options_free(options);
	err = init(options);
	if (!err)
		err = config_read(options, path, error, size);
	if (!err)
		err = parse_own(options, argc, argv, error, size);
	free(path);
	return err;
}

int options_parse(struct options *options, int argc, char **argv, char *error, size_t error_size)
{
	int own = 1, err = init(options);

	if (err)
		return err;
	/* popt would mix what stands after -- with stray words before it */
	while (own < argc && strcmp(argv[own], "--") != 0)
		own++;
	err = parse_own(options, own, argv, error, error_size);
	if (!err && options->config_path && options->action != ACTION_HELP && options->action != ACTION_VERSION)
		err = parse_with_config(options, own, argv, error, error_size);
	if (err)
		return err;
	if (own + 1 < argc) {
		options->command = argv + own + 1;
	} else if (own < argc && options_want_selection(options)) {
		snprintf(error, error_size, "--: nothing follows (expected a command)");
		return -EINVAL;
	}
	return option_check(options, error, error_size);
}

bool options_want_selection(const struct options *options)
{
	return options->action == ACTION_REPORT || options->action == ACTION_LIST_TASKS;
}

bool options_cpu_is_local(const struct options *options)
{
	bool shows_cpu = (options->modules & MODULE_BIT(MODULE_CPU)) || (!options->csv_dir && !options->json_path);

	return options->action == ACTION_REPORT && options->cpu != CPU_BPF && shows_cpu;
}

bool options_need_collector(const struct options *options)
{
	unsigned int others = options->modules & ~MODULES_DEFAULT;

	return !options_cpu_is_local(options) || (others && (options->csv_dir || options->json_path));
}

void options_free(struct options *options)
{
	if (!options)
		return;
	select_free(&options->select);
	for (size_t i = 0; i < options->rule_count; i++)
		free(options->rules[i]);
	free(options->rules);
	free(options->pids);
	free(options->csv_dir);
	free(options->json_path);
	free(options->socket_path);
	free(options->config_path);
	free(options->explain_path);
	for (int id = 0; id < MODULE_TOTAL; id++)
		free(options->files[id]);
	for (size_t i = 0; i < options->probe_count; i++)
		free(options->probes[i]);
	free(options->probes);
	free(options->probe_variables);
	if (options->probe_set)
		probe_set_free(options->probe_set);
	free(options->probe_set);
	threshold_rules_free(&options->thresholds);
	*options = (struct options){ 0 };
}

bool options_follow_children(const struct options *options)
{
	return options->children == CHILDREN_FOLLOWED || (options->children == CHILDREN_OF_COMMAND && options->command);
}
