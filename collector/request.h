/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients ask for: one handler for each message of proto/PROTOCOL.md.
 */
#ifndef TASKMON_REQUEST_H
#define TASKMON_REQUEST_H

#include "sampler.h"
#include "session.h"

struct heap;

struct requests {
	struct kernel *kernel;
	struct dispatch *dispatch;
	struct sampler *sampler;
	const struct rules *rules;
	struct heap *heap;
};

/** Serve one frame. 0, or the session has failed. */
int request_serve(struct requests *requests, struct session *session, const Taskmon__Frame *message);

#endif
