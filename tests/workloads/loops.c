// SPDX-License-Identifier: BSD-2-Clause
/*
 * loops syscalls COUNT | pingpong COUNT
 *
 * COUNT calls of getppid(2), or COUNT bytes there and back through a pair of pipes between two processes on one CPU. For benchmarks of
 * what a tracer adds.
 *
 *   ns=N    CPU time per call, or per byte there and back, of all that took part; in thousandths of a ns
 */
#include "workload.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static long long cpu_ns_of(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
}

static void call(long count)
{
	while (count-- > 0)
		syscall(SYS_getppid);
}

static void pass_bytes(int from, int to, long count)
{
	char c = 0;

	while (count-- > 0)
		if (read(from, &c, 1) != 1 || write(to, &c, 1) != 1)
			die("pipe");
}

static void play(long count)
{
	int there[2], back[2];
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	if (pipe(there) || pipe(back))
		die("pipe");
	if (fork() == 0) {
		pass_bytes(there[0], back[1], count);
		_exit(0);
	}
	if (write(there[1], "", 1) != 1)
		die("write");
	pass_bytes(back[0], there[1], count - 1);
	if (read(back[0], &(char){ 0 }, 1) != 1)
		die("read");
	wait(NULL);
}

int main(int argc, char **argv)
{
	long long begin = cpu_ns_of(RUSAGE_SELF);
	long count;

	if (argc != 3)
		usage("syscalls COUNT | pingpong COUNT");
	count = atol(argv[2]);
	if (strcmp(argv[1], "syscalls") == 0)
		call(count);
	else
		play(count);
	printf("ns=%lld\n", (cpu_ns_of(RUSAGE_SELF) + cpu_ns_of(RUSAGE_CHILDREN) - begin) * 1000 / count);
	return 0;
}
