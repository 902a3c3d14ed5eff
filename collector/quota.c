/* SPDX-License-Identifier: BSD-2-Clause */
#include "quota.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "hash.h"

enum { RESERVED_SHARE = 8 }; /* one in so many connections is not for users */

struct quota_user {
	uint32_t uid;
	UT_hash_handle hh;
	unsigned int connections;
	size_t waiting;
	double owed_ns;
	uint64_t as_of_ns;
};

struct quota {
	const struct config *config;
	struct quota_user *users;
	unsigned int connections;      /* in all */
	unsigned int user_connections; /* of those who do not see everything */
};

struct quota *quota_new(const struct config *config)
{
	struct quota *quota = calloc(1, sizeof(*quota));

	if (quota)
		quota->config = config;
	return quota;
}

static void drop(struct quota *quota, struct quota_user *user)
{
	HASH_DEL(quota->users, user);
	free(user);
}

void quota_free(struct quota *quota)
{
	struct quota_user *user, *next;

	if (!quota)
		return;
	HASH_ITER(hh, quota->users, user, next)
		drop(quota, user);
	free(quota);
}

static bool is_unlimited(const struct quota_user *user)
{
	return user->uid == 0;
}

static struct quota_user *find_or_add(struct quota *quota, uint32_t uid, uint64_t now_ns)
{
	struct quota_user *user;

	HASH_FIND(hh, quota->users, &uid, sizeof(uid), user);
	if (user)
		return user;
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	user->as_of_ns = now_ns;
	HASH_ADD(hh, quota->users, uid, sizeof(user->uid), user);
	if (user->hh.tbl)
		return user;
	free(user);
	return NULL;
}

/* Debts outlive the connection that made them, or connecting again would pay them. */
static void forget_if_idle(struct quota *quota, struct quota_user *user)
{
	if (!user->connections && !user->waiting && user->owed_ns == 0)
		drop(quota, user);
}

static void pay(struct quota_user *user, uint64_t now_ns)
{
	user->owed_ns -= QUOTA_SHARE * (double)(now_ns - user->as_of_ns);
	if (user->owed_ns < 0)
		user->owed_ns = 0;
	user->as_of_ns = now_ns;
}

static void forget_who_paid(struct quota *quota, uint64_t now_ns)
{
	struct quota_user *user, *next;

	HASH_ITER(hh, quota->users, user, next) {
		pay(user, now_ns);
		forget_if_idle(quota, user);
	}
}

int quota_enter(struct quota *quota, const struct client *client, uint64_t now_ns, struct quota_user **out)
{
	unsigned int max = quota->config->max_clients;
	struct quota_user *user;
	int err = 0;

	*out = NULL;
	forget_who_paid(quota, now_ns);
	user = find_or_add(quota, client->uid, now_ns);
	if (!user)
		return -ENOMEM;
	if (!is_unlimited(user) && user->connections >= quota->config->max_clients_per_user)
		err = -EUSERS;
	else if (quota->connections >= max || (!client->sees_all && quota->user_connections >= max - max / RESERVED_SHARE))
		err = -ENOSPC;
	if (err) {
		forget_if_idle(quota, user);
		return err;
	}
	user->connections++;
	quota->connections++;
	quota->user_connections += !client->sees_all;
	*out = user;
	return 0;
}

void quota_leave(struct quota *quota, const struct client *client, struct quota_user *user)
{
	if (!user)
		return;
	user->connections--;
	quota->connections--;
	quota->user_connections -= !client->sees_all;
	forget_if_idle(quota, user);
}

void quota_charge(struct quota_user *user, uint64_t now_ns, uint64_t used_ns)
{
	const double most_ns = QUOTA_BURST_NS + QUOTA_REST_NS * QUOTA_SHARE;

	pay(user, now_ns);
	if (is_unlimited(user))
		return;
	user->owed_ns += (double)used_ns;
	if (user->owed_ns > most_ns)
		user->owed_ns = most_ns;
}

uint64_t quota_rest_ns(struct quota_user *user, uint64_t now_ns)
{
	pay(user, now_ns);
	return user->owed_ns <= QUOTA_BURST_NS ? 0 : (uint64_t)((user->owed_ns - QUOTA_BURST_NS) / QUOTA_SHARE);
}

size_t *quota_waiting(struct quota_user *user)
{
	return &user->waiting;
}

size_t quota_waiting_max(const struct quota *quota, const struct quota_user *user)
{
	return is_unlimited(user) ? SIZE_MAX : QUOTA_QUEUES * quota->config->queue_bytes;
}
