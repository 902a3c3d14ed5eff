// SPDX-License-Identifier: BSD-2-Clause
/*
 * ledger [FILE]
 *
 * Exact numbers. On each SIGUSR1: 23 reads of 101 bytes (/dev/zero), 17 writes of 211 bytes (/dev/null), 31 pages
 * of new memory touched, 13 descriptors opened and kept; with FILE also 5 writes of 4096 bytes to it, synced. It
 * makes no other read or write: a round is over when /proc/PID/io says so. Ends on SIGTERM.
 *
 *   pid=PID
 */
#include "workload.h"

#include <fcntl.h>
#include <sys/mman.h>

static void touch_pages(int count)
{
	long page = sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, count * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	madvise(p, count * page, MADV_NOHUGEPAGE);
	for (int i = 0; i < count; i++)
		p[i * page] = 1;
}

int main(int argc, char **argv)
{
	int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY), file = -1;

	if (argc > 1 && (file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600)) < 0)
		die(argv[1]);
	block_signals();
	printf("pid=%d\n", getpid());
	fflush(stdout);
	while (await_signal() != SIGTERM) {
		touch_pages(31);
		for (int i = 0; i < 13; i++)
			if (dup(null) < 0)
				die("dup");
		do_reads(zero, 23, 101);
		if (file >= 0) {
			do_writes(file, 5, 4096);
			fsync(file);
		}
		do_writes(null, 17, 211);
	}
	return 0;
}
