/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One report from its start to its end: connect, subscribe, release the command, feed the pipeline, and end when
 * the time is up, the last process has ended, or somebody says so.
 */
#ifndef TASKMON_REPORT_H
#define TASKMON_REPORT_H

#include "launch.h"
#include "options.h"
#include "pipeline.h"
#include "top.h"

/**
 * `cpu` is the pipeline of --cpu stat and top, which may be `pipeline`; `top` has been prepared if the options want it.
 * Returns the exit status (exit_status.h, or that of the command). What went wrong has been logged.
 */
int report_run(const struct options *options, struct pipeline *pipeline, struct pipeline *cpu, struct launch *launch,
	       struct top *top);

#endif
