/* SPDX-License-Identifier: BSD-2-Clause */
#include "passed_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

/*
 * libuv gives what was passed only as a stream, whatever it is: a copy of the descriptor is kept, and that handle is
 * closed again.
 */
static int receive_one(struct passed_files *files, uv_pipe_t *pipe)
{
	uv_pipe_t *handle = malloc(sizeof(*handle));
	uv_os_fd_t fd;
	int err;

	if (!handle)
		return -ENOMEM;
	uv_pipe_init(pipe->loop, handle, 0);
	err = uv_accept((uv_stream_t *)pipe, (uv_stream_t *)handle);
	if (!err && files->count == PASSED_FILES_MAX)
		err = -EMFILE;
	if (!err)
		err = uv_fileno((uv_handle_t *)handle, &fd);
	if (!err) {
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		err = fd < 0 ? -errno : 0;
	}
	if (!err)
		files->fds[files->count++] = fd;
	uv_close((uv_handle_t *)handle, free_handle);
	return err;
}

/* All must be taken, or libuv would keep them. */
int passed_files_receive(struct passed_files *files, uv_pipe_t *pipe)
{
	int err = 0;

	while (uv_pipe_pending_count(pipe) > 0) {
		int received = receive_one(files, pipe);

		if (received == -ENOMEM)
			return received;
		err = err ? err : received;
	}
	return err;
}

size_t passed_files_take(struct passed_files *files, int *fds, size_t most)
{
	size_t count = files->count < most ? files->count : most;

	memcpy(fds, files->fds, count * sizeof(*fds));
	files->count -= count;
	memmove(files->fds, files->fds + count, files->count * sizeof(*fds));
	return count;
}

void passed_files_close(struct passed_files *files)
{
	while (files->count)
		close(files->fds[--files->count]);
}
