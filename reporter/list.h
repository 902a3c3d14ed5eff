/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --list metrics and modules. --list tasks is a report that ends with its baseline: see writer_tasks.c.
 */
#ifndef TASKMON_LIST_H
#define TASKMON_LIST_H

#include "options.h"

/** Each returns the exit status. */
int list_metrics(const struct options *options);
int list_rules(const struct options *options);
int list_modules(const struct options *options);

#endif
