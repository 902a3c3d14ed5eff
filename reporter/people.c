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
		snprintf(out, PEOPLE_BYTES_ROOM, "%u.%u%c", (unsigned int)tenths / 10, (unsigned int)tenths % 10, units[unit]);
	else
		snprintf(out, PEOPLE_BYTES_ROOM, "%u%c", (unsigned int)tenths / 10 % 10000, units[unit]);
	return out;
}

/* The largest unit of which there is one at least, with a decimal below ten of it. */
static const char *in_units(char out[PEOPLE_BYTES_ROOM], uint64_t value, const char *const *names, const uint64_t *steps)
{
	uint64_t unit = 1, tenths;
	int i = 0;

	while (steps[i] && value / unit >= steps[i])
		unit *= steps[i++];
	tenths = value / unit * 10 + value % unit * 10 / unit;
	if (i > 0 && tenths < 100)
		snprintf(out, PEOPLE_BYTES_ROOM, "%u.%u%s", (unsigned int)tenths / 10, (unsigned int)tenths % 10, names[i]);
	else
		snprintf(out, PEOPLE_BYTES_ROOM, "%llu%s", (unsigned long long)(value / unit), names[i]);
	return out;
}

const char *people_count(char out[PEOPLE_BYTES_ROOM], uint64_t count)
{
	static const char *const names[] = { "K", "M", "G", "T", "P" };
	static const uint64_t steps[] = { 1000, 1000, 1000, 1000, 0 };

	if (count > 99999)
		return in_units(out, count / 1000, names, steps);
	snprintf(out, PEOPLE_BYTES_ROOM, "%u", (unsigned int)count);
	return out;
}

const char *people_ns(char out[PEOPLE_BYTES_ROOM], uint64_t ns)
{
	static const char *const names[] = { "ns", "us", "ms", "s" };
	static const uint64_t steps[] = { 1000, 1000, 1000, 0 };

	if (ns == 0)
		return strcpy(out, "0");
	if (ns >= 100000000000) { /* minutes are no power of ten */
		uint64_t minutes = ns / 60000000000;

		snprintf(out, PEOPLE_BYTES_ROOM, minutes < 1000 ? "%llum" : "%lluh",
			 (unsigned long long)(minutes < 1000 ? minutes : minutes / 60));
		return out;
	}
	return in_units(out, ns, names, steps);
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
