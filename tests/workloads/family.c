// SPDX-License-Identifier: BSD-2-Clause
/*
 * family CHILDREN
 *
 * A family whose head dies early: the program forks "heir" and ends at once with status 2. When its parent is gone, heir forks CHILDREN
 * children, one after the other, named "child", each of which reads 101 bytes 7 times and ends with status 11; then heir ends with
 * status 13.
 *
 *   pid=PID       of the program
 *   heir=PID
 *   children=N    by heir, at its end
 */
#include "workload.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int heir(pid_t parent, int children)
{
	int status;

	prctl(PR_SET_NAME, "heir");
	printf("heir=%d\n", getpid());
	while (getppid() == parent)
		usleep(1000);
	for (int i = 0; i < children; i++) {
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (pid < 0)
			die("fork");
		if (pid == 0) {
			prctl(PR_SET_NAME, "child");
			do_reads(open("/dev/zero", O_RDONLY), 7, 101);
			_exit(11);
		}
		if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 11)
			die("child");
	}
	printf("children=%d\n", children);
	fflush(stdout);
	return 13;
}

int main(int argc, char **argv)
{
	pid_t self = getpid(), pid;

	if (argc != 2)
		usage("CHILDREN");
	printf("pid=%d\n", self);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	return pid ? 2 : heir(self, atoi(argv[1]));
}
