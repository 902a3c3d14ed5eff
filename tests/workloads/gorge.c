// SPDX-License-Identifier: BSD-2-Clause
/*
 * gorge MIB
 *
 * On SIGUSR1 it fills MIB MiB of memory and keeps them. Ends on SIGTERM.
 *
 *   pid=PID
 *   ate=MIB      when they are filled
 */
#include "workload.h"

int main(int argc, char **argv)
{
	size_t bytes;
	char *p;

	if (argc != 2)
		usage("MIB");
	bytes = strtoul(argv[1], NULL, 10) << 20;
	block_signals();
	printf("pid=%d\n", getpid());
	fflush(stdout);
	while (await_signal() == SIGUSR1) {
		p = malloc(bytes);
		if (!p)
			die("malloc");
		memset(p, 1, bytes);
		*(volatile char *)p = 2;
		printf("ate=%s\n", argv[1]);
		fflush(stdout);
	}
	return 0;
}
