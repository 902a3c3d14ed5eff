// SPDX-License-Identifier: BSD-2-Clause
/*
 * storm DEPTH THREADS EXECS
 *
 * On each SIGUSR1 three children storm at the same time, and it waits until all is over:
 * - a bomb that doubles DEPTH times: every process creates two, so that there are 2^(DEPTH+1)-1 of them;
 * - one that creates THREADS threads, 16 at a time, which end at once;
 * - one that executes itself EXECS times.
 * Ends on SIGTERM.
 *
 *   pid=PID
 *   storms=N bomb=PID threads=PID execs=PID   after each SIGUSR1; the children of this one
 */
#include "workload.h"

#include <sys/wait.h>

#define AT_A_TIME 16

static void reap_all(void)
{
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

static void bomb(int depth)
{
	for (int i = 0; depth > 0 && i < 2; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			bomb(depth - 1);
			_exit(0);
		}
	}
	reap_all();
}

static void *nothing(void *arg unused)
{
	return NULL;
}

static void begin_threads(int count)
{
	while (count > 0) {
		int now = count < AT_A_TIME ? count : AT_A_TIME;
		pthread_t threads[AT_A_TIME];

		for (int i = 0; i < now; i++)
			threads[i] = start_thread(nothing, NULL);
		for (int i = 0; i < now; i++)
			pthread_join(threads[i], NULL);
		count -= now;
	}
}

static void execute(int times)
{
	char text[16];

	if (times == 0)
		return;
	snprintf(text, sizeof(text), "%d", times - 1);
	execl("/proc/self/exe", program_invocation_name, text, NULL);
	die("exec");
}

static pid_t begin(void (*run)(int), int count)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	run(count);
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc == 2) {
		execute(atoi(argv[1]));
		return 0;
	}
	if (argc != 4)
		usage("DEPTH THREADS EXECS");
	block_signals();
	printf("pid=%d\n", getpid());
	fflush(stdout);
	for (int storms = 1; await_signal() != SIGTERM; storms++) {
		pid_t first = begin(bomb, atoi(argv[1])), second = begin(begin_threads, atoi(argv[2])),
		      third = begin(execute, atoi(argv[3]));

		reap_all();
		printf("storms=%d bomb=%d threads=%d execs=%d\n", storms, first, second, third);
		fflush(stdout);
	}
	return 0;
}
