/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rows of syscall.csv: millions a second, so they are written without detours.
 */
#ifndef TASKMON_CSV_CALLS_H
#define TASKMON_CSV_CALLS_H

#include "output.h"
#include "row.h"

/** A row for each call of a selected task. Returns 0 or the error of the output. */
int csv_put_calls(struct output *output, const struct calls *calls);

#endif
