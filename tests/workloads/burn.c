// SPDX-License-Identifier: BSD-2-Clause
/*
 * burn SECONDS [THREADS [STATUS]]
 *
 * Uses SECONDS of CPU time, shared evenly by THREADS threads (default 1: the main thread alone), some of it
 * in the kernel, and exits with STATUS (default 0). Prints, when it is done:
 *   pid, cpu_ns (CLOCK_PROCESS_CPUTIME_ID), utime_us, stime_us, minflt, majflt, nvcsw, nivcsw (getrusage),
 *   started_ns, ended_ns (CLOCK_BOOTTIME at the start and the end of main)
 */
#include "workload.h"

#include <fcntl.h>
#include <sys/resource.h>

static uint64_t share_ns;

static void *burner(void *arg unused)
{
	const uint64_t step = 8 * NS_PER_MS;
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	uint64_t now, end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + share_ns;

	if (zero < 0)
		die("/dev/zero");
	while ((now = clock_ns(CLOCK_THREAD_CPUTIME_ID)) < end) {
		uint64_t next = now + step < end ? now + step : end;

		while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < now + step / 8)
			do_reads(zero, 1, 65536);
		burn_until(CLOCK_THREAD_CPUTIME_ID, next);
	}
	close(zero);
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t started = clock_ns(CLOCK_BOOTTIME);
	int threads = argc > 2 ? atoi(argv[2]) : 1;
	pthread_t thread[256];
	struct rusage r;

	if (argc < 2 || threads < 1 || threads > 256)
		usage("SECONDS [THREADS [STATUS]]");
	share_ns = strtod(argv[1], NULL) * NS_PER_SEC / threads;
	for (int i = 1; i < threads; i++)
		thread[i] = start_thread(burner, NULL);
	burner(NULL);
	for (int i = 1; i < threads; i++)
		pthread_join(thread[i], NULL);

	getrusage(RUSAGE_SELF, &r);
	printf("pid=%d\ncpu_ns=%llu\nutime_us=%lld\nstime_us=%lld\nminflt=%ld\nmajflt=%ld\nnvcsw=%ld\nnivcsw=%ld\n", getpid(),
	       (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID), r.ru_utime.tv_sec * 1000000LL + r.ru_utime.tv_usec,
	       r.ru_stime.tv_sec * 1000000LL + r.ru_stime.tv_usec, r.ru_minflt, r.ru_majflt, r.ru_nvcsw, r.ru_nivcsw);
	printf("started_ns=%llu\nended_ns=%llu\n", (unsigned long long)started, (unsigned long long)clock_ns(CLOCK_BOOTTIME));
	fflush(stdout);
	return argc > 3 ? atoi(argv[3]) : 0;
}
