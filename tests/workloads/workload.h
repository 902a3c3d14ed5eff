/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the workloads share. A workload is a small program whose truth is known: it does exactly what its
 * comment says and prints its own witness as key=value lines on stdout. Where it can be steered, SIGUSR1 and
 * SIGUSR2 start its next step and SIGTERM ends it with status 0, so that waiting costs no system calls.
 */
#ifndef TASKMON_WORKLOAD_H
#define TASKMON_WORKLOAD_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC 1000000000ULL
#define NS_PER_MS 1000000ULL

#define unused __attribute__((unused))

static unused void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(125);
}

static unused void usage(const char *text)
{
	fprintf(stderr, "usage: %s %s\n", program_invocation_short_name, text);
	exit(124);
}

static unused uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/** Uses the CPU until a CPU clock (of the thread, of the process) shows this. */
static unused void burn_until(clockid_t clock, uint64_t ns)
{
	volatile unsigned sink = 0;

	while (clock_ns(clock) < ns)
		for (int i = 0; i < 10000; i++)
			sink += i;
}

/** Uses this much CPU time in this thread. */
static unused void burn(uint64_t ns)
{
	burn_until(CLOCK_THREAD_CPUTIME_ID, clock_ns(CLOCK_THREAD_CPUTIME_ID) + ns);
}

static unused sigset_t steering_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGTERM);
	return set;
}

/** To be called before the first thread is created: await_signal() takes these signals. */
static unused void block_signals(void)
{
	sigset_t set = steering_signals();

	sigprocmask(SIG_BLOCK, &set, NULL);
}

/** Sleeps until SIGUSR1, SIGUSR2 or SIGTERM comes and returns it. */
static unused int await_signal(void)
{
	sigset_t set = steering_signals();
	int sig;

	do
		sig = sigwaitinfo(&set, NULL);
	while (sig < 0 && errno == EINTR);
	return sig;
}

static unused pthread_t start_thread(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, run, arg);

	if (err) {
		errno = err;
		die("pthread_create");
	}
	return thread;
}

/** Reads `count` times `bytes` bytes (at most 64 KiB) from `fd`. */
static unused void do_reads(int fd, int count, size_t bytes)
{
	static __thread char buf[65536];

	for (int i = 0; i < count; i++)
		if (read(fd, buf, bytes) != (ssize_t)bytes)
			die("read");
}

/** Writes `count` times `bytes` bytes (at most 64 KiB) to `fd`. */
static unused void do_writes(int fd, int count, size_t bytes)
{
	static __thread char buf[65536];

	for (int i = 0; i < count; i++)
		if (write(fd, buf, bytes) != (ssize_t)bytes)
			die("write");
}
#endif
