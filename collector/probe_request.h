/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probes of a subscription: from the files that the client has opened and the names of functions to slots.
 *
 * Nothing is opened here by its name. The client opens the file with its own rights, in its own root directory, and
 * passes the descriptor; what can be read through that is the client's to see. The kernel is then given this very file.
 */
#ifndef TASKMON_PROBE_REQUEST_H
#define TASKMON_PROBE_REQUEST_H

#include "feed.h"
#include "probe.h"
#include "session.h"
#include "watch.h"

/**
 * Fill the probes of `spec`, whose slots are the caller's then. Returns 0, or -EINVAL after the client has been told
 * what is wrong, and nothing is taken.
 */
int probe_request_read(struct probes *probes, struct session *session, const Taskmon__Subscribe *subscribe,
		       const struct watch_spec *watch, struct feed_spec *spec);

#endif
