/* SPDX-License-Identifier: BSD-2-Clause */
#include "table_alarms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

struct key {
	uint64_t start_time_ns;
	uint64_t tid; /* as wide as its neighbour: no padding to be hashed */
};

struct table_alarms {
	struct key key;
	unsigned int count; /* each of its metrics may have one */
	UT_hash_handle hh;
};

static struct table_alarms *find(const struct table_alarms *alarms, const struct key *key)
{
	struct table_alarms *alarm;

	HASH_FIND(hh, alarms, key, sizeof(*key), alarm);
	return alarm;
}

static void forget(struct table_alarms **alarms, struct table_alarms *alarm)
{
	HASH_DEL(*alarms, alarm);
	free(alarm);
}

int table_alarms_event(struct table_alarms **alarms, const struct event *event)
{
	const struct key key = { event->start_time_ns, event->tid };
	bool raised = strcmp(event->name, "alarm") == 0;
	struct table_alarms *alarm;

	if (!raised && strcmp(event->name, "clear") != 0)
		return 0;
	alarm = find(*alarms, &key);
	if (!raised) {
		if (alarm && --alarm->count == 0)
			forget(alarms, alarm);
		return 0;
	}
	if (!alarm) {
		alarm = calloc(1, sizeof(*alarm));
		if (!alarm)
			return -ENOMEM;
		alarm->key = key;
		HASH_ADD(hh, *alarms, key, sizeof(alarm->key), alarm);
		if (!alarm->hh.tbl) {
			free(alarm);
			return -ENOMEM;
		}
	}
	alarm->count++;
	return 0;
}

bool table_alarms_has(const struct table_alarms *alarms, uint32_t tid, uint64_t start_time_ns)
{
	const struct key key = { start_time_ns, tid };

	return find(alarms, &key);
}

void table_alarms_forget(struct table_alarms **alarms, uint32_t tid, uint64_t start_time_ns)
{
	const struct key key = { start_time_ns, tid };
	struct table_alarms *alarm = find(*alarms, &key);

	if (alarm)
		forget(alarms, alarm);
}

size_t table_alarms_count(const struct table_alarms *alarms)
{
	return HASH_COUNT(alarms);
}

void table_alarms_free(struct table_alarms **alarms)
{
	struct table_alarms *alarm, *next;

	HASH_ITER(hh, *alarms, alarm, next)
		forget(alarms, alarm);
}
