/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The socket: who may be the only collector on it, and who connects.
 */
#ifndef TASKMON_SERVER_H
#define TASKMON_SERVER_H

#include <uv.h>

#include "config.h"
#include "quota.h"
#include "request.h"

struct server {
	const struct config *config;
	struct requests *requests;
	uv_pipe_t listener;
	bool bound;
	int lock_fd;
	struct quota *quota;
	struct session **sessions;
	unsigned int session_count;
};

/**
 * Take the lock of the socket's path. -EEXIST if another collector has it (logged). The directory is made if it is
 * missing.
 */
int server_lock(struct server *server, const struct config *config);

/**
 * Make the socket; nobody can connect yet. The last of what the collector needs rights for in a directory, before
 * privilege_drop().
 */
int server_bind(struct server *server, uv_loop_t *loop);

/** Listen; anybody may connect. */
int server_start(struct server *server, struct requests *requests);

/** Close the socket and all sessions, and remove the socket; the loop must run until all are closed. */
void server_stop(struct server *server);

/** Release what the others took, and remove the socket if that has not been done. The loop must have ended. */
void server_unlock(struct server *server);

#endif
