// SPDX-License-Identifier: BSD-2-Clause
/*
 * pid_reuse [PID]
 *
 * Needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE: it chooses process ids with clone3(set_tid).
 *
 * Without PID: two processes, one after the other, with the same process id. The first is named "first", reads 23 times 101 bytes
 * and ends with status 3; the second is named "second", reads 41 times 101 bytes and ends with status 5. Both live
 * for a few milliseconds and use 2 ms of CPU.
 *   pid=PID         of the program itself
 *   reused=PID      of both children
 *
 * With PID: a process with that id, which sleeps until the program gets SIGTERM.
 *   took=PID        0 if somebody else has it
 */
#include "workload.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/** Forks; with `pid` the child gets that process id. Returns as fork() does. */
static pid_t fork_as(pid_t pid)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	if (pid) {
		args.set_tid = (uintptr_t)&pid;
		args.set_tid_size = 1;
	}
	return syscall(SYS_clone3, &args, sizeof(args));
}

static void child(const char *name, int reads, int status)
{
	int zero = open("/dev/zero", O_RDONLY);

	prctl(PR_SET_NAME, name);
	do_reads(zero, reads, 101);
	burn(2 * NS_PER_MS);
	_exit(status);
}

static int take(pid_t wanted)
{
	pid_t pid = fork_as(wanted);

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	if (pid < 0 && errno != EEXIST)
		die("clone3");
	printf("took=%d\n", pid < 0 ? 0 : pid);
	fflush(stdout);
	while (await_signal() != SIGTERM)
		;
	return 0;
}

int main(int argc, char **argv)
{
	pid_t pid, again;

	block_signals();
	if (argc > 1)
		return take(atoi(argv[1]));
	/* Somebody else may take the number in between; then all of it starts over with a new one. */
	for (int attempt = 0; attempt < 23; attempt++) {
		pid = fork_as(0);
		if (pid == 0)
			child("first", 23, 3);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("first");
		again = fork_as(pid);
		if (again == 0)
			child("second", 41, 5);
		if (again < 0 && errno == EEXIST)
			continue;
		if (again != pid || waitpid(again, NULL, 0) != pid)
			die("second");
		printf("pid=%d\nreused=%d\n", getpid(), pid);
		fflush(stdout);
		return 0;
	}
	die("no process id to be had twice");
}
