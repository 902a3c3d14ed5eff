/* SPDX-License-Identifier: BSD-2-Clause */
#include "heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "heap_worker.h"
#include "kernel.h"
#include "log.h"
#include "session.h"

#define SUBSYSTEM "heap"

struct waiter {
	struct session *session;
	u64 question;
};

struct heap {
	struct kernel *kernel;
	struct heap_limits limits;
	struct heap_worker *worker; /* NULL: nobody has wanted it yet */
	struct heap_orders orders;
	uv_async_t answered;
	bool running;
	struct waiter *waiters;
	size_t waiter_count;
};

struct heap *heap_new(struct kernel *kernel, const struct heap_limits *limits)
{
	struct heap *heap = calloc(1, sizeof(*heap));

	if (!heap)
		return NULL;
	heap->kernel = kernel;
	heap->limits = *limits;
	pthread_mutex_init(&heap->orders.mutex, NULL);
	heap->orders.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (heap->orders.wake_fd >= 0)
		return heap;
	heap_free(heap);
	return NULL;
}

static void wake(struct heap *heap)
{
	u64 one = 1;

	if (write(heap->orders.wake_fd, &one, sizeof(one)) != sizeof(one))
		log_debug(SUBSYSTEM, "cannot wake up the thread: %s", strerror(errno));
}

void heap_free(struct heap *heap)
{
	if (!heap)
		return;
	if (heap->worker) {
		pthread_mutex_lock(&heap->orders.mutex);
		heap->orders.stop = true;
		pthread_mutex_unlock(&heap->orders.mutex);
		wake(heap);
		heap_worker_join(heap->worker);
	}
	if (heap->orders.wake_fd >= 0)
		close(heap->orders.wake_fd);
	pthread_mutex_destroy(&heap->orders.mutex);
	free(heap->waiters);
	free(heap);
}

/* --- questions */

static void release(struct heap *heap, size_t i)
{
	struct session *session = heap->waiters[i].session;

	heap->waiters[i] = heap->waiters[--heap->waiter_count];
	session_uncork(session);
}

static void on_answered(uv_async_t *async)
{
	struct heap *heap = async->data;
	u64 done;

	pthread_mutex_lock(&heap->orders.mutex);
	done = heap->orders.done;
	pthread_mutex_unlock(&heap->orders.mutex);
	for (size_t i = heap->waiter_count; i-- > 0;)
		if (i < heap->waiter_count && heap->waiters[i].question <= done)
			release(heap, i);
}

static void tell(void *context)
{
	struct heap *heap = context;

	uv_async_send(&heap->answered);
}

int heap_start(struct heap *heap, uv_loop_t *loop)
{
	int err = uv_async_init(loop, &heap->answered, on_answered);

	heap->answered.data = heap;
	heap->orders.tell = tell;
	heap->orders.context = heap;
	heap->running = !err;
	return err;
}

/* The thread must not tell anything any more when the handle is closed. */
void heap_stop(struct heap *heap)
{
	if (!heap->running)
		return;
	pthread_mutex_lock(&heap->orders.mutex);
	heap->orders.tell = NULL;
	pthread_mutex_unlock(&heap->orders.mutex);
	uv_close((uv_handle_t *)&heap->answered, NULL);
	heap->running = false;
}

void heap_want(struct heap *heap, bool wanted)
{
	bool changed;
	u32 era;

	if (wanted && !heap->worker) {
		heap->worker = heap_worker_start(heap->kernel, &heap->limits, &heap->orders);
		if (!heap->worker)
			log_error(SUBSYSTEM, "no process can be probed: %s", strerror(errno));
	}
	if (!heap->worker)
		return;
	pthread_mutex_lock(&heap->orders.mutex);
	changed = heap->orders.wanted != wanted;
	heap->orders.wanted = wanted;
	heap->orders.era += changed && wanted;
	era = heap->orders.era;
	pthread_mutex_unlock(&heap->orders.mutex);
	kernel_settings(heap->kernel)->heap_era = era;
	kernel_settings(heap->kernel)->heap_blocks = heap->limits.blocks;
	if (changed)
		wake(heap);
}

void heap_wait(struct heap *heap, struct session *session)
{
	struct waiter *grown = reallocarray(heap->waiters, heap->waiter_count + 1, sizeof(*grown));
	u64 question;

	if (!grown || !heap->worker)
		return; /* it gets its answer now */
	heap->waiters = grown;
	pthread_mutex_lock(&heap->orders.mutex);
	question = ++heap->orders.asked;
	pthread_mutex_unlock(&heap->orders.mutex);
	heap->waiters[heap->waiter_count++] = (struct waiter){ session, question };
	session_cork(session);
	wake(heap);
}

void heap_forget(struct heap *heap, const struct session *session)
{
	for (size_t i = heap->waiter_count; i-- > 0;)
		if (heap->waiters[i].session == session)
			heap->waiters[i] = heap->waiters[--heap->waiter_count];
}
