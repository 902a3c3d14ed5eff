// SPDX-License-Identifier: BSD-2-Clause
/*
 * server PROCESSES
 *
 * A server of so many processes, numbered from 0. Every 10 ms each uses 0.1 ms of CPU and writes 101 bytes of log. On top of
 * that, from one signal to the next of the same kind, the process that got it
 *
 *   SIGUSR1   spins: works instead of sleeping
 *   SIGUSR2   leaks 128 KiB in every 10 ms, up to 64 MiB; then gives everything back
 *   SIGHUP    writes 64 KiB in every 10 ms
 *
 * It writes to a file in memory, so that no disk slows it down. SIGTERM to the first process ends all.
 *
 *   pidN=PID                          of process N
 *   spinsN=0|1 leaksN=0|1 writesN=0|1 at the start and after each signal
 */
#include "workload.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { STEP_MS = 10, LOG_BYTES = 101, BURST_BYTES = 64 << 10, LEAK_BYTES = 128 << 10, LEAK_MAX = 64 << 20, PROCESSES_MAX = 16 };

static volatile int spins, leaks, writes;

static char *leak(char *memory, size_t *used)
{
	if (!memory)
		memory = mmap(NULL, LEAK_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	if (*used < LEAK_MAX) {
		memset(memory + *used, 1, LEAK_BYTES);
		*used += LEAK_BYTES;
	}
	return memory;
}

static void *serve(void *arg unused)
{
	const struct timespec pause = { 0, STEP_MS * NS_PER_MS };
	static char bytes[BURST_BYTES];
	char *memory = NULL;
	size_t used = 0;
	int fd = memfd_create("log", 0);

	if (fd < 0)
		die("memfd_create");
	for (;;) {
		size_t size = writes ? BURST_BYTES : LOG_BYTES;

		if (pwrite(fd, bytes, size, 0) != (ssize_t)size)
			die("pwrite");
		if (leaks) {
			memory = leak(memory, &used);
		} else if (memory) {
			munmap(memory, LEAK_MAX);
			memory = NULL;
			used = 0;
		}
		burn(spins ? STEP_MS * NS_PER_MS : NS_PER_MS / 10);
		if (!spins)
			nanosleep(&pause, NULL);
	}
	return NULL;
}

static void tell(int number)
{
	printf("spins%d=%d leaks%d=%d writes%d=%d\n", number, spins, number, leaks, number, writes);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	pid_t children[PROCESSES_MAX];
	int processes = argc == 2 ? atoi(argv[1]) : 0, number = 0, sig;
	sigset_t set = steering_signals();

	if (processes < 1 || processes > PROCESSES_MAX)
		usage("PROCESSES");
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 1; i < processes && number == 0; i++) {
		children[i] = fork();
		if (children[i] < 0)
			die("fork");
		if (children[i] == 0)
			number = i;
	}
	start_thread(serve, NULL);
	printf("pid%d=%d ", number, getpid());
	tell(number);
	while ((sig = sigwaitinfo(&set, NULL)) != SIGTERM) {
		if (sig == SIGUSR1)
			spins = !spins;
		else if (sig == SIGUSR2)
			leaks = !leaks;
		else if (sig == SIGHUP)
			writes = !writes;
		tell(number);
	}
	for (int i = 1; i < processes && number == 0; i++) {
		kill(children[i], SIGTERM);
		waitpid(children[i], NULL, 0);
	}
	return 0;
}
