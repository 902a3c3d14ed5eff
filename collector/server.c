/* SPDX-License-Identifier: BSD-2-Clause */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heap.h"
#include "log.h"

#define SUBSYSTEM "server"

enum { BACKLOG = 128 };

static void lock_path(const struct config *config, char *path, size_t size)
{
	snprintf(path, size, "%s.lock", config->socket);
}

static int make_directory(const struct config *config)
{
	char copy[sizeof(config->socket)];

	strcpy(copy, config->socket);
	if (mkdir(dirname(copy), 0755) && errno != EEXIST) {
		int err = -errno;

		log_error(SUBSYSTEM, "cannot make the directory of %s: %s", config->socket, strerror(-err));
		return err;
	}
	return 0;
}

/* Whether the file that we have locked is still the one at the path: another collector removes it when it ends. */
static bool is_current(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

int server_lock(struct server *server, const struct config *config)
{
	char path[sizeof(config->socket) + 8];
	int err = make_directory(config);

	server->config = config;
	server->lock_fd = -1;
	lock_path(config, path, sizeof(path));
	while (!err) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0) {
			err = -errno;
			log_error(SUBSYSTEM, "cannot open %s: %s", path, strerror(-err));
		} else if (flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			log_error(SUBSYSTEM, "another collector serves %s already", config->socket);
			err = -EEXIST;
		} else if (is_current(fd, path)) {
			server->lock_fd = fd;
			return 0;
		} else {
			close(fd);
		}
	}
	return err;
}

void server_unlock(struct server *server)
{
	char path[sizeof(server->config->socket) + 8];

	if (server->lock_fd < 0)
		return;
	lock_path(server->config, path, sizeof(path));
	unlink(path); /* while it is still ours */
	close(server->lock_fd);
	server->lock_fd = -1;
}

static int on_frame(struct session *session, const Taskmon__Frame *message, void *context)
{
	struct server *server = context;

	return request_serve(server->requests, session, message);
}

static void on_session_closed(struct session *session, void *context)
{
	struct server *server = context;

	heap_forget(server->requests->heap, session);
	dispatch_leave_all(server->requests->dispatch, session);
	sampler_reschedule(server->requests->sampler);
	for (unsigned int i = 0; i < server->session_count; i++)
		if (server->sessions[i] == session)
			server->sessions[i] = server->sessions[--server->session_count];
	log_debug(SUBSYSTEM, "client of uid %u, pid %d has gone", session_client(session)->uid,
		  (int)session_client(session)->pid);
}

static const struct session_callbacks callbacks = { .frame = on_frame, .closed = on_session_closed };

static int remember(struct server *server, struct session *session)
{
	struct session **grown = reallocarray(server->sessions, server->session_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	server->sessions = grown;
	server->sessions[server->session_count++] = session;
	return 0;
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct server *server = listener->data;
	struct session *session = NULL;
	int err = status;

	if (!err)
		err = session_accept(listener, server->config->queue_bytes, &callbacks, server, &session);
	if (!err)
		err = access_identify(session_fd(session), server->config, session_client(session));
	if (!err)
		err = remember(server, session);
	if (err) {
		log_error(SUBSYSTEM, "a connection could not be accepted: %s", uv_strerror(err));
		if (session)
			session_close(session);
		return;
	}
	log_debug(SUBSYSTEM, "client of uid %u, pid %d", session_client(session)->uid,
		  (int)session_client(session)->pid);
	if (server->session_count > server->config->max_clients)
		session_fail(session, TASKMON__ERROR__CODE__LIMIT, "more than %u connections",
			     server->config->max_clients);
}

int server_start(struct server *server, uv_loop_t *loop, struct requests *requests)
{
	const char *path = server->config->socket;
	struct stat old;
	int err;

	server->requests = requests;
	uv_pipe_init(loop, &server->listener, 0);
	server->listener.data = server;
	/* a socket left by one that was killed: we have the lock, so nobody serves it */
	if (lstat(path, &old) == 0 && S_ISSOCK(old.st_mode))
		unlink(path);
	err = uv_pipe_bind(&server->listener, path);
	server->listening = !err;
	/* everybody may connect; what they see is decided from who they are (access.h) */
	if (!err && chmod(path, 0666))
		err = -errno;
	if (!err)
		err = uv_listen((uv_stream_t *)&server->listener, BACKLOG, on_connection);
	if (err)
		log_error(SUBSYSTEM, "cannot listen on %s: %s", path, uv_strerror(err));
	return err;
}

void server_stop(struct server *server)
{
	uv_close((uv_handle_t *)&server->listener, NULL);
	if (server->listening)
		unlink(server->config->socket);
	for (unsigned int i = 0; i < server->session_count; i++)
		session_close(server->sessions[i]);
}
