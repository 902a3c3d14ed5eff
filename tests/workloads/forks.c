// SPDX-License-Identifier: BSD-2-Clause
/*
 * forks COUNT [together]
 *
 * On each SIGUSR1 it creates COUNT processes, one after the other, that end at once with status 0; or when all have been
 * created. Ends on SIGTERM.
 *
 *   pid=PID
 *   forks=N     after each SIGUSR1, in all
 */
#include "workload.h"

#include <stdbool.h>
#include <sys/wait.h>

static void reap(pid_t pid)
{
	if (waitpid(pid, NULL, 0) < 0)
		die("waitpid");
}

static void create(int count, bool together)
{
	int gate[2];
	char byte;

	if (pipe(gate))
		die("pipe");
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			close(gate[1]);
			if (together && read(gate[0], &byte, 1) < 0) /* its end, when the last writer has closed it */
				die("read");
			_exit(0);
		}
		if (!together)
			reap(pid);
	}
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; together && i < count; i++)
		reap(-1);
}

int main(int argc, char **argv)
{
	int count, done = 0;

	if (argc != 2 && argc != 3)
		usage("COUNT [together]");
	count = atoi(argv[1]);
	block_signals();
	printf("pid=%d\n", getpid());
	fflush(stdout);
	while (await_signal() != SIGTERM) {
		create(count, argc == 3);
		done += count;
		printf("forks=%d\n", done);
		fflush(stdout);
	}
	return 0;
}
