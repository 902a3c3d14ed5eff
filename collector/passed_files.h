/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that come with frames (SCM_RIGHTS), until somebody takes them.
 */
#ifndef TASKMON_PASSED_FILES_H
#define TASKMON_PASSED_FILES_H

#include <stddef.h>

#include <uv.h>

enum { PASSED_FILES_MAX = 8 };

struct passed_files {
	int fds[PASSED_FILES_MAX]; /* the oldest first */
	size_t count;
};

/** Take all that have come with what was read from `pipe` last. Returns 0, -EMFILE if there are more than PASSED_FILES_MAX, or another negative errno. */
int passed_files_receive(struct passed_files *files, uv_pipe_t *pipe);

/** The oldest, `most` at most: they are the caller's. Returns how many there were. */
size_t passed_files_take(struct passed_files *files, int *fds, size_t most);

/** Close what nobody has taken. */
void passed_files_close(struct passed_files *files);

#endif
