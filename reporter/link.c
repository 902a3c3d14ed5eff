/* SPDX-License-Identifier: BSD-2-Clause */
#include "link.h"

#include <errno.h>
#include <stdlib.h>

#include "wire.h"

struct link_write {
	uv_write_t request;
	struct frame *frame;
};

static void on_written(uv_write_t *request, int status)
{
	struct link_write *write = request->data;

	(void)status; /* a broken connection is noticed by the reading side */
	frame_unref(write->frame);
	free(write);
}

int link_send(struct link *link, const Taskmon__Frame *message)
{
	struct link_write *write = calloc(1, sizeof(*write));
	int err = -ENOMEM;
	uv_buf_t buffer;

	if (!write)
		return -ENOMEM;
	write->frame = frame_encode(message);
	if (!write->frame)
		goto out;
	write->request.data = write;
	buffer = uv_buf_init((char *)write->frame->bytes, (unsigned int)write->frame->size);
	err = uv_write(&write->request, (uv_stream_t *)&link->pipe, &buffer, 1, on_written);
	if (!err)
		return 0;
out:
	frame_unref(write->frame);
	free(write);
	return err;
}

static int say_hello(struct link *link)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Hello hello = TASKMON__HELLO__INIT;

	hello.protocol = WIRE_PROTOCOL;
	hello.client = "taskmon-report " TASKMON_VERSION;
	message.body_case = TASKMON__FRAME__BODY_HELLO;
	message.hello = &hello;
	return link_send(link, &message);
}

static int on_frame(const Taskmon__Frame *message, void *context)
{
	struct link *link = context;

	return link->callbacks->frame(link, message);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct link *link = handle->data;

	(void)suggested;
	*buffer = uv_buf_init(link->bytes, sizeof(link->bytes));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
	struct link *link = stream->data;
	int err = 0;

	if (size > 0)
		err = frame_reader_feed(&link->reader, (const uint8_t *)buffer->base, (size_t)size, on_frame, link);
	if (uv_is_closing((uv_handle_t *)stream))
		return;
	if (err || size < 0) {
		uv_read_stop(stream);
		link->callbacks->lost(link, err ? err : size == UV_EOF ? 0 : (int)size);
	} else if (size > 0) {
		link->callbacks->settled(link);
	}
}

static void on_connected(uv_connect_t *connect, int status)
{
	struct link *link = connect->data;

	if (status == UV_ECANCELED)
		return;
	if (!status)
		status = say_hello(link);
	if (!status)
		status = uv_read_start((uv_stream_t *)&link->pipe, on_alloc, on_read);
	link->callbacks->connected(link, status);
}

void link_open(struct link *link, uv_loop_t *loop, const char *path, const struct link_callbacks *callbacks,
	       void *context)
{
	link->callbacks = callbacks;
	link->context = context;
	frame_reader_init(&link->reader, WIRE_SERVER_FRAME_MAX);
	uv_pipe_init(loop, &link->pipe, false);
	link->pipe.data = link;
	link->connect.data = link;
	uv_pipe_connect(&link->connect, &link->pipe, path, on_connected);
}

static void on_closed(uv_handle_t *handle)
{
	struct link *link = handle->data;

	frame_reader_free(&link->reader);
}

void link_close(struct link *link)
{
	if (!uv_is_closing((uv_handle_t *)&link->pipe))
		uv_close((uv_handle_t *)&link->pipe, on_closed);
}
