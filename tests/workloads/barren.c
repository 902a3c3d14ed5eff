// SPDX-License-Identifier: BSD-2-Clause
/*
 * barren
 *
 * Unmaps its C library and whatever else is mapped of files, but for its own program, on the first SIGUSR1. From then on it makes
 * its system calls by itself: on each SIGUSR1 it reads 101 bytes 23 times. Ends on SIGTERM.
 *
 *   pid=PID
 *   round=N     after each SIGUSR1; the first one unmaps, before it reads
 */
#include "workload.h"

#include <fcntl.h>
#include <sys/mman.h>

#define RANGES_MAX 64

static struct range {
	unsigned long begin, end;
} ranges[RANGES_MAX];
static int range_count;

/* Nothing of what follows may call the library, memcpy() and the like included. */
static inline __attribute__((always_inline)) long call(long number, long a, long b, long c, long d)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
#else
#error "system calls of this machine"
#endif
}

static __attribute__((noinline, optimize("no-tree-loop-distribute-patterns"))) void live_without(const sigset_t *set, int zero)
{
	static char text[] = "round=0\n", bytes[101];

	while (call(SYS_rt_sigtimedwait, (long)set, 0, 0, 8) != SIGTERM) {
		for (int i = 0; i < range_count; i++)
			call(SYS_munmap, (long)ranges[i].begin, (long)(ranges[i].end - ranges[i].begin), 0, 0);
		range_count = 0;
		for (int i = 0; i < 23; i++)
			call(SYS_read, zero, (long)bytes, sizeof(bytes), 0);
		text[6]++;
		call(SYS_write, 1, (long)text, sizeof(text) - 1, 0);
	}
	call(SYS_exit_group, 0, 0, 0, 0);
}

static void find_ranges(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[4096], path[4096], own[4096] = "";

	if (!maps || readlink("/proc/self/exe", own, sizeof(own) - 1) < 0)
		die("maps");
	while (fgets(line, sizeof(line), maps)) {
		struct range *range = &ranges[range_count];

		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %4095s", &range->begin, &range->end, path) == 3 && path[0] == '/' &&
		    strcmp(path, own) != 0 && range_count < RANGES_MAX - 1)
			range_count++;
	}
	fclose(maps);
}

int main(void)
{
	int zero = open("/dev/zero", O_RDONLY);
	sigset_t set = steering_signals();

	block_signals();
	find_ranges();
	printf("pid=%d\n", getpid());
	fflush(stdout);
	live_without(&set, zero);
	return 0;
}
