// SPDX-License-Identifier: BSD-2-Clause
/*
 * forks COUNT
 *
 * On each SIGUSR1 it creates COUNT processes, one after the other, that end at once with status 0. Ends on SIGTERM.
 *
 *   pid=PID
 *   forks=N     after each SIGUSR1, in all
 */
#include "workload.h"

#include <sys/wait.h>

int main(int argc, char **argv)
{
	int count, done = 0;

	if (argc != 2)
		usage("COUNT");
	count = atoi(argv[1]);
	block_signals();
	printf("pid=%d\n", getpid());
	fflush(stdout);
	while (await_signal() != SIGTERM) {
		for (int i = 0; i < count; i++, done++) {
			pid_t pid = fork();

			if (pid < 0)
				die("fork");
			if (pid == 0)
				_exit(0);
			if (waitpid(pid, NULL, 0) != pid)
				die("waitpid");
		}
		printf("forks=%d\n", done);
		fflush(stdout);
	}
	return 0;
}
