/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls as JSON Lines. The lines are put together by hand, as cJSON would take ten times as long; it writes the
 * names, once per thread and frame.
 */
#ifndef TASKMON_JSON_CALLS_H
#define TASKMON_JSON_CALLS_H

#include "output.h"
#include "row.h"

/** An object for each call of a selected task. Returns 0, -ENOMEM (logged) or the error of the output. */
int json_put_calls(struct output *output, const struct calls *calls);

#endif
