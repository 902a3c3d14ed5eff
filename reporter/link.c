/* SPDX-License-Identifier: BSD-2-Clause */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "wire.h"

enum { LINK_FILES_MAX = 8 };

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

/* The rest of a frame of which `sent` bytes have been sent. Takes over the reference. */
static int write_frame(struct link *link, struct frame *frame, size_t sent)
{
	struct link_write *write = frame ? calloc(1, sizeof(*write)) : NULL;
	int err = -ENOMEM;
	uv_buf_t buffer;

	if (!write)
		goto out;
	write->frame = frame;
	write->request.data = write;
	buffer = uv_buf_init((char *)frame->bytes + sent, (unsigned int)(frame->size - sent));
	err = uv_write(&write->request, (uv_stream_t *)&link->pipe, &buffer, 1, on_written);
	if (!err)
		return 0;
out:
	frame_unref(frame);
	free(write);
	return err;
}

int link_send(struct link *link, const Taskmon__Frame *message)
{
	return write_frame(link, frame_encode(message), 0);
}

/* The descriptors go with the first byte; libuv cannot send any but its own kinds. */
static int send_first_byte(struct link *link, struct frame *frame, const int *files, size_t count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(LINK_FILES_MAX * sizeof(int))] = { 0 };
	struct iovec byte = { .iov_base = frame->bytes, .iov_len = 1 };
	struct msghdr header = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
	uv_os_fd_t fd;
	int err = uv_fileno((uv_handle_t *)&link->pipe, &fd);

	if (err)
		return err;
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(rights), files, count * sizeof(int));
	return sendmsg(fd, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int link_send_files(struct link *link, const Taskmon__Frame *message, const int *files, size_t count)
{
	struct frame *frame = frame_encode(message);
	int err = !frame ? -ENOMEM : count > LINK_FILES_MAX ? -E2BIG : 0;

	if (!err && uv_stream_get_write_queue_size((uv_stream_t *)&link->pipe))
		err = -EAGAIN;
	if (!err)
		err = send_first_byte(link, frame, files, count);
	if (!err)
		return write_frame(link, frame, 1);
	frame_unref(frame);
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

void link_open(struct link *link, uv_loop_t *loop, const char *path, const struct link_callbacks *callbacks, void *context)
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
