/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10 };

/* One for all: what has come is handed over at once. */
static uint8_t buffer[READ_BYTES];

static void keep_files(struct intake *intake, struct msghdr *message)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t bytes = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(intake->fds + intake->fd_count, CMSG_DATA(header), bytes);
		intake->fd_count += bytes / sizeof(int);
	}
}

static long receive(struct intake *intake)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(INTAKE_MESSAGE_FILES_MAX * sizeof(int))];
	} control;
	struct iovec part = { buffer, sizeof(buffer) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t size;

	do
		size = recvmsg(intake->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return -errno;
	keep_files(intake, &message);
	return intake->fd_count > INTAKE_FILES_MAX ? -EMFILE : size;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct intake *intake = (struct intake *)poll;
	long size = status < 0 ? status : receive(intake);

	(void)events;
	if (size != -EAGAIN)
		intake->handler(poll->data, buffer, size);
}

int intake_open(struct intake *intake, uv_loop_t *loop, int socket, intake_handler handler, void *context)
{
	int fd = fcntl(socket, F_DUPFD_CLOEXEC, 0); /* libuv watches the other one already */
	int err = fd < 0 ? -errno : uv_poll_init(loop, &intake->poll, fd);

	if (err) {
		if (fd >= 0)
			close(fd);
		return err;
	}
	intake->socket = fd;
	intake->handler = handler;
	intake->poll.data = context;
	return 0;
}

bool intake_is_open(const struct intake *intake)
{
	return intake->socket > 0;
}

int intake_start(struct intake *intake)
{
	return uv_poll_start(&intake->poll, UV_READABLE, on_readable);
}

void intake_stop(struct intake *intake)
{
	uv_poll_stop(&intake->poll);
}

size_t intake_take_files(struct intake *intake, int *fds, size_t most)
{
	size_t count = intake->fd_count < most ? intake->fd_count : most;

	memcpy(fds, intake->fds, count * sizeof(*fds));
	intake->fd_count -= count;
	memmove(intake->fds, intake->fds + count, intake->fd_count * sizeof(*fds));
	return count;
}

/* Receives all that has been sent, as far as there is room for descriptors. */
static bool drain(struct intake *intake)
{
	long size;

	do
		size = intake->fd_count > INTAKE_FILES_MAX ? -ENOBUFS : receive(intake);
	while (size > 0);
	return size == 0 || size == -EAGAIN;
}

void intake_close(struct intake *intake, uv_close_cb on_closed)
{
	uv_close((uv_handle_t *)&intake->poll, on_closed);
	shutdown(intake->socket, SHUT_RDWR);
	/* what was sent and not received is closed with the socket */
	if (drain(intake))
		close(intake->socket);
	else
		intake->fds[intake->fd_count++] = intake->socket;
}
