/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_CLOCK_H
#define TASKMON_CLOCK_H

#include <stdint.h>
#include <time.h>

/** ns of a clock. */
static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/** The clock of all records: it never steps, and it counts what the machine sleeps. */
static inline uint64_t clock_boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

/** What to add to a record's time for the wall clock of this moment. */
static inline int64_t clock_wall_offset_ns(void)
{
	uint64_t shortest_ns = UINT64_MAX;
	int64_t offset_ns = 0;

	/* somebody else may get the CPU between two clocks: the closest pair of a few is taken */
	for (int i = 0; i < 3; i++) {
		uint64_t before_ns = clock_boot_ns(), wall_ns = clock_ns(CLOCK_REALTIME), took_ns = clock_boot_ns() - before_ns;

		if (took_ns >= shortest_ns)
			continue;
		shortest_ns = took_ns;
		offset_ns = (int64_t)(wall_ns - before_ns - took_ns / 2);
	}
	return offset_ns;
}

#endif
