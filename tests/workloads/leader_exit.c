// SPDX-License-Identifier: BSD-2-Clause
/*
 * leader_exit
 *
 * The main thread uses 53 ms of CPU, starts three threads (stay-0 to stay-2) and ends itself alone; the process
 * goes on. On each SIGUSR1 stay-0 uses 101 ms of CPU, reads 23 times 101 bytes and opens 7 descriptors.
 * On SIGTERM the process ends with status 19.
 *
 *   pid=PID
 *   tid.stay-N=TID           one line per thread
 *   step=N cpu_ns=PROCESS    after each SIGUSR1
 */
#include "workload.h"

#include <fcntl.h>

static pthread_barrier_t started;

static void announce(int n)
{
	char name[16];

	snprintf(name, sizeof(name), "stay-%d", n);
	pthread_setname_np(pthread_self(), name);
	for (int i = 0; i < 3; i++) {
		if (i == n) {
			printf("tid.%s=%ld\n", name, syscall(SYS_gettid));
			fflush(stdout);
		}
		pthread_barrier_wait(&started);
	}
}

static void *idle(void *arg)
{
	announce((intptr_t)arg);
	for (;;)
		pause();
	return NULL;
}

static void *act(void *arg)
{
	int zero = open("/dev/zero", O_RDONLY);

	announce((intptr_t)arg);
	for (int step = 1; await_signal() != SIGTERM; step++) {
		burn(101 * NS_PER_MS);
		do_reads(zero, 23, 101);
		for (int i = 0; i < 7; i++)
			if (dup(zero) < 0)
				die("dup");
		printf("step=%d cpu_ns=%llu\n", step, (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID));
		fflush(stdout);
	}
	_exit(19);
}

int main(void)
{
	block_signals();
	printf("pid=%d\n", getpid());
	fflush(stdout);
	burn(53 * NS_PER_MS);
	pthread_barrier_init(&started, NULL, 3);
	for (intptr_t i = 0; i < 3; i++)
		start_thread(i ? idle : act, (void *)i);
	syscall(SYS_exit, 0); /* the thread; pthread_exit() would load libgcc_s for it */
	return 0;
}
