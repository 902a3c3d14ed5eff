/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection to the collector: bytes in, frames out. What the frames mean is for its owner.
 */
#ifndef TASKMON_LINK_H
#define TASKMON_LINK_H

#include <stdbool.h>

#include <uv.h>

#include "frame.h"

struct link;

struct link_callbacks {
	/** Connected: Hello has been sent. Or, with a negative errno, it could not be reached. */
	void (*connected)(struct link *link, int err);
	/** A frame came. Non-zero: do not read on; the callee has seen to the end of the link. */
	int (*frame)(struct link *link, const Taskmon__Frame *message);
	/** All frames that came with one read have been handed over. */
	void (*settled)(struct link *link);
	/** The collector closed the connection (0), or it failed with a negative errno; -EPROTO: it spoke nonsense. */
	void (*lost)(struct link *link, int err);
};

struct link {
	uv_pipe_t pipe;
	uv_connect_t connect;
	struct frame_reader reader;
	const struct link_callbacks *callbacks;
	void *context; /* of the owner */
	char bytes[64 << 10];
};

/** Connect to the socket at `path` and say Hello. The result comes through the callbacks. */
void link_open(struct link *link, uv_loop_t *loop, const char *path, const struct link_callbacks *callbacks, void *context);

/** Send a frame. Returns 0 or a negative errno. */
int link_send(struct link *link, const Taskmon__Frame *message);

/** Send a frame with copies of these descriptors. Nothing else may be on its way. Returns 0 or a negative errno. */
int link_send_files(struct link *link, const Taskmon__Frame *message, const int *files, size_t count);

/** Close it; no callback comes after this. May be called twice. */
void link_close(struct link *link);

#endif
