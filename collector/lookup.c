/* SPDX-License-Identifier: BSD-2-Clause */
#include "lookup.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aside.h"

/* The thread closes the file, when it has read it and the loop's thread has no use for it any more. */
struct running {
	struct lookup lookup; /* comes first */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool started, read, left;
	void (*ended)(void *context);
	void *context;
};

static struct running *running_of(struct lookup *lookup)
{
	return (struct running *)lookup;
}

struct lookup *lookup_new(int fd)
{
	struct running *running = calloc(1, sizeof(*running));
	pthread_condattr_t monotonic;

	if (!running)
		return NULL;
	running->lookup.fd = fd;
	pthread_mutex_init(&running->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&running->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return &running->lookup;
}

int lookup_add(struct lookup *lookup, const char *name)
{
	if (lookup->name_count == LOOKUP_NAMES_MAX)
		return -E2BIG;
	lookup->names[lookup->name_count] = strdup(name);
	return lookup->names[lookup->name_count++] ? 0 : -ENOMEM;
}

static void find(struct elf_file *file, const char *name, struct lookup_result *result)
{
	struct elf_found found[LOOKUP_FOUND_MAX];

	result->count = name[0] ? elf_file_find(file, &name, 1, found, LOOKUP_FOUND_MAX) : 0;
	for (int i = 0; i < result->count; i++) {
		result->found[i].offset = found[i].function.offset;
		result->found[i].indirect = found[i].function.indirect;
	}
}

static void look(struct lookup *lookup)
{
	struct elf_file *file;

	if (elf_file_open(&file, lookup->fd, lookup->error))
		return;
	if (fstat(lookup->fd, &lookup->file))
		strncpy(lookup->error, strerror(errno), sizeof(lookup->error) - 1);
	for (size_t i = 0; i < lookup->name_count; i++)
		find(file, lookup->names[i], &lookup->results[i]);
	elf_file_close(file);
}

static void work(void *context)
{
	struct running *running = context;

	look(&running->lookup);
	pthread_mutex_lock(&running->mutex);
	running->read = true;
	pthread_cond_broadcast(&running->changed);
	while (!running->left)
		pthread_cond_wait(&running->changed, &running->mutex);
	pthread_mutex_unlock(&running->mutex);
	close(running->lookup.fd);
}

static void done(void *context)
{
	struct running *running = context;

	for (size_t i = 0; i < running->lookup.name_count; i++)
		free(running->lookup.names[i]);
	pthread_cond_destroy(&running->changed);
	pthread_mutex_destroy(&running->mutex);
	if (running->ended)
		running->ended(running->context);
	free(running);
}

int lookup_run(struct lookup *lookup)
{
	struct running *running = running_of(lookup);
	struct timespec until;
	int err = aside_run(work, done, running);

	if (err)
		return err;
	running->started = true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOOKUP_WAIT_MS % 1000 * 1000000;
	until.tv_sec += LOOKUP_WAIT_MS / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&running->mutex);
	while (!running->read && !err)
		err = -pthread_cond_timedwait(&running->changed, &running->mutex, &until);
	err = running->read ? 0 : err;
	pthread_mutex_unlock(&running->mutex);
	return err;
}

void lookup_end(struct lookup *lookup, void (*ended)(void *context), void *context)
{
	struct running *running = running_of(lookup);
	int fd = lookup->fd;

	running->ended = ended;
	running->context = context;
	if (!running->started) {
		done(running);
		aside_close(&fd, 1, NULL, NULL);
		return;
	}
	pthread_mutex_lock(&running->mutex);
	running->left = true;
	pthread_cond_broadcast(&running->changed);
	pthread_mutex_unlock(&running->mutex);
}
