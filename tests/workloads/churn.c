// SPDX-License-Identifier: BSD-2-Clause
/*
 * churn WAVES THREADS READS
 *
 * Threads that come and go. On SIGUSR1: WAVES times, one after the other, THREADS threads that each read 101 bytes
 * READS times from /dev/zero, use 3 ms of CPU and end. Then waits: again on SIGUSR1, until SIGTERM.
 *
 *   pid=PID
 *   round=N threads=TOTAL reads=TOTAL cpu_ns=PROCESS   after each round; the totals of all rounds
 */
#include "workload.h"

#include <fcntl.h>

static int zero, reads;

static void *visit(void *arg unused)
{
	do_reads(zero, reads, 101);
	burn(3 * NS_PER_MS);
	return NULL;
}

int main(int argc, char **argv)
{
	int waves, threads;

	if (argc != 4)
		usage("WAVES THREADS READS");
	waves = atoi(argv[1]);
	threads = atoi(argv[2]);
	reads = atoi(argv[3]);
	zero = open("/dev/zero", O_RDONLY);
	block_signals();
	printf("pid=%d\n", getpid());
	fflush(stdout);
	for (int round = 1; await_signal() != SIGTERM; round++) {
		for (int w = 0; w < waves; w++) {
			pthread_t thread[threads];

			for (int i = 0; i < threads; i++)
				thread[i] = start_thread(visit, NULL);
			for (int i = 0; i < threads; i++)
				pthread_join(thread[i], NULL);
		}
		printf("round=%d threads=%d reads=%d cpu_ns=%llu\n", round, round * waves * threads,
		       round * waves * threads * reads, (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID));
		fflush(stdout);
	}
	return 0;
}
