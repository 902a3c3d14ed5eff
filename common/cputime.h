/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * User and system time as /proc gives them. What the kernel counts are ticks that happened to hit user or system
 * mode; it scales them so that they add up to the precise run time and never go back: cputime_adjust(),
 * kernel/sched/cputime.c. The same is done here, with a memory of our own, since the kernel's cannot be written: for
 * processes on the kernel side, for threads in the collector.
 */
#ifndef TASKMON_CPUTIME_H
#define TASKMON_CPUTIME_H

#include "record.h"

/* a * b / c for a <= c without 128-bit arithmetic: the relative error is below 2^-31. */
static inline __attribute__((always_inline)) u64 scale(u64 a, u64 b, u64 c)
{
	u64 widest = b > c ? b : c;
	u32 shift = 0;

	for (u32 step = 16; step; step /= 2) {
		if (widest >> shift >> (31 + step))
			shift += step;
	}
	if (widest >> shift >> 32)
		shift++;
	c >>= shift;
	return c ? ((a >> shift) * (b >> shift) / c) << shift : 0;
}

/** `utime` and `stime` in ns of ticks, `runtime` in precise ns; the result replaces *prev_utime and *prev_stime. */
static inline __attribute__((always_inline)) void adjust_cputime(u64 utime, u64 stime, u64 runtime, u64 *prev_utime,
								 u64 *prev_stime)
{
	if (*prev_utime + *prev_stime >= runtime)
		return;
	if (stime == 0)
		stime = 0;
	else if (utime == 0)
		stime = runtime;
	else
		stime = scale(stime, runtime, stime + utime);
	if (stime > runtime)
		stime = runtime;
	if (stime < *prev_stime)
		stime = *prev_stime;
	utime = runtime - stime;
	if (utime < *prev_utime) {
		utime = *prev_utime;
		stime = runtime - utime;
	}
	*prev_utime = utime;
	*prev_stime = stime;
}

#endif
