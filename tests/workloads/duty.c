// SPDX-License-Identifier: BSD-2-Clause
/*
 * duty SECONDS PERCENT...
 *
 * One thread per PERCENT (at most 32), named duty-PERCENT, that uses that share of a CPU in periods of 20 ms for
 * SECONDS or until SIGTERM. On a busy machine a thread may get less, so the main thread keeps the witness: every
 * 20 ms it prints the CPU clock of each thread, and the wall clock before and after they were read.
 *
 *   pid=PID
 *   tid.duty-PERCENT=TID      one line per thread
 *   w WALL_NS WALL_NS TID:CPU_NS ...  every 20 ms and at the end; the main thread included
 */
#include "workload.h"

#define MAX_THREADS 32
#define PERIOD_NS (20 * NS_PER_MS)

struct worker {
	pthread_t thread;
	clockid_t clock;
	double share;
	int tid;
	char name[16];
};

static struct worker workers[MAX_THREADS];
static int worker_count;
static volatile int stop;
static pthread_barrier_t started;

static void sleep_until(uint64_t ns)
{
	struct timespec t = { ns / NS_PER_SEC, ns % NS_PER_SEC };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t next;

	w->tid = syscall(SYS_gettid);
	pthread_setname_np(pthread_self(), w->name);
	pthread_barrier_wait(&started);
	next = clock_ns(CLOCK_MONOTONIC);
	while (!stop) {
		next += PERIOD_NS;
		if (w->share > 0)
			burn(w->share * PERIOD_NS);
		if (w->share < 1 && clock_ns(CLOCK_MONOTONIC) < next)
			sleep_until(next);
		else if (clock_ns(CLOCK_MONOTONIC) > next + PERIOD_NS)
			next = clock_ns(CLOCK_MONOTONIC); /* too late: do not catch up */
	}
	return NULL;
}

static void print_witness(void)
{
	uint64_t before = clock_ns(CLOCK_REALTIME), cpu[MAX_THREADS], own = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	for (int i = 0; i < worker_count; i++)
		cpu[i] = clock_ns(workers[i].clock);
	printf("w %llu %llu %d:%llu", (unsigned long long)before, (unsigned long long)clock_ns(CLOCK_REALTIME), getpid(),
	       (unsigned long long)own);
	for (int i = 0; i < worker_count; i++)
		printf(" %d:%llu", workers[i].tid, (unsigned long long)cpu[i]);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const struct timespec step = { 0, 20 * NS_PER_MS };
	sigset_t term;
	uint64_t end;

	if (argc < 3 || argc - 2 > MAX_THREADS)
		usage("SECONDS PERCENT...");
	block_signals();
	worker_count = argc - 2;
	pthread_barrier_init(&started, NULL, worker_count + 1);
	for (int i = 0; i < worker_count; i++) {
		struct worker *w = &workers[i];

		w->share = atof(argv[i + 2]) / 100;
		snprintf(w->name, sizeof(w->name), "duty-%s", argv[i + 2]);
		w->thread = start_thread(work, w);
		pthread_getcpuclockid(w->thread, &w->clock);
	}
	pthread_barrier_wait(&started);

	printf("pid=%d\n", getpid());
	for (int i = 0; i < worker_count; i++)
		printf("tid.%s=%d\n", workers[i].name, workers[i].tid);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	end = clock_ns(CLOCK_MONOTONIC) + atof(argv[1]) * NS_PER_SEC;
	do
		print_witness();
	while (sigtimedwait(&term, NULL, &step) != SIGTERM && clock_ns(CLOCK_MONOTONIC) < end);
	print_witness();
	stop = 1;
	for (int i = 0; i < worker_count; i++)
		pthread_join(workers[i].thread, NULL);
	return 0;
}
