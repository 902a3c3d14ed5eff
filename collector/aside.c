/* SPDX-License-Identifier: BSD-2-Clause */
#include "aside.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
	STACK_BYTES = 256 << 10,
	LAST_WAIT_MS = 1000,
};

struct job {
	STAILQ_ENTRY(job) link;
	void (*work)(void *context);
	void (*done)(void *context);
	void *context;
};
STAILQ_HEAD(jobs, job);

/* One for the process: threads that the kernel does not let go outlive all that could own it. */
static struct {
	pthread_mutex_t mutex;
	struct jobs ended;   /* whose owners have not been told */
	struct jobs waiting; /* for the shared thread */
	bool sharing;        /* there is one */
	bool telling;
	size_t open; /* jobs whose owners have not been told; of the loop's thread */
	uv_async_t told;
	uv_timer_t last;
} aside = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* --- threads */

static void do_job(struct job *job)
{
	job->work(job->context);
	pthread_mutex_lock(&aside.mutex);
	STAILQ_INSERT_TAIL(&aside.ended, job, link);
	if (aside.telling)
		uv_async_send(&aside.told);
	pthread_mutex_unlock(&aside.mutex);
}

static void *do_one(void *job)
{
	do_job(job);
	return NULL;
}

static struct job *next_waiting(void)
{
	struct job *job;

	pthread_mutex_lock(&aside.mutex);
	job = STAILQ_FIRST(&aside.waiting);
	if (job)
		STAILQ_REMOVE_HEAD(&aside.waiting, link);
	else
		aside.sharing = false;
	pthread_mutex_unlock(&aside.mutex);
	return job;
}

static void *do_waiting(void *none)
{
	struct job *job;

	while ((job = next_waiting()))
		do_job(job);
	return none;
}

static int start(void *(*body)(void *), void *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int err;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	err = -pthread_create(&thread, &attributes, body, argument);
	pthread_attr_destroy(&attributes);
	return err;
}

static int wait_in_line(struct job *job)
{
	int err = 0;

	pthread_mutex_lock(&aside.mutex);
	if (!aside.sharing)
		err = start(do_waiting, NULL);
	if (!err) {
		aside.sharing = true;
		STAILQ_INSERT_TAIL(&aside.waiting, job, link);
	}
	pthread_mutex_unlock(&aside.mutex);
	return err;
}

/* --- the loop */

static struct job *next_ended(void)
{
	struct job *job;

	pthread_mutex_lock(&aside.mutex);
	job = STAILQ_FIRST(&aside.ended);
	if (job)
		STAILQ_REMOVE_HEAD(&aside.ended, link);
	pthread_mutex_unlock(&aside.mutex);
	return job;
}

/* The loop goes on as long as something is open. */
static void tell(uv_async_t *async)
{
	struct job *job;

	while ((job = next_ended())) {
		if (--aside.open == 0)
			uv_unref((uv_handle_t *)async);
		job->done(job->context);
		free(job);
	}
}

int aside_start(uv_loop_t *loop)
{
	int err = uv_async_init(loop, &aside.told, tell);

	if (err)
		return err;
	uv_timer_init(loop, &aside.last);
	uv_unref((uv_handle_t *)&aside.told);
	uv_unref((uv_handle_t *)&aside.last);
	STAILQ_INIT(&aside.ended);
	STAILQ_INIT(&aside.waiting);
	aside.telling = true;
	return 0;
}

static void on_last(uv_timer_t *last)
{
	(void)last;
	uv_unref((uv_handle_t *)&aside.told);
}

void aside_hurry(void)
{
	uv_timer_start(&aside.last, on_last, LAST_WAIT_MS, 0);
}

void aside_stop(void)
{
	uv_loop_t *loop = aside.told.loop;
	bool telling;

	pthread_mutex_lock(&aside.mutex);
	telling = aside.telling;
	aside.telling = false;
	pthread_mutex_unlock(&aside.mutex);
	if (!telling)
		return;
	uv_close((uv_handle_t *)&aside.told, NULL);
	uv_close((uv_handle_t *)&aside.last, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
}

static int begin(const struct job *wanted, bool shared)
{
	struct job *job = malloc(sizeof(*job));
	int err;

	if (!job)
		return -ENOMEM;
	*job = *wanted;
	err = shared ? wait_in_line(job) : start(do_one, job);
	if (err) {
		free(job);
		return err;
	}
	if (aside.open++ == 0)
		uv_ref((uv_handle_t *)&aside.told);
	return 0;
}

int aside_run(void (*work)(void *context), void (*done)(void *context), void *context)
{
	const struct job job = { .work = work, .done = done, .context = context };

	return begin(&job, false);
}

/* --- descriptors */

struct bag {
	void (*done)(void *context);
	void *context;
	size_t count;
	int fds[];
};

static void close_all(void *context)
{
	const struct bag *bag = context;

	for (size_t i = 0; i < bag->count; i++)
		close(bag->fds[i]);
}

static void on_all_closed(void *context)
{
	struct bag *bag = context;

	if (bag->done)
		bag->done(bag->context);
	free(bag);
}

int aside_close(const int *fds, size_t count, void (*done)(void *context), void *context)
{
	struct bag *bag = malloc(sizeof(*bag) + count * sizeof(*fds));
	const struct job job = { .work = close_all, .done = on_all_closed, .context = bag };
	int err = -ENOMEM;

	if (bag) {
		*bag = (struct bag){ .done = done, .context = context, .count = count };
		memcpy(bag->fds, fds, count * sizeof(*fds));
		err = begin(&job, !done);
	}
	if (err) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		free(bag);
	}
	return err;
}
