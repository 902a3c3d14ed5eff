/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_EXPLAIN_H
#define TASKMON_EXPLAIN_H

#include "options.h"

/** --explain-threshold: which alarms there would have been over a task.csv, as rows of event.csv. The exit status. */
int explain_thresholds(const struct options *options);

#endif
