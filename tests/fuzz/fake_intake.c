/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients send comes from the script of the fake libuv: to it, an intake is a stream. No descriptors come.
 */
#include "intake.h"

#include <uv.h>

static uint8_t buffer[64 << 10];

static uv_stream_t *stream_of(struct intake *intake)
{
	return (uv_stream_t *)&intake->poll; /* no more than an address and what every handle begins with */
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *space)
{
	(void)handle, (void)suggested;
	*space = uv_buf_init((char *)buffer, sizeof(buffer));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *space)
{
	struct intake *intake = (struct intake *)stream;

	intake->handler(stream->data, (const uint8_t *)space->base, size < 0 ? 0 : size);
}

int intake_open(struct intake *intake, uv_loop_t *loop, int socket, intake_handler handler, void *context)
{
	intake->socket = socket;
	intake->handler = handler;
	intake->poll.data = context;
	return uv_pipe_init(loop, (uv_pipe_t *)&intake->poll, 0);
}

bool intake_is_open(const struct intake *intake)
{
	return intake->socket > 0;
}

int intake_start(struct intake *intake)
{
	return uv_read_start(stream_of(intake), on_alloc, on_read);
}

void intake_stop(struct intake *intake)
{
	uv_read_stop(stream_of(intake));
}

size_t intake_take_files(struct intake *intake, int *fds, size_t most)
{
	(void)intake, (void)fds, (void)most;
	return 0;
}

void intake_close(struct intake *intake, uv_close_cb on_closed)
{
	uv_close((uv_handle_t *)&intake->poll, on_closed);
}
