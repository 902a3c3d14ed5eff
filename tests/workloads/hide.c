// SPDX-License-Identifier: BSD-2-Clause
/*
 * hide [PROGRAM [saved]]
 *
 * A process that its own user must not see any more. Without PROGRAM: SIGUSR1 makes it non-dumpable (prctl
 * PR_SET_DUMPABLE, as programs do that hold secrets), SIGUSR2 dumpable again. With PROGRAM, the path of a set-uid root
 * copy of this program: SIGUSR1 executes it, as "PROGRAM", so that its effective and saved user are root; or as
 * "PROGRAM saved", which gives up the effective one, so that only the saved one is, and is dumpable. Uses
 * 11 ms of CPU on every signal. Ends on SIGTERM.
 *
 *   pid=PID
 *   step=N uid=R,E,S dumpable=0|1     at the start and after each signal
 */
#include "workload.h"

#include <sys/prctl.h>

static void tell(int step)
{
	uid_t r, e, s;

	getresuid(&r, &e, &s);
	printf("step=%d uid=%d,%d,%d dumpable=%d\n", step, r, e, s, prctl(PR_GET_DUMPABLE));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int sig;

	if (argc > 3)
		usage("[PROGRAM [saved]]");
	if (argc == 2 && !strcmp(argv[1], "saved")) {
		if (seteuid(getuid()))
			die("seteuid");
		prctl(PR_SET_DUMPABLE, 1);
		argc = 1;
	}
	block_signals();
	printf("pid=%d\n", getpid());
	tell(0);
	for (int step = 1; (sig = await_signal()) != SIGTERM; step++) {
		burn(11 * NS_PER_MS);
		if (argc > 1) {
			execl(argv[1], "hide", argv[2], NULL); /* argv[2] is "saved" or the end */
			die(argv[1]);
		}
		prctl(PR_SET_DUMPABLE, sig == SIGUSR1 ? 0 : 1);
		tell(step);
	}
	return 0;
}
