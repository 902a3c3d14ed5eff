// SPDX-License-Identifier: BSD-2-Clause
/*
 * offspring
 *
 * On each SIGUSR1 it creates 7 processes with fork(), 5 with vfork() and 5 with clone3(), 4 of the first 7 from a second thread; tries
 * 3 times to create one in vain; and creates 19 threads, that one included. On SIGUSR2 it tries 3 times to execute what does
 * not exist, then executes itself, until it has done so 5 times. Ends on SIGTERM.
 *
 *   pid=PID
 *   rounds=N     after each SIGUSR1, in all since the last exec
 *   execs=5      after the fifth exec
 */
#include "workload.h"

#include <linux/sched.h>
#include <sys/wait.h>

#define EXECS 5

static void reap(pid_t pid)
{
	if (pid < 0)
		die("a child");
	if (waitpid(pid, NULL, 0) != pid)
		die("waitpid");
}

static pid_t clone3(uint64_t flags)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };

	return syscall(SYS_clone3, &args, sizeof(args));
}

static void fork_times(int count)
{
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		reap(pid);
	}
}

/* not inlined: variables of the caller may be clobbered */
static __attribute__((noinline)) pid_t vfork_once(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(0);
	return pid;
}

static void *fork_in_thread(void *arg unused)
{
	fork_times(4);
	return NULL;
}

static void *nothing(void *arg unused)
{
	return NULL;
}

static void multiply(void)
{
	pthread_join(start_thread(fork_in_thread, NULL), NULL);
	for (int i = 0; i < 18; i++)
		pthread_join(start_thread(nothing, NULL), NULL);
	fork_times(3);
	for (int i = 0; i < 5; i++)
		reap(vfork_once());
	for (int i = 0; i < 5; i++) {
		pid_t pid = clone3(0);

		if (pid == 0)
			_exit(0);
		reap(pid);
	}
	for (int i = 0; i < 3; i++)
		if (clone3(CLONE_THREAD) != -1) /* which needs CLONE_SIGHAND */
			die("a clone that should fail");
}

static void execute(int done)
{
	char text[16];

	for (int i = 0; i < 3; i++)
		execl("/nonexistent/program", "program", NULL);
	snprintf(text, sizeof(text), "%d", done + 1);
	execl("/proc/self/exe", program_invocation_name, text, NULL);
	die("exec");
}

int main(int argc, char **argv)
{
	int done = argc > 1 ? atoi(argv[1]) : 0, rounds = 0, sig;

	block_signals();
	if (done > 0 && done < EXECS)
		execute(done);
	printf("%s=%d\n", done ? "execs" : "pid", done ? done : getpid());
	fflush(stdout);
	while ((sig = await_signal()) != SIGTERM) {
		if (sig == SIGUSR2)
			execute(0);
		multiply();
		printf("rounds=%d\n", ++rounds);
		fflush(stdout);
	}
	return 0;
}
