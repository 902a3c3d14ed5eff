/* SPDX-License-Identifier: BSD-2-Clause */
#include "use.h"

#include <errno.h>

#include "session.h"

struct use {
	size_t subscriptions; /* of the user */
	u64 watches;          /* of the user */
	u64 watches_of_users; /* of all who see only their own */
};

static struct use use_of(struct feed *const *feeds, size_t count, uid_t uid)
{
	struct use use = { 0 };

	for (size_t i = 0; i < count; i++) {
		const struct feed *feed = feeds[i];
		u64 bit = 1ULL << feed_spec(feed)->watch;

		for (size_t s = 0; s < feed_subscribers(feed); s++) {
			const struct client *client = session_client(feed_subscriber(feed, s));

			use.subscriptions += client->uid == uid;
			use.watches |= client->uid == uid ? bit : 0;
			use.watches_of_users |= client->sees_all ? 0 : bit;
		}
	}
	return use;
}

int use_check_session(struct feed *const *feeds, size_t count, const struct session *session)
{
	size_t subscriptions = 0;

	for (size_t i = 0; i < count; i++)
		subscriptions += feed_has(feeds[i], session);
	return subscriptions >= SUBSCRIPTIONS_PER_SESSION ? -EMFILE : 0;
}

int use_check_user(struct feed *const *feeds, size_t count, const struct client *client, unsigned int watch)
{
	struct use use = use_of(feeds, count, client->uid);
	u64 bit = 1ULL << watch;

	if (client->uid == 0)
		return 0;
	if (use.subscriptions >= SUBSCRIPTIONS_PER_USER)
		return -EUSERS;
	if (__builtin_popcountll(use.watches | bit) > WATCHES_PER_USER ||
	    (!client->sees_all && __builtin_popcountll(use.watches_of_users | bit) > WATCHES_OF_USERS))
		return -EDQUOT;
	return 0;
}
