/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways to send and to receive through a socket: each takes so many bytes and returns how many it was, or -1.
 */
#ifndef TASKMON_TRANSFER_H
#define TASKMON_TRANSFER_H

#include "workload.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

static char transfer_buffer[1 << 20];

static unused long send_bytes(int fd, long bytes)
{
	return send(fd, transfer_buffer, bytes, MSG_NOSIGNAL);
}

static unused long write_bytes(int fd, long bytes)
{
	return write(fd, transfer_buffer, bytes);
}

static unused long sendmsg_bytes(int fd, long bytes)
{
	struct iovec parts[2] = { { transfer_buffer, 1 }, { transfer_buffer, bytes - 1 } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static unused long recv_bytes(int fd, long bytes)
{
	return recv(fd, transfer_buffer, bytes, MSG_WAITALL);
}

static unused long peek_bytes(int fd, long bytes)
{
	return recv(fd, transfer_buffer, bytes, MSG_WAITALL | MSG_PEEK);
}

static unused long read_bytes(int fd, long bytes)
{
	long got = 0, part = 1;

	for (; got < bytes && part > 0; got += part)
		part = read(fd, transfer_buffer, bytes - got);
	return got;
}

static unused long sendfile_bytes(int fd, long bytes)
{
	int file = memfd_create("zeros", MFD_CLOEXEC);
	long sent;

	if (file < 0 || ftruncate(file, bytes))
		die("memfd_create");
	sent = sendfile(fd, file, NULL, bytes);
	close(file);
	return sent;
}

/* Between the socket and a pipe. */
static unused long splice_bytes(int fd, long bytes, bool receive)
{
	long done = 0, part = 1;
	int ends[2];

	if (pipe(ends))
		die("pipe");
	if (!receive && write(ends[1], transfer_buffer, bytes) != bytes)
		die("write to the pipe");
	for (; done < bytes && part > 0; done += part) {
		part = receive ? splice(fd, NULL, ends[1], NULL, bytes - done, 0) :
				 splice(ends[0], NULL, fd, NULL, bytes - done, 0);
		if (receive && part > 0 && read(ends[0], transfer_buffer, part) != part)
			die("read from the pipe");
	}
	close(ends[0]);
	close(ends[1]);
	return done;
}

static unused long splice_out(int fd, long bytes)
{
	return splice_bytes(fd, bytes, false);
}

static unused long splice_in(int fd, long bytes)
{
	return splice_bytes(fd, bytes, true);
}
#endif
