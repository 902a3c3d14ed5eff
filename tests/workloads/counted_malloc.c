// SPDX-License-Identifier: BSD-2-Clause
/*
 * counted_malloc
 *
 * Has a malloc family of its own, which only counts what comes by from the dynamic linker, the library and itself, and hands it on to the library's. On
 * SIGUSR1 it allocates 11 blocks of 211 bytes more and prints its ledger since the process began:
 *
 *   pid=PID
 *   times=BLOCKS count=ALLOCATIONS round=N
 */
#include "workload.h"

extern void *__libc_malloc(size_t size), *__libc_calloc(size_t count, size_t size), *__libc_realloc(void *address, size_t size);
extern void __libc_free(void *address);

static long times, count;

static void *counted(void *address)
{
	times += address != NULL;
	count += address != NULL;
	return address;
}

void *malloc(size_t size)
{
	return counted(__libc_malloc(size));
}

void *calloc(size_t number, size_t size)
{
	return counted(__libc_calloc(number, size));
}

void *realloc(void *address, size_t size)
{
	times -= address != NULL;
	return counted(__libc_realloc(address, size));
}

void free(void *address)
{
	times -= address != NULL;
	__libc_free(address);
}

int main(void)
{
	static void *volatile block;
	char line[128];
	int round = 0;

	block_signals();
	snprintf(line, sizeof(line), "pid=%d\n", getpid());
	if (write(1, line, strlen(line)) < 0)
		die("write");
	while (await_signal() != SIGTERM) {
		for (int i = 0; i < 11; i++)
			block = malloc(211);
		snprintf(line, sizeof(line), "times=%ld count=%ld round=%d\n", times, count, ++round);
		if (!block || write(1, line, strlen(line)) < 0)
			die("write");
	}
	_exit(0);
}
