/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All feeds: who subscribes to what, and which record goes to whom.
 */
#ifndef TASKMON_DISPATCH_H
#define TASKMON_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "feed.h"
#include "kernel.h"
#include "watch.h"

struct dispatch;
struct heap;

struct dispatch *dispatch_new(struct kernel *kernel, struct watches *watches, struct cgroups *cgroups, struct smaps *smaps,
			      struct probes *probes, struct streams *streams, struct heap *heap);
void dispatch_free(struct dispatch *dispatch);

/**
 * The feed that serves `watch` with `spec` (whose watch number is filled here); `session` has joined it. -ENOSPC when
 * all watches are in use, -EMFILE when the session has too many subscriptions, -EUSERS when its user has, -EDQUOT when its user
 * or all users together have too many watches, -EEXIST when it has this very one, or
 * what the kernel said.
 */
int dispatch_join(struct dispatch *dispatch, struct session *session, const struct watch_spec *watch, struct feed_spec *spec,
		  struct feed **feed);
void dispatch_leave(struct dispatch *dispatch, struct session *session, struct feed *feed);
/** Attach the probes of a feed to a process, which it follows. Returns 0 or what failed first. */
int dispatch_probe(struct dispatch *dispatch, struct feed *feed, u32 tgid);
/** A record of a feed's tick. */
void dispatch_sample(struct dispatch *dispatch, struct feed *feed, const struct task_record *record);
/** The session is gone. */
void dispatch_leave_all(struct dispatch *dispatch, struct session *session);

/** A feed by its id, if the session has joined it; else NULL. */
struct feed *dispatch_find(struct dispatch *dispatch, const struct session *session, uint32_t id);

/** Has the session a subscription that says which of all rules select a process? Then all rules are in use. */
bool dispatch_explains(const struct dispatch *dispatch, const struct session *session);

/** All feeds, in no order. */
size_t dispatch_feed_count(const struct dispatch *dispatch);
struct feed *dispatch_feed(const struct dispatch *dispatch, size_t index);

/** To be done once with each sample, before any feed gets it; see settle.h. */
void dispatch_settle(struct dispatch *dispatch, struct task_record *record);

/** A record of the lifecycle ring: to the feeds whose watch it names. kernel_event_handler. */
void dispatch_event(const void *record, size_t size, void *dispatch);

/** Send what dispatch_event() gathered, and news of what the kernel side lost. */
void dispatch_flush(struct dispatch *dispatch);

#endif
