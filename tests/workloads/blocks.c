// SPDX-License-Identifier: BSD-2-Clause
/*
 * blocks THREADS [free | fork | vfork | exec | leave] [PREFIX]
 *
 * Allocates with every function of the malloc family and keeps a ledger of its own. On each SIGUSR1 every thread gives back one block that it
 * still has of the round before (none in the first), then gets 23 blocks and gives back 16, so that 7 leak; it also makes calls
 * that must fail or do nothing. Then it waits, and allocates nothing to print:
 *
 *   size=BYTES times=BLOCKS count=ALLOCATIONS bytes=BYTES round=N
 *
 * On SIGUSR2: free, gives back 5 blocks that it had from the beginning, which are not in its ledger; fork, goes on as a child, too, whose
 * keys have the prefix `c.` and which has one thread; vfork, a child executes true; exec, executes itself with the prefix `x.`;
 * leave, the main thread exits, which does nothing else then. Then it prints action=1. Ends on SIGTERM.
 */
#include "workload.h"

#include <malloc.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/wait.h>

enum { THREADS_MAX = 16, BLOCKS = 23, LEAKS = 7, FOREIGN = 5 };

/* Through pointers, or the compiler would leave out what it knows to be useless. */
static void *(*volatile get)(size_t) = malloc;
static void *(*volatile get_cleared)(size_t, size_t) = calloc;
static void *(*volatile change)(void *, size_t) = realloc;
static void (*volatile give)(void *) = free;
static int (*volatile get_posix)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile get_aligned)(size_t, size_t) = aligned_alloc;
static void *(*volatile get_memalign)(size_t, size_t) = memalign;
static void *(*volatile get_valloc)(size_t) = valloc;
#if defined(__GLIBC__) && !defined(NO_PVALLOC) /* jemalloc has none */
static void *(*volatile get_pvalloc)(size_t) = pvalloc;
#else
#define get_pvalloc get_valloc
#endif
static void *(*volatile change_array)(void *, size_t, size_t) = reallocarray;

struct block {
	void *address;
	size_t size;
};

static struct block kept[THREADS_MAX][LEAKS];
static void *foreign[FOREIGN];
static uint64_t size, times, count, bytes; /* of the ledger, all threads */
static pthread_barrier_t go, done;
static int threads;
static sem_t leave;
static const char *prefix = "";

static void add(uint64_t *sum, uint64_t amount)
{
	__atomic_fetch_add(sum, amount, __ATOMIC_RELAXED);
}

static struct block got(void *address, size_t block_size)
{
	if (!address)
		die("an allocation failed");
	add(&size, block_size);
	add(&times, 1);
	add(&count, 1);
	add(&bytes, block_size);
	return (struct block){ address, block_size };
}

static void lost(struct block *block)
{
	add(&size, -block->size);
	add(&times, -1);
	block->address = NULL;
}

static void drop(struct block *block)
{
	if (block->address)
		give(block->address);
	if (block->address)
		lost(block);
}

static struct block resize(struct block block, size_t new_size)
{
	void *address = change(block.address, new_size);

	if (!address && !new_size) {
		lost(&block); /* glibc: it is freed */
		return block;
	}
	if (block.address)
		lost(&block);
	return got(address, new_size);
}

static void must_fail(int failed)
{
	if (!failed)
		die("an allocation did not fail");
}

static void try_in_vain(struct block *block)
{
	const size_t huge = (size_t)1 << 62;
	void *address;

	must_fail(!get(huge));
	must_fail(!get_cleared(huge, 8));
	must_fail(!get_cleared((size_t)1 << 33, (size_t)1 << 33));
	must_fail(!change(block->address, huge));
	must_fail(!change_array(block->address, huge, 8));
	must_fail(!change_array(NULL, (size_t)1 << 33, (size_t)1 << 33));
	must_fail(get_posix(&address, sizeof(void *), huge));
	must_fail(get_posix(&address, 3, 64));
	must_fail(!get_memalign(64, huge));
	give(NULL);
}

static void one_round(int number)
{
	struct block block[BLOCKS] = { 0 };
	void *address;
	int n = 0;

	drop(&kept[number][0]);
	block[n++] = got(get(101 + (size_t)number), 101 + (size_t)number);
	block[n++] = got(get(0), 0);
	block[n++] = got(get(300007), 300007); /* a mapping of its own */
	block[n++] = got(get_cleared(7, 13), 91);
	block[n++] = got(get_cleared(1, 200003), 200003);
	block[n++] = got(get_cleared(0, 5), 0);
	if (get_posix(&address, 256, 307))
		die("posix_memalign");
	block[n++] = got(address, 307);
	block[n++] = got(get_aligned(64, 64 * 11), 64 * 11);
	block[n++] = got(get_memalign(4096, 409), 409);
	block[n++] = got(get_valloc(503), 503);
	block[n++] = got(get_pvalloc(601), 601);
	block[n++] = got(change_array(NULL, 17, 19), 323);
	block[n++] = resize((struct block){ 0 }, 37); /* realloc(NULL, ...) */
	while (n < BLOCKS) {
		block[n] = got(get((size_t)n * 53), (size_t)n * 53);
		n++;
	}
	block[13] = resize(block[13], 5003);   /* grows */
	block[14] = resize(block[14], 11);     /* shrinks */
	block[15] = resize(block[15], 400009); /* moves */
	block[16] = resize(block[16], 0);
	try_in_vain(&block[17]);
	for (int i = LEAKS; i < BLOCKS; i++)
		drop(&block[i]);
	memcpy(kept[number], block, sizeof(kept[number]));
}

static void *run(void *arg)
{
	int number = (int)(intptr_t)arg;

	for (;;) {
		pthread_barrier_wait(&go);
		one_round(number);
		pthread_barrier_wait(&done);
	}
	return NULL;
}

static void print(const char *format, ...)
{
	char line[256];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (write(1, line, (size_t)length) != length)
		_exit(125);
}

static void print_ledger(int round)
{
	print("%ssize=%llu %stimes=%llu %scount=%llu %sbytes=%llu %sround=%d\n", prefix, (unsigned long long)size, prefix,
	      (unsigned long long)times, prefix, (unsigned long long)count, prefix, (unsigned long long)bytes, prefix, round);
}

static void be_child(void)
{
	prefix = "c.";
	threads = 1;
	print("c.pid=%d\n", getpid());
}

static void run_vforked(void)
{
	pid_t child = vfork();

	if (child == 0) {
		execl("/bin/true", "true", NULL);
		_exit(125);
	}
	waitpid(child, NULL, 0);
}

static void act(const char *action, char **argv)
{
	if (strcmp(action, "free") == 0) {
		for (int i = 0; i < FOREIGN; i++)
			give(foreign[i]);
	} else if (strcmp(action, "fork") == 0) {
		pid_t child = fork();

		if (child == 0)
			be_child();
		if (child == 0)
			return;
	} else if (strcmp(action, "vfork") == 0) {
		run_vforked();
	} else if (strcmp(action, "exec") == 0) {
		execl("/proc/self/exe", argv[0], argv[1], "free", "x.", NULL);
		die("exec");
	}
	if (strcmp(action, "leave") == 0)
		sem_post(&leave);
	print("%saction=1\n", prefix);
}

static void *steer(void *arg)
{
	char **argv = arg;
	int round = 0, sig;

	print("%spid=%d\n", prefix, getpid());
	while ((sig = await_signal()) != SIGTERM) {
		if (sig == SIGUSR2) {
			act(argv[2] ? argv[2] : "", argv);
			continue;
		}
		if (threads > 1)
			pthread_barrier_wait(&go);
		one_round(0);
		if (threads > 1)
			pthread_barrier_wait(&done);
		print_ledger(++round);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	bool leaves = argc > 2 && strcmp(argv[2], "leave") == 0;

	if (argc < 2)
		usage("THREADS [free | fork | vfork | exec | leave] [PREFIX]");
	threads = atoi(argv[1]);
	if (threads < 1 || threads > THREADS_MAX)
		usage("THREADS");
	if (argc > 3)
		prefix = argv[3];
	block_signals();
	for (int i = 0; i < FOREIGN; i++)
		foreign[i] = get(1009);
	pthread_barrier_init(&go, NULL, (unsigned int)threads);
	pthread_barrier_init(&done, NULL, (unsigned int)threads);
	for (int i = 1; i < threads; i++)
		start_thread(run, (void *)(intptr_t)i);
	if (!leaves)
		steer(argv);
	sem_init(&leave, 0, 0);
	start_thread(steer, argv);
	while (sem_wait(&leave))
		;
	pthread_exit(NULL);
}
