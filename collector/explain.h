/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why the configured rules select a process, or why not.
 */
#ifndef TASKMON_EXPLAIN_H
#define TASKMON_EXPLAIN_H

#include "taskmon.pb-c.h"
#include "watch.h"

/**
 * All configured rules judged by what holds for a process. -ENOENT if one of them is not in use, -ENOMEM. Free the message with
 * taskmon__explained__free_unpacked().
 */
int explain(const struct watches *watches, const struct term_set *facts, Taskmon__Explained **message);

#endif
