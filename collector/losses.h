/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel side lost, told to those whom it concerns.
 */
#ifndef TASKMON_LOSSES_H
#define TASKMON_LOSSES_H

#include <stddef.h>

#include "feed.h"
#include "kernel.h"

/** What was told already; begin with zeros. */
struct losses {
	u64 lost[WATCH_MAX][LOSS_CAUSES];
	u64 skipped;
};

/** Tell the subscribers of these feeds, which are all that there are, what was lost since the last call. */
void losses_tell(struct losses *told, const struct kernel *kernel, struct feed *const *feeds, size_t count);

#endif
