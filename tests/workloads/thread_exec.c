// SPDX-License-Identifier: BSD-2-Clause
/*
 * thread_exec
 *
 * A process of four threads: the main thread, two that sleep and "caller". The main thread uses 31 ms of CPU and reads
 * 7 times 101 bytes. On SIGUSR1 the caller uses 97 ms, reads 23 times 101 bytes and executes this program again
 * as "thread_exec after", which makes the kernel end the other threads and give the caller the tid of the main
 * thread. The new program waits; on SIGUSR1 it uses 43 ms and reads 17 times; on SIGTERM it ends with status 29.
 *
 *   pid=PID
 *   caller_tid=TID
 *   after_pid=PID after_tid=TID     printed by the new program
 *   done=1 cpu_ns=PROCESS           after its SIGUSR1
 */
#include "workload.h"

#include <fcntl.h>

static int zero;
static pthread_barrier_t started;

static void *idle(void *arg unused)
{
	pthread_barrier_wait(&started);
	for (;;)
		pause();
	return NULL;
}

static void *call(void *arg unused)
{
	pthread_setname_np(pthread_self(), "caller");
	printf("caller_tid=%ld\n", syscall(SYS_gettid));
	fflush(stdout);
	pthread_barrier_wait(&started);
	if (await_signal() == SIGTERM)
		_exit(0);
	burn(97 * NS_PER_MS);
	do_reads(zero, 23, 101);
	execl("/proc/self/exe", "thread_exec", "after", NULL);
	die("execl");
	return NULL;
}

static int after(void)
{
	printf("after_pid=%d after_tid=%ld\n", getpid(), syscall(SYS_gettid));
	fflush(stdout);
	while (await_signal() != SIGTERM) {
		burn(43 * NS_PER_MS);
		do_reads(zero, 17, 101);
		printf("done=1 cpu_ns=%llu\n", (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID));
		fflush(stdout);
	}
	return 29;
}

int main(int argc, char **argv)
{
	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	block_signals();
	if (argc > 1 && !strcmp(argv[1], "after"))
		return after();
	printf("pid=%d\n", getpid());
	fflush(stdout);
	burn(31 * NS_PER_MS);
	do_reads(zero, 7, 101);
	pthread_barrier_init(&started, NULL, 4);
	start_thread(idle, NULL);
	start_thread(idle, NULL);
	start_thread(call, NULL);
	pthread_barrier_wait(&started);
	for (;;)
		pause();
}
