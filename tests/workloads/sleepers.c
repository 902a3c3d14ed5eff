// SPDX-License-Identifier: BSD-2-Clause
/*
 * sleepers THREADS [PROCESSES]
 *
 * THREADS sleeping threads in each of PROCESSES processes (default 1), main threads included. They do nothing at all until
 * SIGTERM to the first process, which ends the others too.
 *
 *   pid=PID          one line per process
 *   ready=THREADS    when all of them exist, the total
 */
#include "workload.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define STACK_BYTES (32 * 1024)

static void *idle(void *arg unused)
{
	for (;;)
		pause();
	return NULL;
}

static void make_threads(int count)
{
	char *stacks =
		mmap(NULL, (size_t)count * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	pthread_attr_t attr;
	pthread_t thread;

	if (stacks == MAP_FAILED)
		die("mmap");
	pthread_attr_init(&attr);
	for (int i = 1; i < count; i++) {
		pthread_attr_setstack(&attr, stacks + (size_t)i * STACK_BYTES, STACK_BYTES);
		errno = pthread_create(&thread, &attr, idle, NULL);
		if (errno)
			die("pthread_create");
	}
}

int main(int argc, char **argv)
{
	int threads, processes, ready[2];
	char c;

	if (argc < 2)
		usage("THREADS [PROCESSES]");
	threads = atoi(argv[1]);
	processes = argc > 2 ? atoi(argv[2]) : 1;
	block_signals();
	if (pipe(ready))
		die("pipe");
	for (int i = 1; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		make_threads(threads);
		printf("pid=%d\n", getpid());
		fflush(stdout);
		if (write(ready[1], "", 1) != 1)
			die("write");
		close(ready[1]);
		await_signal();
		return 0;
	}
	make_threads(threads);
	close(ready[1]); /* so that it is read to its end if one of them fails */
	for (int i = 1; i < processes; i++)
		if (read(ready[0], &c, 1) != 1)
			die("read");
	printf("pid=%d\nready=%d\n", getpid(), threads * processes);
	fflush(stdout);
	while (await_signal() != SIGTERM)
		;
	return 0; /* the others get their SIGKILL */
}
