/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_uv.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include <uv.h>

enum { HANDLES_MAX = 1024, HANDLES_OF_ONE = 8, WRITES_MAX = 512, ENDING_STEPS = 10000 };

struct fake {
	uv_handle_t *handle;
	uv_handle_type type;
	bool active, closing;
	uv_close_cb on_close;
	union {
		uv_timer_cb timer;
		uv_signal_cb signal;
		uv_poll_cb poll;
		uv_connection_cb listen;
	} callback;
	uv_connect_t *connect; /* that waits */
	uv_connect_cb on_connect;
	uv_alloc_cb alloc;
	uv_read_cb read;
	bool taken; /* a connection that was accepted */
	int signal_number;
};

static struct fake fakes[HANDLES_MAX];
static size_t fake_count;

static struct fake_write {
	uv_write_t *request;
	uv_write_cb done;
	struct fake *fake;
	size_t bytes;
} writes[WRITES_MAX];
static size_t write_count;

static const uint8_t *script;
static size_t script_size;
static int stream_fd = -1;
static uint64_t clock_ns = 1000000000;

void fake_uv_script(const uint8_t *data, size_t size)
{
	script = data;
	script_size = size;
}

void fake_uv_set_fd(int fd)
{
	stream_fd = fd;
}

/* --- handles */

static struct fake *fake_of(const void *handle)
{
	for (size_t i = fake_count; i-- > 0;)
		if (fakes[i].handle == handle)
			return &fakes[i];
	return NULL;
}

static struct fake *add(void *handle, uv_handle_type type)
{
	assert(fake_count < HANDLES_MAX && !fake_of(handle));
	fakes[fake_count] = (struct fake){ .handle = handle, .type = type };
	return &fakes[fake_count++];
}

/* The `chosen`th of those that fit, counted round and round; NULL if there is none. */
static struct fake *choose(bool (*fits)(const struct fake *fake), unsigned int chosen)
{
	unsigned int count = 0;

	for (size_t i = 0; i < fake_count; i++)
		count += fits(&fakes[i]);
	if (count == 0)
		return NULL;
	chosen %= count;
	for (size_t i = 0;; i++)
		if (fits(&fakes[i]) && chosen-- == 0)
			return &fakes[i];
}

static bool is_timer(const struct fake *fake)
{
	return fake->type == UV_TIMER && fake->active && !fake->closing;
}

static bool is_reader(const struct fake *fake)
{
	return fake->read && !fake->closing;
}

static bool is_source(const struct fake *fake)
{
	return (fake->type == UV_SIGNAL || fake->type == UV_POLL) && fake->active && !fake->closing;
}

static bool is_connectable(const struct fake *fake)
{
	return !fake->closing && (fake->connect || (fake->type == UV_NAMED_PIPE && fake->active && fake->callback.listen));
}

static bool is_interrupt(const struct fake *fake)
{
	return is_source(fake) && fake->type == UV_SIGNAL && fake->signal_number == SIGINT;
}

/* --- what happens */

static void complete_write(size_t i, int status)
{
	struct fake_write done = writes[i];

	writes[i] = writes[--write_count];
	if (done.done)
		done.done(done.request, status);
}

static void close_handles(void)
{
	for (size_t i = 0; i < fake_count;) {
		struct fake fake = fakes[i];

		if (!fake.closing) {
			i++;
			continue;
		}
		for (size_t w = write_count; w-- > 0;)
			if (writes[w].fake->handle == fake.handle) {
				complete_write(w, UV_ECANCELED);
				w = write_count; /* it may have changed all */
			}
		if (fake.connect) {
			fake_of(fake.handle)->connect = NULL;
			fake.on_connect(fake.connect, UV_ECANCELED);
		}
		fakes[i] = fakes[--fake_count];
		for (size_t w = 0; w < write_count; w++) /* who has moved */
			if (writes[w].fake == &fakes[fake_count])
				writes[w].fake = &fakes[i];
		if (fake.on_close)
			fake.on_close(fake.handle);
		i = 0;
	}
}

static void deliver(struct fake *fake, const uint8_t *bytes, size_t size)
{
	while (size > 0 && is_reader(fake)) {
		uv_buf_t buffer;
		size_t now;

		fake->alloc(fake->handle, 65536, &buffer);
		now = size < buffer.len ? size : buffer.len;
		memcpy(buffer.base, bytes, now);
		fake->read((uv_stream_t *)fake->handle, (ssize_t)now, &buffer);
		bytes += now, size -= now;
		close_handles();
		fake = choose(is_reader, 0); /* it may have gone; the rest goes to whoever comes next */
		if (!fake)
			return;
	}
}

static void come(unsigned int chosen, bool framed)
{
	struct fake *fake = choose(is_reader, chosen);
	size_t size;

	if (script_size < 2)
		return;
	size = script[0] | (size_t)script[1] << 8;
	script += 2, script_size -= 2;
	size = size < script_size ? size : script_size;
	if (fake && framed) {
		uint8_t head[4] = { (uint8_t)size, (uint8_t)(size >> 8), 0, 0 };
		uv_handle_t *handle = fake->handle;

		deliver(fake, head, sizeof(head));
		fake = fake_of(handle);
	}
	if (fake && is_reader(fake))
		deliver(fake, script, size);
	script += size, script_size -= size;
}

static void fire(struct fake *fake)
{
	if (!fake)
		return;
	if (fake->type == UV_TIMER) {
		fake->active = false;
		clock_ns += 100000000;
		fake->callback.timer((uv_timer_t *)fake->handle);
	} else if (fake->type == UV_SIGNAL) {
		fake->callback.signal((uv_signal_t *)fake->handle, fake->signal_number);
	} else {
		fake->callback.poll((uv_poll_t *)fake->handle, 0, UV_READABLE);
	}
}

static void connect_to(struct fake *fake, int status)
{
	uv_connect_t *connect;

	if (!fake || fake_count > HANDLES_MAX - HANDLES_OF_ONE)
		return;
	connect = fake->connect;
	fake->connect = NULL;
	if (connect)
		fake->on_connect(connect, status);
	else
		fake->callback.listen((uv_stream_t *)fake->handle, status);
}

static void hang_up(struct fake *fake)
{
	uv_buf_t buffer = { 0 };

	if (fake)
		fake->read((uv_stream_t *)fake->handle, UV_EOF, &buffer);
}

static void step(uint8_t code)
{
	unsigned int chosen = code >> 3;

	switch (code & 7) {
	case 0:
	case 1:
		come(chosen, true);
		break;
	case 2:
		come(chosen, false);
		break;
	case 3:
		fire(choose(is_timer, chosen));
		break;
	case 4:
		if (write_count > 0)
			complete_write(chosen % write_count, chosen % 8 == 7 ? UV_EPIPE : 0);
		break;
	case 5:
		connect_to(choose(is_connectable, chosen), chosen % 8 == 7 ? UV_ECONNREFUSED : 0);
		break;
	case 6:
		hang_up(choose(is_reader, chosen));
		break;
	case 7:
		fire(choose(is_source, chosen));
	}
	close_handles();
}

int uv_run(uv_loop_t *loop, uv_run_mode mode)
{
	(void)loop, (void)mode;
	close_handles();
	while (fake_count > 0 && script_size > 0) {
		uint8_t code = *script;

		script++, script_size--;
		step(code);
	}
	for (unsigned int i = 0; fake_count > 0; i++) {
		assert(i < ENDING_STEPS);
		if (i % 100 == 0)
			fire(choose(is_interrupt, 0));
		close_handles();
		if (write_count > 0)
			complete_write(0, 0);
		close_handles();
		connect_to(choose(is_connectable, 0), UV_ECONNREFUSED);
		close_handles();
		fire(choose(is_timer, i));
		close_handles();
	}
	assert(write_count == 0);
	return 0;
}

/* --- the interface */

int uv_loop_init(uv_loop_t *loop)
{
	memset(loop, 0, sizeof(*loop));
	return 0;
}

int uv_loop_close(uv_loop_t *loop)
{
	(void)loop;
	return fake_count ? UV_EBUSY : 0;
}

void uv_walk(uv_loop_t *loop, uv_walk_cb callback, void *context)
{
	(void)loop;
	for (size_t i = 0; i < fake_count; i++)
		callback(fakes[i].handle, context);
}

void uv_close(uv_handle_t *handle, uv_close_cb callback)
{
	struct fake *fake = fake_of(handle);

	assert(fake && !fake->closing);
	fake->closing = true;
	fake->active = false;
	fake->on_close = callback;
}

int uv_is_closing(const uv_handle_t *handle)
{
	struct fake *fake = fake_of(handle);

	return !fake || fake->closing;
}

int uv_is_active(const uv_handle_t *handle)
{
	struct fake *fake = fake_of(handle);

	return fake && fake->active;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
	timer->loop = loop;
	add(timer, UV_TIMER);
	return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout, uint64_t repeat)
{
	struct fake *fake = fake_of(timer);

	(void)timeout, (void)repeat;
	if (!fake || fake->closing)
		return UV_EINVAL;
	fake->active = true;
	fake->callback.timer = callback;
	return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
	struct fake *fake = fake_of(timer);

	if (fake) /* to stop one that is closed is allowed */
		fake->active = false;
	return 0;
}

int uv_signal_init(uv_loop_t *loop, uv_signal_t *signal)
{
	signal->loop = loop;
	add(signal, UV_SIGNAL);
	return 0;
}

int uv_signal_start(uv_signal_t *signal, uv_signal_cb callback, int number)
{
	struct fake *fake = fake_of(signal);

	fake->active = true;
	fake->signal_number = number;
	fake->callback.signal = callback;
	return 0;
}

int uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd)
{
	(void)fd;
	poll->loop = loop;
	add(poll, UV_POLL);
	return 0;
}

int uv_poll_start(uv_poll_t *poll, int events, uv_poll_cb callback)
{
	struct fake *fake = fake_of(poll);

	(void)events;
	assert(fake && !fake->closing);
	fake->active = true;
	fake->callback.poll = callback;
	return 0;
}

int uv_poll_stop(uv_poll_t *poll)
{
	fake_of(poll)->active = false;
	return 0;
}

int uv_pipe_init(uv_loop_t *loop, uv_pipe_t *pipe, int ipc)
{
	(void)ipc;
	pipe->loop = loop;
	add(pipe, UV_NAMED_PIPE);
	return 0;
}

int uv_pipe_bind(uv_pipe_t *pipe, const char *path)
{
	(void)pipe, (void)path;
	return 0;
}

void uv_pipe_connect(uv_connect_t *connect, uv_pipe_t *pipe, const char *path, uv_connect_cb callback)
{
	struct fake *fake = fake_of(pipe);

	(void)path;
	fake->connect = connect;
	fake->on_connect = callback;
}

int uv_listen(uv_stream_t *stream, int backlog, uv_connection_cb callback)
{
	struct fake *fake = fake_of(stream);

	(void)backlog;
	fake->active = true;
	fake->callback.listen = callback;
	return 0;
}

int uv_accept(uv_stream_t *server, uv_stream_t *client)
{
	(void)server;
	fake_of(client)->taken = true;
	return 0;
}

int uv_fileno(const uv_handle_t *handle, uv_os_fd_t *fd)
{
	(void)handle;
	*fd = stream_fd;
	return 0;
}

int uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc, uv_read_cb read)
{
	struct fake *fake = fake_of(stream);

	assert(fake);
	if (fake->closing)
		return UV_EINVAL;
	fake->alloc = alloc;
	fake->read = read;
	return 0;
}

int uv_read_stop(uv_stream_t *stream)
{
	struct fake *fake = fake_of(stream);

	assert(fake);
	fake->read = NULL;
	return 0;
}

int uv_write(uv_write_t *request, uv_stream_t *stream, const uv_buf_t buffers[], unsigned int count, uv_write_cb callback)
{
	struct fake *fake = fake_of(stream);
	static volatile char sink;
	size_t bytes = 0;

	assert(fake && !fake->closing);
	if (write_count == WRITES_MAX)
		return UV_ENOBUFS;
	for (unsigned int i = 0; i < count; i++) {
		for (size_t b = 0; b < buffers[i].len; b += 64)
			sink = buffers[i].base[b]; /* it must be there */
		bytes += buffers[i].len;
	}
	(void)sink;
	writes[write_count++] = (struct fake_write){ request, callback, fake, bytes };
	return 0;
}

size_t uv_stream_get_write_queue_size(const uv_stream_t *stream)
{
	size_t bytes = 0;

	for (size_t w = 0; w < write_count; w++)
		if (writes[w].fake->handle == (const uv_handle_t *)stream)
			bytes += writes[w].bytes;
	return bytes;
}

uv_buf_t uv_buf_init(char *base, unsigned int size)
{
	return (uv_buf_t){ .base = base, .len = size };
}

uint64_t uv_hrtime(void)
{
	return clock_ns += 1000;
}

void uv_update_time(uv_loop_t *loop)
{
	(void)loop;
}

const char *uv_strerror(int err)
{
	return strerror(-err);
}
