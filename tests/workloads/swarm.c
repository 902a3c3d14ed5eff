// SPDX-License-Identifier: BSD-2-Clause
/*
 * swarm PROGRAM THREADS COUNT
 *
 * On each SIGUSR1, THREADS threads each run PROGRAM COUNT times, one after the other: vfork, exec, wait. Ends on SIGTERM.
 *
 *   pid=PID
 *   round=N made=TOTAL ns=LENGTH cpu_ns=TIME    after each round: processes of all rounds; how long it took and its CPU time,
 *                                               with that of the processes
 */
#include "workload.h"

#include <sys/resource.h>
#include <sys/wait.h>

static const char *program;
static int count;

static pid_t start_one(char *const *argv, char *const *environment)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execve(program, argv, environment);
		_exit(127);
	}
	return pid;
}

static void *breed(void *arg unused)
{
	char *const argv[] = { (char *)program, NULL }, *const no_environment[] = { NULL };

	for (int i = 0; i < count; i++) {
		pid_t pid = start_one(argv, no_environment);
		int status;

		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			die(program);
	}
	return NULL;
}

static uint64_t cpu_ns(void)
{
	struct rusage children;

	if (getrusage(RUSAGE_CHILDREN, &children))
		die("getrusage");
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * NS_PER_SEC +
	       (children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1000ULL;
}

int main(int argc, char **argv)
{
	int threads;

	if (argc != 4)
		usage("PROGRAM THREADS COUNT");
	program = argv[1];
	threads = atoi(argv[2]);
	count = atoi(argv[3]);
	block_signals();
	printf("pid=%d\n", getpid());
	fflush(stdout);
	for (int round = 1; await_signal() != SIGTERM; round++) {
		uint64_t begin = clock_ns(CLOCK_MONOTONIC), cpu_before = cpu_ns();
		pthread_t thread[threads];

		for (int i = 0; i < threads; i++)
			thread[i] = start_thread(breed, NULL);
		for (int i = 0; i < threads; i++)
			pthread_join(thread[i], NULL);
		printf("round=%d made=%d ns=%llu cpu_ns=%llu\n", round, round * threads * count,
		       (unsigned long long)(clock_ns(CLOCK_MONOTONIC) - begin), (unsigned long long)(cpu_ns() - cpu_before));
		fflush(stdout);
	}
	return 0;
}
