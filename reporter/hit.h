/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A call of a probed function or its return, as the writers get it.
 */
#ifndef TASKMON_HIT_H
#define TASKMON_HIT_H

#include <stdbool.h>
#include <stdint.h>

#include "probe.h"

struct hit {
	uint64_t wall_ns; /* since the epoch */
	uint32_t tid, tgid;
	const struct probe *probe;
	const char *function;
	bool is_return;
	uint32_t depth; /* 0: not known */
	bool has_totals, has_change;
	uint64_t heap_bytes, heap_times;    /* outstanding in the process */
	int64_t bytes_change, times_change; /* what the thread has added since the call */
	uint64_t present;                   /* bit per argument */
	uint64_t values[DECLARED_MAX];      /* of those that are no text */
	const char *texts[DECLARED_MAX];    /* of those that are; valid UTF-8 */
};

#endif
