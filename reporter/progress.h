/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run with an end that writes files says on a terminal how far it is: one line on stderr, written over and over.
 */
#ifndef TASKMON_PROGRESS_H
#define TASKMON_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

struct progress {
	uint64_t rows, lost, gaps, written_bytes;
	uint64_t elapsed_ns, duration_ns;
};

/** Is there a line to be shown? */
bool progress_is_wanted(const struct options *options);

/** The line, without its end. */
void progress_format(const struct progress *progress, char *out, size_t size);

void progress_show(const struct progress *progress);

/** The last line stays. */
void progress_end(void);

#endif
