/* SPDX-License-Identifier: BSD-2-Clause */
#include "option_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "metric.h"
#include "modules.h"
#include "proc_figures.h"

static int check_explain(struct options *options, char *error, size_t size)
{
	if (options->action != ACTION_EXPLAIN_THRESHOLD || options->thresholds.count)
		return 0;
	snprintf(error, size, "--explain-threshold: there are none (expected -c with \"thresholds\")");
	return -EINVAL;
}

static bool names_processes(const struct options *options)
{
	return !options->all && !options->rule_count && (options->pid_count || options->command);
}

/* Functions are probed in processes that are known by their number. */
static int check_probes(struct options *options, char *error, size_t size)
{
	char reason[512];
	int err;

	if (options->has_probe_option)
		options->modules |= MODULE_BIT(MODULE_MEMLEAK);
	if (!(options->modules & MODULE_BIT(MODULE_MEMLEAK)) || options->action != ACTION_REPORT)
		return 0;
	if (options->probe_count == 0) {
		snprintf(error, size, "memleak: no function is named (expected --probe BIN:FUNC)");
		return -EINVAL;
	}
	if (!names_processes(options) && !options->has_probe_option) {
		log_warning(NULL,
			    "memleak_probes: nothing is probed, as no process is named by number (expected --pid or -- COMMAND)");
		options->modules &= ~MODULE_BIT(MODULE_MEMLEAK);
		return 0;
	}
	if (!names_processes(options)) {
		snprintf(error, size,
			 "memleak: functions are probed in processes that are named by number (expected --pid or -- COMMAND, and "
			 "not "
			 "--all, --rule, nor --name or --user alone)");
		return -EINVAL;
	}
	options->probe_set = calloc(1, sizeof(*options->probe_set));
	if (!options->probe_set)
		return -ENOMEM;
	err = probe_set_parse(options->probe_set, options->probes, options->probe_count, options->probe_variables, reason,
			      sizeof(reason));
	options->probe_set->optional = !options->has_probe_option;
	if (err == -EINVAL)
		snprintf(error, size, "%s: %s", options->has_probe_option ? "--probe" : "memleak_probes", reason);
	return err;
}

static int check_list(struct options *options, char *error, size_t size)
{
	if (!options->command || options->action != ACTION_LIST_TASKS)
		return 0;
	snprintf(error, size, "--list: tasks takes no command");
	return -EINVAL;
}

/* What /proc tells needs no collector, but there is no more; the words "free" and "all" mean all of it. */
static int check_cpu(struct options *options, char *error, size_t size)
{
	if (!options_cpu_is_local(options))
		return 0;
	if (options->rule_count) {
		snprintf(error, size, "--rule: rules are judged by the collector's kernel side (expected no --cpu stat or top)");
		return -EINVAL;
	}
	if (!options_need_collector(options) &&
	    (options->metrics == metric_set_of_cost(METRIC_FREE) || options->metrics == METRIC_ALL_BITS))
		options->metrics &= PROC_METRICS & ~(options->cpu == CPU_TOP ? METRIC_BIT(M_task_on_cpu_ns) : 0);
	return 0;
}

/* What is selected when nothing names processes, and that something is. */
static int check_selection(struct options *options, char *error, size_t size)
{
	if (options->rule_count)
		options->all = true; /* whatever it selects, for as long as the report runs */
	if (!options_want_selection(options) || options->pid_count || options->command)
		return 0;
	if (select_narrows(&options->select) || options->action == ACTION_LIST_TASKS)
		options->all = true;
	if (options->all)
		return 0;
	snprintf(error, size,
		 "nothing is selected (expected --pid, --name, --regex, --user, --cgroup, --rule, --all or -- "
		 "COMMAND; see --help)");
	return -EINVAL;
}

int option_check(struct options *options, char *error, size_t error_size)
{
	static int (*const checks[])(struct options * options, char *error, size_t size) = {
		check_explain, check_probes, check_list, check_cpu, check_selection,
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(checks) / sizeof(checks[0]); i++)
		err = checks[i](options, error, error_size);
	return err;
}
