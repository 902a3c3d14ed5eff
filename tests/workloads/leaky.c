/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * leaky MODE [ARG...]: functions that keep some of what they allocate, called a known number of times.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FUNCTION __attribute__((noinline, noclone))

static void *volatile kept;
static jmp_buf out;

FUNCTION void leak(int blocks)
{
	for (int i = 0; i < blocks; i++) {
		kept = malloc(1000);
		free(kept);
		kept = malloc(100);
	}
	__asm__ volatile("");
}

static FUNCTION void hidden_leak(int bytes)
{
	kept = malloc((size_t)bytes);
	__asm__ volatile("");
}

FUNCTION int recurse(int depth)
{
	int below = 0;

	kept = malloc(10);
	if (depth > 1)
		below = recurse(depth - 1);
	__asm__ volatile("" : "+r"(below));
	return below + 1;
}

FUNCTION int second(int bytes)
{
	kept = malloc((size_t)bytes);
	__asm__ volatile("");
	return bytes;
}

FUNCTION int first(int bytes)
{
	kept = malloc(1);
	return second(bytes);
}

/* Does `first` end with a jump to `second`? */
static bool is_tail_call(void)
{
	const uint8_t *code = (const uint8_t *)first;

	for (int i = 0; i < 64; i++) {
		int32_t distance;

		memcpy(&distance, code + i + 1, sizeof(distance));
		if ((code[i] == 0xe9 && code + i + 5 + distance == (const uint8_t *)second) ||
		    (code[i] == 0xeb && code + i + 2 + (int8_t)code[i + 1] == (const uint8_t *)second))
			return true;
	}
	return false;
}

FUNCTION void jump_out(int bytes)
{
	kept = malloc((size_t)bytes);
	longjmp(out, 1);
}

FUNCTION void typed(int number, char *text, const char *name, unsigned long large, int8_t small, bool yes, long seventh,
		    const char *eighth, unsigned short ninth)
{
	__asm__ volatile(""
			 :
			 : "r"(number), "r"(text), "r"(name), "r"(large), "r"((int)small), "r"((int)yes), "r"(seventh), "r"(eighth),
			   "r"((int)ninth)
			 : "memory");
}

/* On a page of their own, which nothing has touched before the first call. */
static const char untouched[8192] __attribute__((aligned(4096))) = "in a page that nobody has read";

static void *many_leaks(void *argument)
{
	for (int i = 0; i < 53; i++)
		leak(*(int *)argument);
	return NULL;
}

static int run_leak(char **arguments)
{
	int calls = atoi(arguments[0]), blocks = atoi(arguments[1]);

	for (int i = 0; i < calls; i++)
		leak(blocks);
	return 0;
}

static int run_hidden(char **arguments)
{
	for (int i = 0; i < atoi(arguments[0]); i++)
		hidden_leak(17);
	return 0;
}

static int run_recurse(char **arguments)
{
	for (int i = 0; i < atoi(arguments[1]); i++)
		recurse(atoi(arguments[0]));
	return 0;
}

static int run_tail(char **arguments)
{
	(void)arguments;
	printf("tail_call=%d\n", is_tail_call());
	for (int i = 0; i < 5; i++)
		first(40 + i);
	return 0;
}

static int run_jump(char **arguments)
{
	for (volatile int i = 0; i < atoi(arguments[0]); i++)
		if (setjmp(out) == 0)
			jump_out(23);
	leak(1);
	return 0;
}

static int run_threads(char **arguments)
{
	int blocks[2] = { 2, 5 };
	pthread_t threads[2];

	(void)arguments;
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, many_leaks, &blocks[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static int run_library(char **arguments)
{
	void *library = dlopen(arguments[0], RTLD_NOW);
	void (*library_leak)(int) = library ? (void (*)(int))dlsym(library, "library_leak") : NULL;

	if (!library_leak) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	for (int i = 0; i < 7; i++)
		library_leak(31);
	return 0;
}

static int run_typed(char **arguments)
{
	char label[16] = "0123456789abcde";

	(void)arguments;
	typed(-5, label, untouched, 0xfedcba9876543210, -128, true, -7000000000, "on, \"the\" stack", 65535);
	typed(7, NULL, "b", 1, 127, false, 0, (const char *)8, 1);
	return 0;
}

/* Waits for a signal, then a child calls, when it is told to. */
static int run_fork(char **arguments)
{
	sigset_t set;
	int number;
	pid_t child;

	(void)arguments;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	child = fork();
	if (child == 0) {
		sigwait(&set, &number);
		leak(3);
		_exit(0);
	}
	printf("child=%d\n", (int)child);
	fflush(stdout);
	waitpid(child, NULL, 0);
	return 0;
}

static int run_wait(char **arguments)
{
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("ready=1\n");
	fflush(stdout);
	sigwait(&set, &number);
	return run_leak(arguments);
}

/* Waits for a signal, calls second(), and stays until it is told to end by another one. */
static int run_many(char **arguments)
{
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("pid=%d\nbegun=1\n", (int)getpid());
	fflush(stdout);
	sigwait(&set, &number);
	for (int i = 0; i < atoi(arguments[0]); i++)
		second(0);
	printf("done=1\n");
	return 0;
}

static const struct {
	const char *name;
	int (*run)(char **arguments);
} modes[] = {
	{ "leak", run_leak }, { "hidden", run_hidden },   { "recurse", run_recurse }, { "tail", run_tail },
	{ "jump", run_jump }, { "threads", run_threads }, { "library", run_library }, { "typed", run_typed },
	{ "fork", run_fork }, { "wait", run_wait },       { "many", run_many },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].name, argv[1]) == 0)
			return modes[i].run(argv + 2);
	fprintf(stderr, "usage: leaky MODE [ARG...]\n");
	return 2;
}
