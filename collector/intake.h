/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client sends: bytes, and descriptors with them (SCM_RIGHTS). libuv could read both, but takes only some of the descriptors
 * of a message; the kernel closes the others then, in the thread that reads, for as long as the client likes (aside.h).
 */
#ifndef TASKMON_INTAKE_H
#define TASKMON_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

enum {
	INTAKE_FILES_MAX = 8,           /* that may wait to be taken */
	INTAKE_MESSAGE_FILES_MAX = 253, /* SCM_MAX_FD, include/net/scm.h */
};

struct intake;

/** `size` bytes have come; 0: the other side has closed; negative errno: -EMFILE if more descriptors wait than may. */
typedef void (*intake_handler)(void *context, const uint8_t *bytes, long size);

struct intake {
	uv_poll_t poll;
	int socket; /* a copy of its own; 0: it is not open */
	intake_handler handler;
	int fds[INTAKE_FILES_MAX + INTAKE_MESSAGE_FILES_MAX +
		1]; /* the oldest first; there is room for a whole message, and for the socket */
	size_t fd_count;
};

/**
 * Prepares to read from a socket that somebody else writes to. `context` is handed to the handler, and is the `data` of the handle
 * that is closed in the end.
 */
int intake_open(struct intake *intake, uv_loop_t *loop, int socket, intake_handler handler, void *context);
bool intake_is_open(const struct intake *intake);
int intake_start(struct intake *intake);
void intake_stop(struct intake *intake);
/** The oldest, `most` at most: they are the caller's. Returns how many there were. */
size_t intake_take_files(struct intake *intake, int *fds, size_t most);
/** Nobody can send any more. What is left to be closed is in `fds` then, when on_closed() is called. */
void intake_close(struct intake *intake, uv_close_cb on_closed);

#endif
