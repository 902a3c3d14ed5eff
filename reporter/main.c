/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * taskmon-report: what tasks do, as CSV, JSON or a table.
 *
 *   source → select → derive → threshold → writers
 *
 * report.c brings frames of the collector to source.c, pipeline.c takes them through the stages.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "config.h"
#include "confine.h"
#include "exit_status.h"
#include "explain.h"
#include "launch.h"
#include "list.h"
#include "log.h"
#include "options.h"
#include "pipeline.h"
#include "report.h"
#include "subscribe.h"

/*
 * The order matters: the command is forked before anything is opened or given up that it must not inherit, and the
 * outputs exist before the collector is asked for anything.
 */
static int run_report(const struct options *options)
{
	struct pipeline *pipeline = NULL, *cpu = NULL;
	struct launch launch = { 0 };
	int status = STATUS_FAILED;
	int err = options->command ? launch_prepare(&launch, options->command, NULL, NULL) : 0;
	struct top *top = options_cpu_is_local(options) && options->cpu == CPU_TOP ? calloc(1, sizeof(*top)) : NULL;

	if (!err && top)
		err = top_prepare(top, options->interval_ns, options->threads);
	if (err) {
		log_error(NULL, "cannot start a process: %s", strerror(-err));
		goto out;
	}
	signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of that output */
	signal(SIGXFSZ, SIG_IGN); /* so is a file that may not grow any more */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (subscribe_wants_probes(options)) {
		err = probe_files_open(options->probe_set, options->pids, options->pid_count,
				       options->command ? options->command[0] : NULL);
		if (err) {
			status = err == -EPERM ? STATUS_REFUSED : STATUS_FAILED;
			goto out;
		}
	}
	pipeline = pipeline_new(options, NULL);
	if (pipeline && options_cpu_is_local(options))
		cpu = options_need_collector(options) ? pipeline_new(options, pipeline) : pipeline;
	if (pipeline)
		confine(options);
	if (pipeline && (cpu || !options_cpu_is_local(options)))
		status = report_run(options, pipeline, cpu, &launch, top);
	else if (errno == EEXIST)
		status = STATUS_USAGE;
	err = cpu != pipeline ? pipeline_free(cpu) : 0;
	err = pipeline_free(pipeline) || err;
	if (err && status == STATUS_DONE && !launch.released)
		status = STATUS_FAILED;
out:
	top_free(top);
	free(top);
	launch_free(&launch);
	return status;
}

static int print_version(const struct options *options)
{
	(void)options;
	puts("taskmon-report " TASKMON_VERSION);
	return STATUS_DONE;
}

static int print_help(const struct options *options)
{
	(void)options;
	options_print_help();
	return STATUS_DONE;
}

static int (*const actions[])(const struct options *options) = {
	[ACTION_REPORT] = run_report,     [ACTION_LIST_METRICS] = list_metrics, [ACTION_LIST_MODULES] = list_modules,
	[ACTION_LIST_RULES] = list_rules, [ACTION_LIST_TASKS] = run_report,     [ACTION_EXPLAIN_THRESHOLD] = explain_thresholds,
	[ACTION_VERSION] = print_version, [ACTION_HELP] = print_help,
};

/* Standard output may be a full disk, too. */
static int flush_standard_output(int status)
{
	if (fflush(stdout) == 0 || status != STATUS_DONE)
		return status;
	log_error(NULL, "standard output: %s", strerror(errno));
	return STATUS_FAILED;
}

int main(int argc, char **argv)
{
	struct options options;
	char error[512] = "out of memory";
	int status;

	log_init("taskmon-report", 0);
	if (options_parse(&options, argc, argv, error, sizeof(error))) {
		log_error(NULL, "%s", error);
		status = STATUS_USAGE;
	} else {
		status = flush_standard_output(actions[options.action](&options));
	}
	options_free(&options);
	return status;
}
