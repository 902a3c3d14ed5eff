/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Third stage: rows against thresholds. There is no way yet to configure one, so every row passes.
 */
#ifndef TASKMON_THRESHOLD_H
#define TASKMON_THRESHOLD_H

#include <stdbool.h>

#include "row.h"

/** Is the row to be written? */
bool threshold_row(const struct row *row);

#endif
