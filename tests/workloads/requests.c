// SPDX-License-Identifier: BSD-2-Clause
/*
 * requests FILE HOW COUNT
 *
 * Disk requests, made by a thread that is not the main one. On SIGUSR1 it makes COUNT calls, one after the other, each for
 * another 4096 bytes of FILE. HOW:
 *   read      from the disk itself (O_DIRECT)
 *   write     to the disk itself
 *   durable   write, and each has arrived before the call returns (O_DSYNC)
 *   cached    read through the page cache, from which FILE was dropped, without reading ahead
 *   synced    write to the page cache, then fsync
 *   large     read, but 1 MiB each
 *   flood     one io_submit(2) of COUNT reads of 512 bytes each; the next SIGUSR1 waits until all are complete
 * The thread ends on SIGUSR2, the process on SIGTERM.
 *
 *   pid=PID tid=THREAD
 *   round=N longest_ns=LONGEST_CALL   after each round
 */
#include "workload.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <semaphore.h>

enum { BLOCK = 4096, LARGE = 1 << 20, SECTOR = 512 };

static int fd, count;
static size_t call_bytes = BLOCK;
static char *buffer;
static const char *how;
static sem_t go;
static volatile int thread_shall_end;

static int is(const char *name)
{
	return strcmp(how, name) == 0;
}

static void call(int i)
{
	off_t at = (off_t)i * call_bytes;
	ssize_t size =
		is("read") || is("cached") || is("large") ? pread(fd, buffer, call_bytes, at) : pwrite(fd, buffer, call_bytes, at);

	if (size != (ssize_t)call_bytes || (is("synced") && fsync(fd)))
		die(how);
}

static uint64_t calls(void)
{
	uint64_t longest = 0;

	if (is("cached") && (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) || posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM)))
		die("posix_fadvise");
	for (int i = 0; i < count; i++) {
		uint64_t begin = clock_ns(CLOCK_MONOTONIC), length;

		call(i);
		length = clock_ns(CLOCK_MONOTONIC) - begin;
		longest = length > longest ? length : longest;
	}
	return longest;
}

/* Odd rounds submit, even ones wait; the time from one to the other is that of the longest request. */
static uint64_t flood(void)
{
	static struct iocb *iocbs, **list;
	static struct io_event *events;
	static aio_context_t context;
	static uint64_t begin;
	int done = 0;

	if (iocbs) {
		while (done < count) {
			int got = syscall(SYS_io_getevents, context, 1, count - done, events, NULL);

			if (got < 0)
				die("io_getevents");
			done += got;
		}
		return clock_ns(CLOCK_MONOTONIC) - begin;
	}
	iocbs = calloc(count, sizeof(*iocbs));
	list = calloc(count, sizeof(*list));
	events = calloc(count, sizeof(*events));
	for (int i = 0; i < count; i++) {
		list[i] = &iocbs[i];
		iocbs[i].aio_lio_opcode = IOCB_CMD_PREAD;
		iocbs[i].aio_fildes = fd;
		iocbs[i].aio_buf = (uintptr_t)buffer + (size_t)i % (LARGE / SECTOR) * SECTOR;
		iocbs[i].aio_nbytes = SECTOR;
		iocbs[i].aio_offset = (long long)i * SECTOR;
	}
	if (syscall(SYS_io_setup, count, &context))
		die("io_setup");
	begin = clock_ns(CLOCK_MONOTONIC);
	while (done < count) {
		int got = syscall(SYS_io_submit, context, count - done, list + done);

		if (got <= 0)
			die("io_submit");
		done += got;
	}
	return 0;
}

static void *requests(void *arg unused)
{
	printf("pid=%d tid=%ld\n", getpid(), syscall(SYS_gettid));
	fflush(stdout);
	for (int round = 1; sem_wait(&go) == 0 && !thread_shall_end; round++) {
		uint64_t longest = is("flood") ? flood() : calls();

		printf("round=%d longest_ns=%llu\n", round, (unsigned long long)longest);
		fflush(stdout);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int sig;

	if (argc != 4)
		usage("FILE HOW COUNT");
	how = argv[2];
	count = atoi(argv[3]);
	if (is("large"))
		call_bytes = LARGE;
	fd = open(argv[1], O_RDWR | (is("cached") || is("synced") ? 0 : O_DIRECT) | (is("durable") ? O_DSYNC : 0));
	if (fd < 0)
		die(argv[1]);
	if (posix_memalign((void **)&buffer, BLOCK, LARGE))
		die("posix_memalign");
	memset(buffer, 'x', LARGE);
	sem_init(&go, 0, 0);
	block_signals();
	start_thread(requests, NULL);
	while ((sig = await_signal()) != SIGTERM) {
		thread_shall_end = sig == SIGUSR2;
		sem_post(&go);
	}
	return 0;
}
