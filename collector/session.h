/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One client: its socket, what it may see, and a bounded queue of frames for it. A client that does not read loses
 * its own rows, oldest samples first, and is told how many (send_queue.h).
 */
#ifndef TASKMON_SESSION_H
#define TASKMON_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "access.h"
#include "frame.h"
#include "intake.h"
#include "send_queue.h"

struct quota_user;
struct session;

/** What the owner of a session does for it. */
struct session_callbacks {
	/** A frame came. Returns 0; else the session ends: the callee has called session_fail(). */
	int (*frame)(struct session *session, const Taskmon__Frame *message, void *context);
	/** The session is over. */
	void (*closed)(struct session *session, void *context);
	/** Nothing of its connection is left; it is freed afterwards. That can take as long as the client likes (aside.h). */
	void (*forgotten)(struct session *session, void *context);
};

/** Accept a connection from `listener`. Returns 0 or a negative errno. */
int session_accept(uv_stream_t *listener, size_t queue_bytes, const struct session_callbacks *callbacks, void *context,
		   struct session **session);

/** The file descriptor of the socket. */
int session_fd(const struct session *session);

/**
 * Descriptors that the client has passed (SCM_RIGHTS), the oldest first: they are the caller's. Returns how many there
 * were, at most `most`. More than INTAKE_FILES_MAX that nobody has taken end the session.
 */
size_t session_take_files(struct session *session, int *fds, size_t most);

/** Who it is; filled by the owner after the accept. */
struct client *session_client(struct session *session);

/** What its user may take of what all share (quota.h); NULL, as it is at first: as much as it likes. */
struct quota_user *session_quota(const struct session *session);
void session_set_quota(struct session *session, struct quota_user *user, size_t waiting_max);

/** CPU time that the frame which is being served has used, its way through the parser included; once. */
uint64_t session_used_ns(struct session *session);

/** Take no more frames for so long; what comes meanwhile waits. A later call sets another time. */
void session_pause(struct session *session, uint64_t rest_ns);

/** Whether Hello was received. */
bool session_greeted(const struct session *session);
void session_set_greeted(struct session *session);

/**
 * Queue a frame (a reference is taken), with the number of rows or events that are lost if it must be dropped. A NULL
 * frame stands for one that could not be encoded and counts as dropped.
 */
void session_send(struct session *session, struct frame *frame, enum session_load load, size_t rows);

/** So much of its queue is in use that what can wait elsewhere should: the rest is for a frame more, and for samples. */
bool session_is_behind(const struct session *session);

/** Encode and queue a frame that is never dropped. */
void session_send_control(struct session *session, const Taskmon__Frame *message);

/** Bytes that wait for the client to read. */
size_t session_waiting(const struct session *session);

/** Between these two, frames are queued but nothing is sent. They may be nested. */
void session_cork(struct session *session);
void session_uncork(struct session *session);

/** The client is to be told that the kernel side lost this much of what it asked for. */
void session_add_loss(struct session *session, Taskmon__Loss__Cause cause, uint64_t count);

/** Tell what went wrong with a request; the session goes on. */
void session_refuse(struct session *session, Taskmon__Error__Code code, uint32_t request, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/** The same, and which process of the request is to blame. */
void session_refuse_process(struct session *session, Taskmon__Error__Code code, uint32_t request, uint32_t process,
			    const char *format, ...) __attribute__((format(printf, 5, 6)));

/** Tell what went wrong and end the session when that has been sent. Always returns -ECONNABORTED. */
int session_fail(struct session *session, Taskmon__Error__Code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** End it now. */
void session_close(struct session *session);

#endif
