/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_HEAP_LIMITS_H
#define TASKMON_HEAP_LIMITS_H

#include <stddef.h>

/** How much heap probes may take. */
struct heap_limits {
	size_t blocks;             /* in the ledger of one process */
	size_t processes;          /* probed in all, below HEAP_SLOTS */
	size_t processes_per_user; /* of one user other than root */
};

#endif
