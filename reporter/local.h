/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The course of --cpu stat and top: ticks of our own instead of a collector's.
 */
#ifndef TASKMON_LOCAL_H
#define TASKMON_LOCAL_H

#include <stdbool.h>

#include "pipeline.h"
#include "top.h"

struct local;
struct report;

/** `top` NULL: CPU time is what /proc/PID/stat says. `pipeline` gets the rows. NULL: out of memory. */
struct local *local_new(struct report *report, struct pipeline *pipeline, struct top *top);

/** After the loop has been run. */
void local_free(struct local *local);

/** Begin; the report is told of the baseline (report_has_baseline()), and is ended if something fails. */
void local_begin(struct local *local);

bool local_has_baseline(const struct local *local);

/** The command has ended and is still to be waited for. */
void local_command_ended(struct local *local);

/** A last sample of what still lives, where that can be had. Returns 0 or a negative errno after it has been logged. */
int local_close(struct local *local);

/** Open its files anew by their names. Returns likewise. */
int local_reopen(struct local *local);

/** Nothing more comes. */
void local_stop(struct local *local);

#endif
