/* SPDX-License-Identifier: BSD-2-Clause */
#include "people.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "str.h"

enum { USER_BYTES = 64 };

struct people_users {
	uint32_t uid;
	char name[USER_BYTES];
	UT_hash_handle hh;
};

const char *people_bytes(char out[PEOPLE_BYTES_ROOM], uint64_t bytes)
{
	static const char units[] = " KMGTPE";
	uint64_t tenths;
	int unit = 0;

	while (bytes >> (10 * unit) >= 1024)
		unit++;
	tenths = unit ? (bytes >> (10 * (unit - 1))) * 10 / 1024 : 0;
	if (unit == 0)
		snprintf(out, PEOPLE_BYTES_ROOM, "%u", (unsigned int)bytes);
	else if (tenths < 100)
		snprintf(out, PEOPLE_BYTES_ROOM, "%u.%u%c", (unsigned int)tenths / 10, (unsigned int)tenths % 10,
			 units[unit]);
	else
		snprintf(out, PEOPLE_BYTES_ROOM, "%u%c", (unsigned int)tenths / 10 % 10000, units[unit]);
	return out;
}

void people_users_free(struct people_users *users)
{
	struct people_users *user, *next;

	HASH_ITER(hh, users, user, next) {
		HASH_DEL(users, user);
		free(user);
	}
}

const char *people_user(struct people_users **users, uint32_t uid)
{
	static char number[USER_BYTES]; /* for want of memory only */
	const struct passwd *entry;
	struct people_users *user;

	HASH_FIND(hh, *users, &uid, sizeof(uid), user);
	if (user)
		return user->name;
	snprintf(number, sizeof(number), "%u", uid);
	user = calloc(1, sizeof(*user));
	if (!user)
		return number;
	user->uid = uid;
	entry = getpwuid(uid);
	if (entry)
		str_sanitize(user->name, sizeof(user->name), entry->pw_name, strlen(entry->pw_name));
	else
		memcpy(user->name, number, sizeof(user->name));
	HASH_ADD(hh, *users, uid, sizeof(user->uid), user);
	if (!user->hh.tbl) {
		free(user);
		return number;
	}
	return user->name;
}
