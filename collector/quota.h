/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one user may take of what all share, so that none takes it all: connections, bytes that wait, and CPU time
 * for requests. (Watches and subscriptions: use.h.) root has no limits of its own, and what is kept free of users is for
 * root and the group whose members see everything.
 */
#ifndef TASKMON_QUOTA_H
#define TASKMON_QUOTA_H

#include <stddef.h>
#include <stdint.h>

#include "access.h"
#include "config.h"

#define QUOTA_SHARE 0.25            /* of a CPU, for the requests of one user, */
#define QUOTA_BURST_NS 1000000000.0 /* after so much at once */
#define QUOTA_REST_NS 5000000000.0  /* it rests so long at most: one that waits for longer takes the collector for dead */
#define QUOTA_QUEUES 8              /* full queues' worth of bytes may wait for one user */

struct quota;

/** One user that has a connection, or owes CPU time. */
struct quota_user;

/** NULL when out of memory. `config` must live longer. */
struct quota *quota_new(const struct config *config);
void quota_free(struct quota *quota);

/**
 * A connection of this client. Returns 0, -EUSERS when its user has too many, -ENOSPC when there are too many in all,
 * -ENOMEM. On any error there is no user and nothing to be given back.
 */
int quota_enter(struct quota *quota, const struct client *client, uint64_t now_ns, struct quota_user **user);
/** It is over; a NULL `user` is nobody. */
void quota_leave(struct quota *quota, const struct client *client, struct quota_user *user);

/** A request has used this much CPU time. `now_ns`, here and elsewhere, is of any clock that does not step. */
void quota_charge(struct quota_user *user, uint64_t now_ns, uint64_t used_ns);
/** How long the user has to rest before its next request; 0: it need not. */
uint64_t quota_rest_ns(struct quota_user *user, uint64_t now_ns);

/** Bytes that wait for the user, to be counted there, and how many may. */
size_t *quota_waiting(struct quota_user *user);
size_t quota_waiting_max(const struct quota *quota, const struct quota_user *user);

#endif
