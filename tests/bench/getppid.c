// SPDX-License-Identifier: BSD-2-Clause
/*
 * getppid COUNT [PER_SECOND]: calls getppid COUNT times, at full speed or at most so many times a second (in portions
 * of a millisecond's worth), and prints ns=... (per call, by the clock) and cpu_ns=... (per call, by its own CPU
 * time) on stderr.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double ns_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 0, per_second = argc > 2 ? atol(argv[2]) : 0, portion, done = 0;
	double began, cpu_began;

	if (count < 1 || per_second < 0)
		return fprintf(stderr, "usage: getppid COUNT [PER_SECOND]\n"), 2;
	portion = per_second ? per_second / 1000 + 1 : count;
	began = ns_of(CLOCK_MONOTONIC);
	cpu_began = ns_of(CLOCK_PROCESS_CPUTIME_ID);
	while (done < count) {
		for (long i = 0; i < portion && done < count; i++, done++)
			syscall(SYS_getppid);
		while (per_second && ns_of(CLOCK_MONOTONIC) - began < (double)done * 1e9 / (double)per_second)
			; /* the clock is no system call */
	}
	fprintf(stderr, "ns=%.1f cpu_ns=%.1f\n", (ns_of(CLOCK_MONOTONIC) - began) / (double)count,
		(ns_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_began) / (double)count);
	return 0;
}
