/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients and users have in use of subscriptions and watches, and how much they may: counted in the feeds that
 * there are. (What else one user may take of what all share: quota.h.)
 */
#ifndef TASKMON_USE_H
#define TASKMON_USE_H

#include <stddef.h>

#include "access.h"
#include "feed.h"

#define SUBSCRIPTIONS_PER_SESSION 16
#define SUBSCRIPTIONS_PER_USER 128 /* each may be a feed of its own, with a megabyte and a pass of its own */
#define WATCHES_PER_USER 32        /* of WATCH_MAX; root has no limit */
#define WATCHES_OF_USERS 56        /* of all who see only their own: the rest is for operators */

/** May this session have one more subscription? 0 or -EMFILE. */
int use_check_session(struct feed *const *feeds, size_t count, const struct session *session);

/**
 * May this client have one more subscription, with this watch? 0; -EUSERS when its user has too many subscriptions, -EDQUOT
 * when its user or all users together have too many watches.
 */
int use_check_user(struct feed *const *feeds, size_t count, const struct client *client, unsigned int watch);

#endif
