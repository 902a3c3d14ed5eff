// SPDX-License-Identifier: BSD-2-Clause
/*
 * naps [-f FILE] MS...
 *
 * One thread per MS, the first of them the main thread. Each naps for 17 ms again and again, and on each SIGUSR1 once for its MS.
 * On SIGUSR2 the main thread reads FILE past the page cache, 13 times 64 KiB. Each thread keeps the witness: its life in gaps
 * without a hole, from one look at the clock to the next, each with the CPU time it used and how often it left its CPU.
 * Between a look at its switches and one at the clock it was not scheduled away. Ends on SIGTERM.
 *
 *   pid=PID
 *   tid.MS=TID                                          one line per thread
 *   w TID BEGIN_WALL_NS END_WALL_NS CPU_NS SWITCHES KIND  per gap; KIND is a letter: Short nap, Long nap, Direct read
 *   longs=N                                             after each SIGUSR1 and its nap in the main thread, in all
 *   reads=N                                             after each SIGUSR2, in all
 */
#include "workload.h"

#include <fcntl.h>
#include <sys/resource.h>

#define MAX_THREADS 16
#define SHORT_NS (17 * NS_PER_MS)
#define READS 13
#define READ_BYTES 65536

struct look {
	uint64_t wall_ns, cpu_ns;
	long switches;
};

static volatile int rounds, stop;

static long switches(void)
{
	struct rusage r;

	getrusage(RUSAGE_THREAD, &r);
	return r.ru_nvcsw + r.ru_nivcsw;
}

static struct look look(void)
{
	struct look at;

	do {
		at.switches = switches();
		at.wall_ns = clock_ns(CLOCK_REALTIME);
		at.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	} while (at.switches != switches());
	return at;
}

static void close_gap(struct look *last, char kind)
{
	struct look now = look();

	printf("w %ld %llu %llu %llu %ld %c\n", syscall(SYS_gettid), (unsigned long long)last->wall_ns,
	       (unsigned long long)now.wall_ns, (unsigned long long)(now.cpu_ns - last->cpu_ns), now.switches - last->switches,
	       kind);
	fflush(stdout);
	*last = now;
}

static void nap(uint64_t ns)
{
	struct timespec t = { ns / NS_PER_SEC, ns % NS_PER_SEC };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
		;
}

static void *sleeper(void *arg)
{
	const char *ms = arg;
	struct look last = look();
	int seen = 0;

	printf("tid.%s=%ld\n", ms, syscall(SYS_gettid));
	while (!stop) {
		nap(SHORT_NS);
		close_gap(&last, 'S');
		if (seen == rounds)
			continue;
		seen = rounds;
		nap(strtoull(ms, NULL, 10) * NS_PER_MS);
		close_gap(&last, 'L');
	}
	return NULL;
}

static void read_directly(int fd, struct look *last)
{
	static _Alignas(4096) char buf[READ_BYTES];

	for (int i = 0; i < READS; i++) {
		close_gap(last, 'S');
		if (pread(fd, buf, sizeof(buf), (off_t)i * READ_BYTES) != READ_BYTES)
			die("pread");
		close_gap(last, 'D');
	}
}

int main(int argc, char **argv)
{
	const struct timespec moment = { 0, SHORT_NS };
	int fd = -1, first = 1, longs = 0, reads = 0, sig;
	pthread_t thread[MAX_THREADS];
	sigset_t set = steering_signals();
	struct look last;

	if (argc > 2 && strcmp(argv[1], "-f") == 0) {
		fd = open(argv[2], O_RDONLY | O_DIRECT);
		if (fd < 0)
			die(argv[2]);
		first = 3;
	}
	if (argc <= first || argc - first > MAX_THREADS)
		usage("[-f FILE] MS...");
	block_signals();
	for (int i = first + 1; i < argc; i++)
		thread[i - first] = start_thread(sleeper, argv[i]);
	last = look();
	printf("pid=%d\ntid.%s=%d\n", getpid(), argv[first], getpid());
	fflush(stdout);
	while ((sig = sigtimedwait(&set, NULL, &moment)) != SIGTERM) {
		close_gap(&last, 'S');
		if (sig == SIGUSR1) {
			rounds++;
			nap(strtoull(argv[first], NULL, 10) * NS_PER_MS);
			close_gap(&last, 'L');
			printf("longs=%d\n", ++longs);
		} else if (sig == SIGUSR2 && fd >= 0) {
			read_directly(fd, &last);
			reads += READS;
			printf("reads=%d\n", reads);
		}
		fflush(stdout);
	}
	stop = 1;
	for (int i = first + 1; i < argc; i++)
		pthread_join(thread[i - first], NULL);
	close_gap(&last, 'S');
	return 0;
}
