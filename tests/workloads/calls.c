// SPDX-License-Identifier: BSD-2-Clause
/*
 * calls loop COUNT [THREADS]
 * calls compat COUNT
 * calls script
 *
 * Known system calls. loop: on each SIGUSR1 thread N (from 1, the main thread) makes COUNT * N getppid at full speed,
 * each with N as its first argument. At the end of a round each thread but the main one waits for the next, in
 * sigwaitinfo(); the main thread waits for them in the same way, so that a round of the main thread is: leave
 * rt_sigtimedwait, a tgkill and an rt_sigtimedwait per other thread, its calls, and enter rt_sigtimedwait. Nothing is
 * printed after the ids; SIGTERM ends it.
 *
 * compat: the same with one thread and 32-bit calls (int 0x80) of getppid, number 64 there, from 64-bit code, with
 * 0x87654321 as the first argument.
 *
 * script: once and without waiting a fixed series of calls of many kinds: failing ones, numbers that do not exist,
 * 64-bit arguments, a handled signal, a thread, two children.
 *
 *   pid=PID
 *   tid.N=TID    one line per thread
 *   compat=0     the kernel has no 32-bit calls
 */
#include "workload.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define MAX_THREADS 16
#define COMPAT_GETPPID 64
#define COMPAT_ARGUMENT 0x87654321u

static long count, threads = 1, tid[MAX_THREADS + 1];
static pthread_barrier_t started;
static sigset_t orders;
static bool compat;

/* The system call instruction alone: nothing between two calls. */
static long call1(long number, long argument)
{
#ifdef __x86_64__
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(argument) : "rcx", "r11", "memory");
	return result;
#else
	return syscall(number, argument);
#endif
}

static unused long call_compat(int number, unsigned int argument)
{
#ifdef __x86_64__
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(argument) : "r8", "r9", "r10", "r11", "memory");
	return (int)result;
#else
	return -ENOSYS;
#endif
}

static sigjmp_buf no_compat;

static void on_no_compat(int sig unused)
{
	siglongjmp(no_compat, 1);
}

static bool has_compat(void)
{
	struct sigaction action = { .sa_handler = on_no_compat }, before;
	bool has = false;

	sigaction(SIGSEGV, &action, &before);
	if (sigsetjmp(no_compat, 1) == 0)
		has = call_compat(COMPAT_GETPPID, 0) == getppid();
	sigaction(SIGSEGV, &before, NULL);
	return has;
}

static void make_calls(long n)
{
	for (long i = 0; i < count * n; i++) {
		if (compat)
			call_compat(COMPAT_GETPPID, COMPAT_ARGUMENT);
		else
			call1(SYS_getppid, n);
	}
}

static void *thread_main(void *arg)
{
	long n = (long)(intptr_t)arg;

	tid[n] = syscall(SYS_gettid);
	pthread_barrier_wait(&started);
	while (sigwaitinfo(&orders, NULL) > 0) {
		make_calls(n);
		syscall(SYS_tgkill, tid[1], tid[1], SIGRTMIN);
	}
	return NULL;
}

static void loop(void)
{
	pthread_barrier_init(&started, NULL, threads);
	tid[1] = getpid();
	for (long n = 2; n <= threads; n++)
		start_thread(thread_main, (void *)(intptr_t)n);
	pthread_barrier_wait(&started);
	printf("pid=%d\n", getpid());
	for (long n = 1; n <= threads; n++)
		printf("tid.%ld=%ld\n", n, tid[n]);
	fflush(stdout);
	while (await_signal() != SIGTERM) {
		for (long n = 2; n <= threads; n++)
			syscall(SYS_tgkill, tid[1], tid[n], SIGRTMIN + 1);
		make_calls(1);
		for (long n = 2; n <= threads; n++)
			sigwaitinfo(&orders, NULL);
	}
}

/* --- script */

static void handler(int sig unused)
{
	call1(SYS_close, 0x7000000000000077);
}

static bool second_has_done;

static void *second_thread(void *unused_argument unused)
{
	for (long i = 0; i < 13; i++)
		call1(SYS_umask, i);
	__atomic_store_n(&second_has_done, true, __ATOMIC_RELEASE);
	call1(SYS_exit, 0);
	return NULL;
}

static void child(int n)
{
	if (n == 1) {
		for (long i = 0; i < 11; i++)
			call1(SYS_dup, 1L << (5 * i) | 0x7fffff00);
		call1(SYS_exit_group, 7);
	}
	execl("/bin/true", "true", (char *)NULL);
	_exit(9);
}

static void script(void)
{
	static const long odd[] = { -1, 1000, 511, 0x7fffffff, -2147483647 };
	struct sigaction action = { .sa_handler = handler };
	char c;

	for (long i = 0; i < 17; i++)
		call1(SYS_close, i << 44 | 0x7fffff00);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		call1(odd[i], 0xfedcba9876543210);
	if (read(-1, &c, 1) != -1 || close(77) != -1 || open("/nowhere/at/all", O_RDONLY) != -1)
		die("a call that should fail");
	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 3; i++)
		syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
	if (mmap((void *)0x700000000000, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
	munmap((void *)0x700000000000, 8192);
	start_thread(second_thread, NULL);
	while (!__atomic_load_n(&second_has_done, __ATOMIC_ACQUIRE))
		; /* waiting would take a call, or not, as it happens */
	for (int n = 1; n <= 2; n++) {
		pid_t pid = fork();

		if (pid == 0)
			child(n);
		if (waitpid(pid, NULL, 0) != pid)
			die("waitpid");
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "script") == 0) {
		script();
		return 0;
	}
	if (argc < 3 || argc > 4)
		usage("loop COUNT [THREADS] | compat COUNT | script");
	compat = strcmp(argv[1], "compat") == 0;
	count = atol(argv[2]);
	threads = argc > 3 ? atol(argv[3]) : 1;
	if (threads < 1 || threads > MAX_THREADS || count < 1)
		usage("loop COUNT [THREADS] | compat COUNT | script");
	if (compat && !has_compat()) {
		printf("compat=0\n");
		return 0;
	}
	block_signals();
	sigemptyset(&orders);
	sigaddset(&orders, SIGRTMIN);
	sigaddset(&orders, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &orders, NULL);
	loop();
	return 0;
}
