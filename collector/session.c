/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aside.h"
#include "clock.h"
#include "quota.h"
#include "refusal.h"
#include "wire.h"

enum {
	HELLO_TIMEOUT_MS = 10000,
	STALL_TIMEOUT_MS = 30000,   /* a client that reads nothing for so long is disconnected */
	FAREWELL_TIMEOUT_MS = 2000, /* for the last Error to be read */
	WRITE_FRAMES = 32,          /* handed to the kernel at once; these cannot be dropped any more */
};

struct session {
	uv_pipe_t pipe;
	uv_timer_t timer; /* hello, stall or farewell */
	uv_timer_t rest;  /* of one that has asked for too much */
	uv_write_t write;
	const struct session_callbacks *callbacks;
	void *context;
	struct client client;
	struct quota_user *quota;
	uint64_t used_mark_ns; /* CPU time of this thread when what has not been told began */
	struct frame_reader reader;
	uint8_t *untaken; /* came before it was paused */
	size_t untaken_bytes;
	bool greeted, failing, closing, paused;
	unsigned int corks;
	struct intake intake;
	struct send_queue queue;
	size_t written_before; /* bytes that the kernel had not taken when the stall timer was set */
};

static void write_more(struct session *session);

static void forget(void *context)
{
	struct session *session = context;

	session->callbacks->forgotten(session, session->context);
	free(session);
}

/* The connection counts for its user until all is closed that came with it. One that was refused does not count. */
static void on_pipe_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;
	struct intake *intake = &session->intake;
	bool counts = session->quota;

	free(session->untaken);
	session->callbacks->closed(session, session->context);
	if (intake->fd_count == 0 || aside_close(intake->fds, intake->fd_count, counts ? forget : NULL, session) || !counts)
		forget(session);
}

static void on_intake_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;

	uv_close((uv_handle_t *)&session->pipe, on_pipe_closed);
}

static void on_rest_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;

	if (intake_is_open(&session->intake))
		intake_close(&session->intake, on_intake_closed);
	else
		on_intake_closed(handle);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;

	uv_close((uv_handle_t *)&session->rest, on_rest_closed);
}

void session_close(struct session *session)
{
	if (session->closing)
		return;
	session->closing = true;
	send_queue_clear(&session->queue); /* what is being written belongs to libuv until its callback has run */
	frame_reader_free(&session->reader);
	if (intake_is_open(&session->intake))
		intake_stop(&session->intake);
	uv_close((uv_handle_t *)&session->timer, on_timer_closed);
}

static void on_timeout(uv_timer_t *timer)
{
	struct session *session = timer->data;
	size_t unwritten = uv_stream_get_write_queue_size((uv_stream_t *)&session->pipe);

	if (session->failing) {
		session_close(session);
	} else if (!session->greeted) {
		session_fail(session, TASKMON__ERROR__CODE__TIMED_OUT, "no Hello within %d s", HELLO_TIMEOUT_MS / 1000);
	} else if (unwritten > 0 && unwritten == session->written_before) {
		refusal_log(&session->client, "it read nothing for 30 s");
		session_close(session);
	} else if (unwritten > 0) {
		session->written_before = unwritten;
		uv_timer_start(timer, on_timeout, STALL_TIMEOUT_MS, 0);
	}
}

static void on_written(uv_write_t *request, int status)
{
	struct session *session = request->data;

	send_queue_written(&session->queue);
	if (session->closing)
		return;
	if (status < 0) {
		session_close(session);
		return;
	}
	if (session->greeted && !session->failing)
		uv_timer_stop(&session->timer);
	write_more(session);
}

/* Hand frames to libuv, a few at a time: what waits in our own queue can still be dropped. */
static void write_more(struct session *session)
{
	struct frame *frames[WRITE_FRAMES];
	uv_buf_t buffers[WRITE_FRAMES];
	size_t count;

	if (session->closing || session->corks > 0 || send_queue_is_writing(&session->queue))
		return;
	count = send_queue_take(&session->queue, frames, WRITE_FRAMES);
	for (size_t i = 0; i < count; i++)
		buffers[i] = uv_buf_init((char *)frames[i]->bytes, (unsigned int)frames[i]->size);
	if (count == 0) {
		if (session->failing)
			session_close(session);
		return;
	}
	session->write.data = session;
	if (uv_write(&session->write, (uv_stream_t *)&session->pipe, buffers, (unsigned int)count, on_written)) {
		send_queue_written(&session->queue);
		session_close(session);
		return;
	}
	if (session->greeted && !session->failing) {
		session->written_before = uv_stream_get_write_queue_size((uv_stream_t *)&session->pipe);
		uv_timer_start(&session->timer, on_timeout, STALL_TIMEOUT_MS, 0);
	}
}

void session_send(struct session *session, struct frame *frame, enum session_load load, size_t rows)
{
	if (session->closing || session->failing)
		return;
	if (send_queue_put(&session->queue, frame, load, rows)) {
		if (load == SESSION_CONTROL)
			session_close(session); /* out of memory, or it asks and asks and does not read the answers */
		return;
	}
	write_more(session);
	if (send_queue_is_ignored(&session->queue) && !session->closing) {
		refusal_log(&session->client, "asks without reading the answers");
		session_close(session);
	}
}

bool session_is_behind(const struct session *session)
{
	return send_queue_is_behind(&session->queue);
}

void session_send_control(struct session *session, const Taskmon__Frame *message)
{
	struct frame *frame = frame_encode(message);

	session_send(session, frame, SESSION_CONTROL, 0);
	frame_unref(frame);
}

size_t session_waiting(const struct session *session)
{
	return session->queue.bytes;
}

void session_cork(struct session *session)
{
	session->corks++;
}

void session_uncork(struct session *session)
{
	session->corks--;
	write_more(session);
}

void session_add_loss(struct session *session, Taskmon__Loss__Cause cause, uint64_t count)
{
	send_queue_add_loss(&session->queue, cause, count);
	write_more(session);
}

int session_fail(struct session *session, Taskmon__Error__Code code, const char *format, ...)
{
	va_list arguments;
	char text[512];

	if (session->closing || session->failing)
		return -ECONNABORTED;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	refusal_log(&session->client, text);
	va_start(arguments, format);
	refusal_send(session, code, 0, 0, format, arguments);
	va_end(arguments);
	if (session->closing)
		return -ECONNABORTED;
	session->failing = true;
	intake_stop(&session->intake);
	uv_timer_start(&session->timer, on_timeout, FAREWELL_TIMEOUT_MS, 0);
	write_more(session);
	return -ECONNABORTED;
}

static int on_frame(const Taskmon__Frame *message, void *context)
{
	struct session *session = context;
	int err = session->callbacks->frame(session, message, session->context);

	return session->closing ? -ECONNABORTED : err ? err : session->paused;
}

uint64_t session_used_ns(struct session *session)
{
	uint64_t now_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID), used_ns = now_ns - session->used_mark_ns;

	session->used_mark_ns = now_ns;
	return used_ns;
}

static void take(struct session *session, const uint8_t *bytes, size_t size)
{
	size_t left;
	int err;

	session_used_ns(session);
	err = frame_reader_feed(&session->reader, bytes, size, on_frame, session);
	left = session->reader.left;
	if (session->closing)
		return;
	if (err > 0 && left) {
		uint8_t *untaken = malloc(left);

		if (!untaken) {
			session_close(session);
			return;
		}
		memcpy(untaken, bytes + size - left, left);
		session->untaken = untaken;
		session->untaken_bytes = left;
	} else if (err == -EMSGSIZE) {
		session_fail(session, TASKMON__ERROR__CODE__MALFORMED, "a frame of more than %u bytes", WIRE_CLIENT_FRAME_MAX);
	} else if (err < 0 && err != -ECONNABORTED) {
		session_fail(session, TASKMON__ERROR__CODE__MALFORMED, "not a frame of this protocol");
	}
}

size_t session_take_files(struct session *session, int *fds, size_t most)
{
	return intake_take_files(&session->intake, fds, most);
}

static void on_intake(void *context, const uint8_t *bytes, long size)
{
	struct session *session = context;

	if (size == -EMFILE)
		session_fail(session, TASKMON__ERROR__CODE__LIMIT, "more than %d files", INTAKE_FILES_MAX);
	else if (size <= 0)
		session_close(session);
	else
		take(session, bytes, (size_t)size);
}

static void on_rested(uv_timer_t *rest)
{
	struct session *session = rest->data;
	uint8_t *untaken = session->untaken;
	size_t size = session->untaken_bytes;

	session->paused = false;
	session->untaken = NULL;
	session->untaken_bytes = 0;
	if (session->closing || session->failing) {
		free(untaken);
		return;
	}
	if (size)
		take(session, untaken, size);
	free(untaken);
	if (!session->closing && !session->failing && !session->paused && intake_start(&session->intake))
		session_close(session);
}

void session_pause(struct session *session, uint64_t rest_ns)
{
	if (session->closing || session->failing)
		return;
	session->paused = true;
	intake_stop(&session->intake);
	uv_timer_start(&session->rest, on_rested, rest_ns / 1000000 + 1, 0);
}

int session_accept(uv_stream_t *listener, size_t queue_bytes, const struct session_callbacks *callbacks, void *context,
		   struct session **out)
{
	struct session *session = calloc(1, sizeof(*session));
	int err;

	if (!session)
		return -ENOMEM;
	session->callbacks = callbacks;
	session->context = context;
	send_queue_init(&session->queue, queue_bytes);
	frame_reader_init(&session->reader, WIRE_CLIENT_FRAME_MAX);
	uv_pipe_init(listener->loop, &session->pipe, 0); /* for writing only */
	uv_timer_init(listener->loop, &session->timer);
	uv_timer_init(listener->loop, &session->rest);
	session->pipe.data = session->timer.data = session->rest.data = session;
	err = uv_accept(listener, (uv_stream_t *)&session->pipe);
	if (!err)
		err = intake_open(&session->intake, listener->loop, session_fd(session), on_intake, session);
	if (!err)
		err = intake_start(&session->intake);
	if (!err)
		err = uv_timer_start(&session->timer, on_timeout, HELLO_TIMEOUT_MS, 0);
	*out = session;
	return err;
}

int session_fd(const struct session *session)
{
	uv_os_fd_t fd = -1;

	uv_fileno((const uv_handle_t *)&session->pipe, &fd);
	return fd;
}

struct client *session_client(struct session *session)
{
	return &session->client;
}

struct quota_user *session_quota(const struct session *session)
{
	return session->quota;
}

void session_set_quota(struct session *session, struct quota_user *user, size_t waiting_max)
{
	session->quota = user;
	send_queue_share(&session->queue, quota_waiting(user), waiting_max);
}

bool session_greeted(const struct session *session)
{
	return session->greeted;
}

void session_set_greeted(struct session *session)
{
	session->greeted = true;
	uv_timer_stop(&session->timer);
}
