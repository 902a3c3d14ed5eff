// SPDX-License-Identifier: BSD-2-Clause
/*
 * bustle calls|switches COUNT
 *
 * On each SIGUSR1, COUNT getppid() calls, or COUNT round trips of a byte between two threads through pipes (two context switches each, on
 * one CPU). Ends on SIGTERM.
 *
 *   pid=PID
 *   round=N cpu_ns=TIME    after each round: the CPU time it took
 */
#include "workload.h"

#include <sched.h>
#include <stdbool.h>

static int there[2], back[2];

static void *echo(void *arg unused)
{
	char byte;

	while (read(there[0], &byte, 1) == 1)
		if (write(back[1], &byte, 1) != 1)
			break;
	return NULL;
}

static void run_calls(int count)
{
	for (int i = 0; i < count; i++)
		syscall(SYS_getppid);
}

static void run_switches(int count)
{
	char byte = 1;

	for (int i = 0; i < count; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			die("pipe");
}

static void use_one_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

int main(int argc, char **argv)
{
	bool switches;
	int count;

	if (argc != 3)
		usage("calls|switches COUNT");
	switches = strcmp(argv[1], "switches") == 0;
	count = atoi(argv[2]);
	block_signals();
	use_one_cpu();
	if (switches) {
		if (pipe(there) || pipe(back))
			die("pipe");
		start_thread(echo, NULL);
	}
	printf("pid=%d\n", getpid());
	fflush(stdout);
	for (int round = 1; await_signal() != SIGTERM; round++) {
		uint64_t begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);

		(switches ? run_switches : run_calls)(count);
		printf("round=%d cpu_ns=%llu\n", round, (unsigned long long)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin));
		fflush(stdout);
	}
	return 0;
}
