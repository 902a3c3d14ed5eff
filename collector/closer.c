/* SPDX-License-Identifier: BSD-2-Clause */
#include "closer.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { HELPERS = 7 }; /* at the end, when nothing is attached any more: each spends its time waiting for the kernel */

struct closer {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool ending, paused;
	int *fds;
	size_t count, room;
};

static void *work(void *context)
{
	struct closer *closer = context;

	pthread_mutex_lock(&closer->mutex);
	for (;;) {
		int fd;

		while (closer->paused || (closer->count == 0 && !closer->ending))
			pthread_cond_wait(&closer->changed, &closer->mutex);
		if (closer->count == 0)
			break;
		fd = closer->fds[--closer->count];
		pthread_mutex_unlock(&closer->mutex);
		close(fd);
		pthread_mutex_lock(&closer->mutex);
	}
	pthread_mutex_unlock(&closer->mutex);
	return NULL;
}

struct closer *closer_new(void)
{
	struct closer *closer = calloc(1, sizeof(*closer));

	if (!closer)
		return NULL;
	pthread_mutex_init(&closer->mutex, NULL);
	pthread_cond_init(&closer->changed, NULL);
	if (pthread_create(&closer->thread, NULL, work, closer) == 0)
		return closer;
	free(closer);
	return NULL;
}

void closer_free(struct closer *closer)
{
	pthread_t helpers[HELPERS];
	size_t count = 0;

	if (!closer)
		return;
	pthread_mutex_lock(&closer->mutex);
	closer->ending = true;
	closer->paused = false;
	pthread_cond_signal(&closer->changed);
	pthread_mutex_unlock(&closer->mutex);
	while (count < HELPERS && pthread_create(&helpers[count], NULL, work, closer) == 0)
		count++;
	while (count > 0)
		pthread_join(helpers[--count], NULL);
	pthread_join(closer->thread, NULL);
	pthread_mutex_destroy(&closer->mutex);
	pthread_cond_destroy(&closer->changed);
	free(closer->fds);
	free(closer);
}

void closer_pause(struct closer *closer, bool paused)
{
	pthread_mutex_lock(&closer->mutex);
	closer->paused = paused;
	pthread_cond_signal(&closer->changed);
	pthread_mutex_unlock(&closer->mutex);
}

void closer_add(struct closer *closer, int fd)
{
	pthread_mutex_lock(&closer->mutex);
	if (closer->count == closer->room) {
		size_t room = closer->room ? 2 * closer->room : 64;
		int *grown = reallocarray(closer->fds, room, sizeof(*grown));

		if (grown) {
			closer->fds = grown;
			closer->room = room;
		}
	}
	if (closer->count < closer->room) {
		closer->fds[closer->count++] = fd;
		fd = -1;
	}
	pthread_cond_signal(&closer->changed);
	pthread_mutex_unlock(&closer->mutex);
	if (fd >= 0)
		close(fd); /* no memory */
}
