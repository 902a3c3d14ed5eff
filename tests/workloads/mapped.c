// SPDX-License-Identifier: BSD-2-Clause
/*
 * mapped PRIVATE SHARED FILE LAZY PATH
 *
 * Memory of each kind, in pages: PRIVATE that it has written; SHARED that it has written and a child has read; of the
 * new file PATH, FILE that it has read; LAZY that it has given back with MADV_FREE. On each SIGUSR1 PRIVATE more. SIGTERM
 * ends it, and the child with it.
 *
 *   pid=PID
 *   child=PID
 *   step=N       when N times PRIVATE pages are there, from 1
 */
#include "workload.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static size_t page;

static void write_pages(char *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		at[i * page] = 1;
}

static void read_pages(const volatile char *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		(void)at[i * page];
}

static char *map(size_t pages, int flags, int fd)
{
	char *at = mmap(NULL, pages * page, fd < 0 ? PROT_READ | PROT_WRITE : PROT_READ, flags, fd, 0);

	if (at == MAP_FAILED)
		die("mmap");
	madvise(at, pages * page, MADV_NOHUGEPAGE);
	return at;
}

static char *written(size_t pages, int sharing)
{
	char *at = map(pages, sharing | MAP_ANONYMOUS, -1);

	write_pages(at, pages);
	return at;
}

/* Forked before the rest is mapped, so that only the shared pages are shared. */
static pid_t share(const char *at, size_t pages)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) || (pid = fork()) < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		read_pages(at, pages);
		do_writes(ready[1], 1, 1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		die("the child");
	return pid;
}

static void map_file(const char *path, size_t pages)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		die(path);
	do_writes(fd, (int)pages, page);
	fsync(fd);
	read_pages(map(pages, MAP_PRIVATE, fd), pages);
}

int main(int argc, char **argv)
{
	size_t pages[4];
	char *shared;

	if (argc != 6)
		usage("PRIVATE SHARED FILE LAZY PATH");
	for (int i = 0; i < 4; i++)
		pages[i] = strtoul(argv[i + 1], NULL, 10);
	page = (size_t)sysconf(_SC_PAGESIZE);
	block_signals();
	shared = written(pages[1], MAP_SHARED);
	printf("pid=%d child=%d\n", getpid(), share(shared, pages[1]));
	fflush(stdout);
	map_file(argv[5], pages[2]);
	if (madvise(written(pages[3], MAP_PRIVATE), pages[3] * page, MADV_FREE))
		die("MADV_FREE");
	for (int step = 1;; step++) {
		written(pages[0], MAP_PRIVATE);
		printf("step=%d\n", step);
		fflush(stdout);
		if (await_signal() == SIGTERM)
			return 0;
	}
}
