// SPDX-License-Identifier: BSD-2-Clause
/*
 * refusals THREADS
 *
 * Exact numbers of system calls. On each SIGUSR1 thread N (from 1, the main thread) does N times: 11 reads that fail with
 * EBADF, 7 reads that fail with EAGAIN, 5 closes that fail with EBADF, and 41 getppid. On each SIGUSR2 thread N sends itself
 * 31 * N signals, one after the other, which it handles. At the end of a round every thread writes one byte to /dev/null,
 * so that a round is over when /proc/PID/io says so, and all threads sleep in sigwaitinfo(). SIGHUP ends all
 * threads but the main one, SIGTERM the program.
 *
 * Beside these a round takes of each thread: 1 write, 1 rt_sigtimedwait, and of the main thread 1 tgkill per other thread;
 * a handled signal takes 1 tgkill and 1 rt_sigreturn.
 *
 *   pid=PID
 *   tid.N=TID    one line per thread, before the first round
 */
#include "workload.h"

#include <fcntl.h>

#define MAX_THREADS 16

enum order { REFUSALS, SIGNALS, END };

static int empty[2], null_fd, threads;
static long tid[MAX_THREADS + 1];
static pthread_barrier_t started;

static void expect(long result, int error)
{
	if (result != -1 || errno != error)
		die("a call that should fail");
}

static void handler(int sig unused)
{
}

static void be_refused(int times)
{
	char c;

	for (int i = 0; i < 11 * times; i++)
		expect(syscall(SYS_read, -1, &c, 1), EBADF);
	for (int i = 0; i < 7 * times; i++)
		expect(syscall(SYS_read, empty[0], &c, 1), EAGAIN);
	for (int i = 0; i < 5 * times; i++)
		expect(syscall(SYS_close, -1), EBADF);
	for (int i = 0; i < 41 * times; i++)
		syscall(SYS_getppid);
}

static void obey(enum order order, int n)
{
	if (order == REFUSALS)
		be_refused(n);
	for (int i = 0; order == SIGNALS && i < 31 * n; i++)
		syscall(SYS_tgkill, tid[1], tid[n], SIGURG);
	if (write(null_fd, "", 1) != 1)
		die("write");
}

static void *thread_main(void *arg)
{
	int n = (int)(intptr_t)arg;
	enum order order;
	sigset_t orders;

	sigemptyset(&orders);
	for (order = REFUSALS; order <= END; order++)
		sigaddset(&orders, SIGRTMIN + order);
	tid[n] = syscall(SYS_gettid);
	pthread_barrier_wait(&started);
	while ((order = sigwaitinfo(&orders, NULL) - SIGRTMIN) != END)
		obey(order, n);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = handler };
	pthread_t thread[MAX_THREADS + 1];
	sigset_t mine, blocked;
	int sig;

	threads = argc == 2 ? atoi(argv[1]) : 0;
	if (threads < 1 || threads > MAX_THREADS)
		usage("THREADS");
	null_fd = open("/dev/null", O_WRONLY);
	if (pipe2(empty, O_NONBLOCK) || sigaction(SIGURG, &action, NULL))
		die("set-up");
	mine = steering_signals();
	sigaddset(&mine, SIGHUP);
	blocked = mine;
	for (int order = REFUSALS; order <= END; order++)
		sigaddset(&blocked, SIGRTMIN + order);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	pthread_barrier_init(&started, NULL, threads);
	tid[1] = getpid();
	for (int n = 2; n <= threads; n++)
		thread[n] = start_thread(thread_main, (void *)(intptr_t)n);
	pthread_barrier_wait(&started);
	printf("pid=%d\n", getpid());
	for (int n = 1; n <= threads; n++)
		printf("tid.%d=%ld\n", n, tid[n]);
	fflush(stdout);
	while ((sig = sigwaitinfo(&mine, NULL)) != SIGTERM) {
		enum order order = sig == SIGUSR1 ? REFUSALS : sig == SIGUSR2 ? SIGNALS : END;

		for (int n = 2; n <= threads; n++)
			syscall(SYS_tgkill, tid[1], tid[n], SIGRTMIN + order);
		if (order != END) {
			obey(order, 1);
			continue;
		}
		for (int n = 2; n <= threads; n++)
			pthread_join(thread[n], NULL);
		threads = 1;
	}
	return 0;
}
