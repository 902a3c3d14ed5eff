// SPDX-License-Identifier: BSD-2-Clause
/*
 * pairs COUNT
 *
 * On each SIGUSR1: COUNT times malloc of 16 to 1039 bytes and free of a block that was allocated 64 times before. Prints how long a pair took:
 *
 *   round=N ns=NANOSECONDS (CPU time, for a pair)
 */
#include "workload.h"

int main(int argc, char **argv)
{
	static void *(*volatile get)(size_t) = malloc;
	static void (*volatile give)(void *) = free;
	static void *kept[64];
	long count = argc > 1 ? atol(argv[1]) : 0;
	char line[128];
	int round = 0;

	if (count < 1)
		usage("COUNT");
	block_signals();
	snprintf(line, sizeof(line), "pid=%d\n", getpid());
	if (write(1, line, strlen(line)) < 0)
		die("write");
	while (await_signal() != SIGTERM) {
		uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);

		for (long i = 0; i < count; i++) {
			give(kept[i % 64]);
			kept[i % 64] = get(16 + (size_t)i * 61 % 1024);
		}
		snprintf(line, sizeof(line), "round=%d ns=%.1f\n", ++round,
			 (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / (double)count);
		if (write(1, line, strlen(line)) < 0)
			die("write");
	}
	return 0;
}
