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

#include "aside.h"
#include "clock.h"
#include "heap.h"
#include "log.h"

#define SUBSYSTEM "server"

enum { BACKLOG = 4096 }; /* nobody can be kept out by filling it; the kernel allows net.core.somaxconn */

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

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
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

static void remove_socket(struct server *server)
{
	if (server->bound)
		unlink(server->config->socket);
	server->bound = false;
}

void server_unlock(struct server *server)
{
	char path[sizeof(server->config->socket) + 8];

	quota_free(server->quota);
	free(server->sessions);
	if (server->lock_fd < 0)
		return;
	remove_socket(server);
	lock_path(server->config, path, sizeof(path));
	unlink(path); /* while it is still ours */
	close(server->lock_fd);
	server->lock_fd = -1;
}

/* The user has asked for more than is fair: its next request, on whichever connection, has to wait. */
static void pause_user(struct server *server, const struct quota_user *user, uint64_t rest_ns)
{
	for (unsigned int i = 0; i < server->session_count; i++)
		if (session_quota(server->sessions[i]) == user)
			session_pause(server->sessions[i], rest_ns);
}

static int on_frame(struct session *session, const Taskmon__Frame *message, void *context)
{
	struct server *server = context;
	struct quota_user *user = session_quota(session);
	int err = request_serve(server->requests, session, message);
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), rest_ns;

	quota_charge(user, now_ns, session_used_ns(session));
	rest_ns = quota_rest_ns(user, now_ns);
	if (rest_ns)
		pause_user(server, user, rest_ns);
	return err;
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
	log_debug(SUBSYSTEM, "client of uid %u, pid %d has gone", session_client(session)->uid, (int)session_client(session)->pid);
}

static void on_session_forgotten(struct session *session, void *context)
{
	struct server *server = context;

	quota_leave(server->quota, session_client(session), session_quota(session));
}

static const struct session_callbacks callbacks = { .frame = on_frame,
						    .closed = on_session_closed,
						    .forgotten = on_session_forgotten };

static int remember(struct server *server, struct session *session)
{
	struct session **grown = reallocarray(server->sessions, server->session_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	server->sessions = grown;
	server->sessions[server->session_count++] = session;
	return 0;
}

/* Too many, of one or of all? Tells the client. */
static void admit(struct server *server, struct session *session)
{
	const struct client *client = session_client(session);
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), rest_ns;
	struct quota_user *user;
	int err = quota_enter(server->quota, client, now_ns, &user);

	if (err == -EUSERS) {
		session_fail(session, TASKMON__ERROR__CODE__LIMIT, "more than %u connections of one user",
			     server->config->max_clients_per_user);
	} else if (err == -ENOSPC) {
		session_fail(session, TASKMON__ERROR__CODE__LIMIT, "more than %u connections, or than are for users",
			     server->config->max_clients);
	} else if (err) {
		session_close(session);
	} else {
		session_set_quota(session, user, quota_waiting_max(server->quota, user));
		rest_ns = quota_rest_ns(user, now_ns);
		if (rest_ns)
			session_pause(session, rest_ns);
	}
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
	log_debug(SUBSYSTEM, "client of uid %u, pid %d", session_client(session)->uid, (int)session_client(session)->pid);
	admit(server, session);
}

/*
 * root's own rights are given up soon, and then it can remove files only in directories that are its own. The default one may
 * be left by a service with a user of its own, which gets it back when it starts. In others the files stay; the next
 * collector takes them over.
 */
static void own_directory(const char *path)
{
	char copy[sizeof(((struct config *)0)->socket)];
	const char *directory;
	struct stat there;

	strcpy(copy, path);
	directory = dirname(copy);
	if (geteuid() != 0 || stat(directory, &there) || there.st_uid == 0 || there.st_mode & S_IWOTH)
		return;
	if (strcmp(path, CONFIG_DEFAULT_SOCKET) != 0 || chown(directory, 0, 0))
		log_warning(SUBSYSTEM, "%s belongs to user %u: the socket and its lock will be left there", directory,
			    there.st_uid);
}

int server_bind(struct server *server, uv_loop_t *loop)
{
	const char *path = server->config->socket;
	struct stat old;
	int err;

	uv_pipe_init(loop, &server->listener, 0);
	server->listener.data = server;
	/* a socket left by one that was killed: we have the lock, so nobody serves it */
	if (lstat(path, &old) == 0 && S_ISSOCK(old.st_mode))
		unlink(path);
	err = uv_pipe_bind(&server->listener, path);
	server->bound = !err;
	/* everybody may connect; what they see is decided from who they are (access.h) */
	if (!err && chmod(path, 0666))
		err = -errno;
	if (err)
		log_error(SUBSYSTEM, "cannot make %s: %s", path, uv_strerror(err));
	else
		own_directory(path);
	return err;
}

int server_start(struct server *server, struct requests *requests)
{
	int err;

	server->requests = requests;
	server->quota = quota_new(server->config);
	if (!server->quota)
		return -ENOMEM;
	err = aside_start(server->listener.loop);
	if (!err)
		err = uv_listen((uv_stream_t *)&server->listener, BACKLOG, on_connection);
	if (err)
		log_error(SUBSYSTEM, "cannot listen on %s: %s", server->config->socket, uv_strerror(err));
	return err;
}

void server_stop(struct server *server)
{
	aside_hurry();
	uv_close((uv_handle_t *)&server->listener, NULL);
	remove_socket(server);
	for (unsigned int i = 0; i < server->session_count; i++)
		session_close(server->sessions[i]);
}
