// SPDX-License-Identifier: BSD-2-Clause
/*
 * spell
 *
 * A process that uses 1 ms of CPU in every 50, until SIGUSR1 makes it use all of one; SIGUSR2 makes it quiet again. Ends on
 * SIGTERM.
 *
 *   pid=PID
 *   spins=0|1     at the start and after each signal
 */
#include "workload.h"

static volatile int spins;

static void *work(void *arg unused)
{
	const struct timespec pause = { 0, 49 * NS_PER_MS };

	for (;;) {
		burn(NS_PER_MS);
		if (!spins)
			nanosleep(&pause, NULL);
	}
	return NULL;
}

static void tell(void)
{
	printf("spins=%d\n", spins);
	fflush(stdout);
}

int main(void)
{
	int sig;

	block_signals();
	start_thread(work, NULL);
	printf("pid=%d\n", getpid());
	tell();
	while ((sig = await_signal()) != SIGTERM) {
		spins = sig == SIGUSR1;
		tell();
	}
	return 0;
}
