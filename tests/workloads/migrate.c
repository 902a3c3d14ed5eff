// SPDX-License-Identifier: BSD-2-Clause
/*
 * migrate MOVES
 *
 * Binds itself to CPU 0, the first of the CPUs it may use. On each SIGUSR1 it moves MOVES times between the first and the second,
 * so that each move is one migration and no other can happen. Ends on SIGTERM.
 *
 *   pid=PID
 *   moves=N     after each SIGUSR1, in all
 */
#include "workload.h"

#include <sched.h>

static void bind_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
	if (sched_getcpu() != cpu)
		die("sched_getcpu");
}

int main(int argc, char **argv)
{
	int moves, done = 0, cpu[2], found = 0;
	cpu_set_t may;

	if (argc != 2)
		usage("MOVES");
	moves = atoi(argv[1]);
	if (sched_getaffinity(0, sizeof(may), &may))
		die("sched_getaffinity");
	for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
		if (CPU_ISSET(i, &may))
			cpu[found++] = i;
	if (found < 2)
		die("needs two CPUs");
	block_signals();
	bind_to(cpu[0]);
	printf("pid=%d\n", getpid());
	fflush(stdout);
	while (await_signal() != SIGTERM) {
		for (int i = 0; i < moves; i++)
			bind_to(cpu[++done % 2]);
		printf("moves=%d\n", done);
		fflush(stdout);
	}
	return 0;
}
