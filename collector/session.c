/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clock.h"
#include "log.h"
#include "quota.h"
#include "str.h"
#include "wire.h"

#define SUBSYSTEM "session"

enum {
	HELLO_TIMEOUT_MS = 10000,
	STALL_TIMEOUT_MS = 30000,  /* a client that reads nothing for so long is disconnected */
	FAREWELL_TIMEOUT_MS = 2000, /* for the last Error to be read */
	WRITE_FRAMES = 32,         /* handed to the kernel at once; these cannot be dropped any more */
	READ_BYTES = 64 << 10,
	ANSWERS_BYTES_MAX = 1 << 20, /* what is never dropped must not grow for ever: many times the longest Welcome */
	LOG_INTERVAL_NS = 1000000000,
	LOSS_CAUSES_WIRE = TASKMON__LOSS__CAUSE__HEAP_FULL + 1, /* the last of them */
};

struct queued {
	TAILQ_ENTRY(queued) link;
	struct frame *frame;
	enum session_load load;
	size_t rows;
};
TAILQ_HEAD(queue, queued);

struct session {
	uv_pipe_t pipe;
	uv_timer_t timer; /* hello, stall or farewell */
	uv_timer_t rest;  /* of one that has asked for too much */
	uv_write_t write;
	const struct session_callbacks *callbacks;
	void *context;
	struct client client;
	struct quota_user *quota;
	size_t user_waiting_max;
	uint64_t used_mark_ns; /* CPU time of this thread when what has not been told began */
	struct frame_reader reader;
	uint8_t *untaken; /* came before it was paused */
	size_t untaken_bytes;
	bool greeted, failing, closing, paused;
	unsigned int corks;

	struct queue queue;
	size_t queue_limit, queue_bytes; /* what is being written counts too */
	size_t queued_samples;           /* frames of that load in `queue` */
	size_t answers_bytes;            /* of frames in `queue` that are never dropped */
	struct queue writing;
	size_t written_before; /* bytes that the kernel had not taken when the stall timer was set */
	uint64_t lost[LOSS_CAUSES_WIRE];
};

/* One for all: libuv fills it and hands it over in one go. */
static char read_buffer[READ_BYTES];

static const Taskmon__Loss__Cause loss_cause_of[SESSION_LOADS] = {
	[SESSION_SAMPLES] = TASKMON__LOSS__CAUSE__QUEUE_SAMPLES,
	[SESSION_ENDED] = TASKMON__LOSS__CAUSE__QUEUE_ENDED,
	[SESSION_EVENTS] = TASKMON__LOSS__CAUSE__QUEUE_EVENTS,
};

static void write_more(struct session *session);

/* One line a second for all: a hostile client shall not fill the log. `text` may hold what the client sent. */
static void log_failure(const struct session *session, const char *text)
{
	static uint64_t logged_ns;
	static unsigned long untold;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	char line[256], more[64] = "";

	if (logged_ns && now_ns - logged_ns < LOG_INTERVAL_NS) {
		untold++;
		return;
	}
	if (untold)
		snprintf(more, sizeof(more), " (and %lu others since the last such line)", untold);
	str_sanitize(line, sizeof(line), text, strlen(text));
	log_warning(SUBSYSTEM, "client of uid %u, pid %d is disconnected: %s%s", session->client.uid, (int)session->client.pid,
		    line, more);
	logged_ns = now_ns;
	untold = 0;
}

/* What waits counts for the session and for its user. */
static void count_bytes(struct session *session, size_t more, size_t less)
{
	session->queue_bytes += more - less;
	if (session->quota)
		*quota_waiting(session->quota) += more - less;
}

static void on_pipe_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;

	count_bytes(session, 0, session->queue_bytes);
	free(session->untaken);
	session->callbacks->closed(session, session->context);
	free(session);
}

static void on_rest_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;

	uv_close((uv_handle_t *)&session->pipe, on_pipe_closed);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;

	uv_close((uv_handle_t *)&session->rest, on_rest_closed);
}

static void free_queue(struct queue *queue)
{
	struct queued *entry;

	while ((entry = TAILQ_FIRST(queue))) {
		TAILQ_REMOVE(queue, entry, link);
		frame_unref(entry->frame);
		free(entry);
	}
}

void session_close(struct session *session)
{
	if (session->closing)
		return;
	session->closing = true;
	/* `writing` belongs to libuv until its callback has run */
	free_queue(&session->queue);
	frame_reader_free(&session->reader);
	uv_close((uv_handle_t *)&session->timer, on_timer_closed);
}

static void on_timeout(uv_timer_t *timer)
{
	struct session *session = timer->data;
	size_t unwritten = uv_stream_get_write_queue_size((uv_stream_t *)&session->pipe);

	if (session->failing) {
		session_close(session);
	} else if (!session->greeted) {
		session_fail(session, TASKMON__ERROR__CODE__TIMED_OUT, "no Hello within %d s",
			     HELLO_TIMEOUT_MS / 1000);
	} else if (unwritten > 0 && unwritten == session->written_before) {
		log_failure(session, "it read nothing for 30 s");
		session_close(session);
	} else if (unwritten > 0) {
		session->written_before = unwritten;
		uv_timer_start(timer, on_timeout, STALL_TIMEOUT_MS, 0);
	}
}

static void on_written(uv_write_t *request, int status)
{
	struct session *session = request->data;
	struct queued *entry;

	TAILQ_FOREACH(entry, &session->writing, link)
		count_bytes(session, 0, entry->frame->size);
	free_queue(&session->writing);
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

static struct queued *enqueue(struct queue *queue, bool front, struct frame *frame, enum session_load load, size_t rows)
{
	struct queued *entry = malloc(sizeof(*entry));

	if (!entry)
		return NULL;
	*entry = (struct queued){ .frame = frame_ref(frame), .load = load, .rows = rows };
	if (front)
		TAILQ_INSERT_HEAD(queue, entry, link);
	else
		TAILQ_INSERT_TAIL(queue, entry, link);
	return entry;
}

/* What was dropped stood before what is still in the queue: so does the news of it. */
static void queue_losses(struct session *session)
{
	Taskmon__Loss__Count counts[LOSS_CAUSES_WIRE], *list[LOSS_CAUSES_WIRE];
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Loss loss = TASKMON__LOSS__INIT;
	struct frame *frame;

	for (int cause = 0; cause < LOSS_CAUSES_WIRE; cause++) {
		if (!session->lost[cause])
			continue;
		taskmon__loss__count__init(&counts[loss.n_counts]);
		counts[loss.n_counts].cause = (Taskmon__Loss__Cause)cause;
		counts[loss.n_counts].count = session->lost[cause];
		list[loss.n_counts] = &counts[loss.n_counts];
		loss.n_counts++;
	}
	if (loss.n_counts == 0)
		return;
	loss.counts = list;
	message.body_case = TASKMON__FRAME__BODY_LOSS;
	message.loss = &loss;
	frame = frame_encode(&message);
	if (frame && enqueue(&session->queue, true, frame, SESSION_CONTROL, 0)) {
		count_bytes(session, frame->size, 0);
		session->answers_bytes += frame->size;
		memset(session->lost, 0, sizeof(session->lost));
	}
	frame_unref(frame);
}

/* Hand frames to libuv, a few at a time: what waits in our own queue can still be dropped. */
static void write_more(struct session *session)
{
	uv_buf_t buffers[WRITE_FRAMES];
	unsigned int count = 0;
	struct queued *entry;

	if (session->closing || session->corks > 0 || !TAILQ_EMPTY(&session->writing))
		return;
	queue_losses(session);
	while (count < WRITE_FRAMES && (entry = TAILQ_FIRST(&session->queue))) {
		TAILQ_REMOVE(&session->queue, entry, link);
		session->queued_samples -= entry->load == SESSION_SAMPLES;
		session->answers_bytes -= entry->load == SESSION_CONTROL ? entry->frame->size : 0;
		TAILQ_INSERT_TAIL(&session->writing, entry, link);
		buffers[count++] = uv_buf_init((char *)entry->frame->bytes, (unsigned int)entry->frame->size);
	}
	if (count == 0) {
		if (session->failing)
			session_close(session);
		return;
	}
	session->write.data = session;
	if (uv_write(&session->write, (uv_stream_t *)&session->pipe, buffers, count, on_written)) {
		free_queue(&session->writing);
		session_close(session);
		return;
	}
	if (session->greeted && !session->failing) {
		session->written_before = uv_stream_get_write_queue_size((uv_stream_t *)&session->pipe);
		uv_timer_start(&session->timer, on_timeout, STALL_TIMEOUT_MS, 0);
	}
}

static void drop(struct session *session, struct queued *entry)
{
	session->lost[loss_cause_of[entry->load]] += entry->rows;
	session->queued_samples -= entry->load == SESSION_SAMPLES;
	count_bytes(session, 0, entry->frame->size);
	TAILQ_REMOVE(&session->queue, entry, link);
	frame_unref(entry->frame);
	free(entry);
}

/* An empty queue takes anything, or a limit below the size of a frame would let nothing through. */
static bool fits(const struct session *session, size_t size)
{
	if (session->queue_bytes == 0)
		return true;
	if (session->quota && *quota_waiting(session->quota) + size > session->user_waiting_max)
		return false;
	return session->queue_bytes + size <= session->queue_limit;
}

/* Drop the oldest samples, and when there are none, the oldest of what else can go, until `size` bytes fit. */
static void make_room(struct session *session, size_t size)
{
	struct queued *entry = TAILQ_FIRST(&session->queue), *next;

	for (; entry && session->queued_samples && !fits(session, size); entry = next) {
		next = TAILQ_NEXT(entry, link);
		if (entry->load == SESSION_SAMPLES)
			drop(session, entry);
	}
	for (entry = TAILQ_FIRST(&session->queue); entry && !fits(session, size); entry = next) {
		next = TAILQ_NEXT(entry, link);
		if (entry->load != SESSION_CONTROL)
			drop(session, entry);
	}
}

void session_send(struct session *session, struct frame *frame, enum session_load load, size_t rows)
{
	if (session->closing || session->failing)
		return;
	if (frame && load != SESSION_CONTROL)
		make_room(session, frame->size);
	if (!frame || (load != SESSION_CONTROL && !fits(session, frame->size)) ||
	    !enqueue(&session->queue, false, frame, load, rows)) {
		if (load == SESSION_CONTROL)
			session_close(session); /* out of memory */
		else
			session->lost[loss_cause_of[load]] += rows;
		return;
	}
	count_bytes(session, frame->size, 0);
	session->queued_samples += load == SESSION_SAMPLES;
	session->answers_bytes += load == SESSION_CONTROL ? frame->size : 0;
	write_more(session);
	if (session->answers_bytes > ANSWERS_BYTES_MAX && !session->closing) {
		log_failure(session, "asks without reading the answers");
		session_close(session);
	}
}

void session_send_control(struct session *session, const Taskmon__Frame *message)
{
	struct frame *frame = frame_encode(message);

	session_send(session, frame, SESSION_CONTROL, 0);
	frame_unref(frame);
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
	session->lost[cause] += count;
	write_more(session);
}

static void send_error(struct session *session, Taskmon__Error__Code code, uint32_t request, uint32_t process,
		       const char *format, va_list arguments)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Error error = TASKMON__ERROR__INIT;
	char text[512], line[512];

	vsnprintf(text, sizeof(text), format, arguments);
	error.code = code;
	error.request = request;
	error.process = process;
	error.message = text;
	message.body_case = TASKMON__FRAME__BODY_ERROR;
	message.error = &error;
	str_sanitize(line, sizeof(line), text, strlen(text));
	log_debug(SUBSYSTEM, "client of uid %u, pid %d: %s", session->client.uid, (int)session->client.pid, line);
	session_send_control(session, &message);
}

void session_refuse(struct session *session, Taskmon__Error__Code code, uint32_t request, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	send_error(session, code, request, 0, format, arguments);
	va_end(arguments);
}

void session_refuse_process(struct session *session, Taskmon__Error__Code code, uint32_t request, uint32_t process,
			    const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	send_error(session, code, request, process, format, arguments);
	va_end(arguments);
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
	log_failure(session, text);
	va_start(arguments, format);
	send_error(session, code, 0, 0, format, arguments);
	va_end(arguments);
	if (session->closing)
		return -ECONNABORTED;
	session->failing = true;
	uv_read_stop((uv_stream_t *)&session->pipe);
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

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	(void)handle;
	(void)suggested;
	*buffer = uv_buf_init(read_buffer, READ_BYTES);
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
		session_fail(session, TASKMON__ERROR__CODE__MALFORMED, "a frame of more than %u bytes",
			     WIRE_CLIENT_FRAME_MAX);
	} else if (err < 0 && err != -ECONNABORTED) {
		session_fail(session, TASKMON__ERROR__CODE__MALFORMED, "not a frame of this protocol");
	}
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
	struct session *session = stream->data;

	if (session->closing || size == 0)
		return;
	if (size < 0)
		session_close(session);
	else
		take(session, (const uint8_t *)buffer->base, (size_t)size);
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
	if (!session->closing && !session->failing && !session->paused &&
	    uv_read_start((uv_stream_t *)&session->pipe, on_alloc, on_read))
		session_close(session);
}

void session_pause(struct session *session, uint64_t rest_ns)
{
	if (session->closing || session->failing)
		return;
	session->paused = true;
	uv_read_stop((uv_stream_t *)&session->pipe);
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
	session->queue_limit = queue_bytes;
	TAILQ_INIT(&session->queue);
	TAILQ_INIT(&session->writing);
	frame_reader_init(&session->reader, WIRE_CLIENT_FRAME_MAX);
	uv_pipe_init(listener->loop, &session->pipe, 0);
	uv_timer_init(listener->loop, &session->timer);
	uv_timer_init(listener->loop, &session->rest);
	session->pipe.data = session->timer.data = session->rest.data = session;
	err = uv_accept(listener, (uv_stream_t *)&session->pipe);
	if (!err)
		err = uv_read_start((uv_stream_t *)&session->pipe, on_alloc, on_read);
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
	session->user_waiting_max = waiting_max;
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
