// SPDX-License-Identifier: BSD-2-Clause
/*
 * rename NAME...
 *
 * Takes the first NAME as its name (prctl PR_SET_NAME: any bytes, 15 of them at most), then the next on every
 * SIGUSR1. Ends on SIGTERM.
 *
 *   pid=PID       once the first name is set
 *   renamed=N     after each further name
 */
#include "workload.h"

#include <sys/prctl.h>

int main(int argc, char **argv)
{
	if (argc < 2)
		usage("NAME...");
	block_signals();
	prctl(PR_SET_NAME, argv[1]);
	printf("pid=%d\n", getpid());
	fflush(stdout);
	for (int i = 2; await_signal() != SIGTERM;) {
		if (i < argc)
			prctl(PR_SET_NAME, argv[i++]);
		printf("renamed=%d\n", i - 2);
		fflush(stdout);
	}
	return 0;
}
