// SPDX-License-Identifier: BSD-2-Clause
/*
 * pages FILE COUNT
 *
 * The page cache, used by a thread that is not the main one. On SIGUSR1 it drops FILE from the cache and reads COUNT pages
 * of it, one by one and without reading ahead; on SIGUSR2 it drops it and writes COUNT pages, one by one. Ends on SIGTERM.
 *
 *   pid=PID tid=THREAD
 *   round=N dropped=PAGES cached=PAGES   after each round: cached pages of FILE at its beginning (0) and end, by mincore(2)
 */
#include "workload.h"

#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>

static int fd, count;
static size_t page, bytes;
static unsigned char *map;
static char *buffer;
static sem_t go;
static volatile int shall_write;

static int cached(void)
{
	unsigned char in_core[bytes / page];
	int sum = 0;

	if (mincore(map, bytes, in_core))
		die("mincore");
	for (size_t i = 0; i < bytes / page; i++)
		sum += in_core[i] & 1;
	return sum;
}

static void *use_pages(void *arg unused)
{
	printf("pid=%d tid=%ld\n", getpid(), syscall(SYS_gettid));
	fflush(stdout);
	for (int round = 1; sem_wait(&go) == 0; round++) {
		int dropped;

		if (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) || posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM))
			die("drop");
		dropped = cached();
		for (int i = 0; i < count; i++) {
			off_t at = (off_t)i * page;

			if ((shall_write ? pwrite(fd, buffer, page, at) : pread(fd, buffer, page, at)) != (ssize_t)page)
				die("page");
		}
		printf("round=%d dropped=%d cached=%d\n", round, dropped, cached());
		fflush(stdout);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int sig;

	if (argc != 3)
		usage("FILE COUNT");
	fd = open(argv[1], O_RDWR);
	if (fd < 0)
		die(argv[1]);
	page = sysconf(_SC_PAGESIZE);
	count = atoi(argv[2]);
	bytes = lseek(fd, 0, SEEK_END) / page * page;
	map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || posix_memalign((void **)&buffer, page, page))
		die("memory");
	sem_init(&go, 0, 0);
	block_signals();
	start_thread(use_pages, NULL);
	while ((sig = await_signal()) != SIGTERM) {
		shall_write = sig == SIGUSR2;
		sem_post(&go);
	}
	return 0;
}
