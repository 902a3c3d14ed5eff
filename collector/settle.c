/* SPDX-License-Identifier: BSD-2-Clause */
#include "settle.h"

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "cputime.h"
#include "hash.h"

#define NS_PER_SECOND 1000000000ULL

struct key {
	u64 start_time_ns;
	u64 tid; /* as wide as its neighbour: no padding to be hashed */
};

/* What was sent last of a thread. */
struct sent {
	struct key key;
	u64 time_ns;
	u64 on_cpu_ns, off_cpu_ns, utime_ns, stime_ns;
	UT_hash_handle hh;
};

struct settler {
	struct sent *table;  /* in the order in which threads were first seen */
	struct sent *latest; /* the one of the last record: the next is most likely its successor */
	u64 ns_per_tick;
};

struct settler *settler_new(void)
{
	struct settler *settler = calloc(1, sizeof(*settler));

	if (settler)
		settler->ns_per_tick = NS_PER_SECOND / (u64)sysconf(_SC_CLK_TCK);
	return settler;
}

static void drop(struct settler *settler, struct sent *sent)
{
	if (settler->latest == sent)
		settler->latest = NULL;
	HASH_DEL(settler->table, sent);
	free(sent);
}

void settler_free(struct settler *settler)
{
	if (!settler)
		return;
	settle_forget(settler, UINT64_MAX);
	free(settler);
}

void settle_forget(struct settler *settler, u64 before_ns)
{
	struct sent *sent, *next;

	HASH_ITER(hh, settler->table, sent, next)
		if (sent->time_ns < before_ns)
			drop(settler, sent);
}

static bool is_of(const struct sent *sent, const struct task_record *record)
{
	return sent && sent->key.start_time_ns == record->start_time_ns && sent->key.tid == record->tid;
}

static struct sent *find(const struct settler *settler, const struct task_record *record)
{
	const struct key key = { record->start_time_ns, record->tid };
	struct sent *sent = settler->latest ? settler->latest->hh.next : settler->table;

	if (is_of(sent, record))
		return sent;
	HASH_FIND(hh, settler->table, &key, sizeof(key), sent);
	return sent;
}

static struct sent *add(struct settler *settler, const struct task_record *record)
{
	struct sent *sent = calloc(1, sizeof(*sent));

	if (!sent)
		return NULL;
	sent->key = (struct key){ record->start_time_ns, record->tid };
	sent->utime_ns = record->shown_utime_ns;
	sent->stime_ns = record->shown_stime_ns;
	HASH_ADD(hh, settler->table, key, sizeof(sent->key), sent);
	if (sent->hh.tbl)
		return sent;
	free(sent);
	return NULL;
}

static u64 minus(u64 a, u64 b)
{
	return a > b ? a - b : 0;
}

static void settle_by(const struct settler *settler, struct sent *sent, struct task_record *record)
{
	u64 *on_cpu = &record->value[M_task_on_cpu_ns], *off_cpu = &record->value[M_task_off_cpu_ns];
	u64 *utime = &record->value[M_task_utime_jiffies], *stime = &record->value[M_task_stime_jiffies];
	u64 limit = minus(record->time_ns, record->start_time_ns), measured = *on_cpu;

	if (sent->time_ns && record->time_ns > sent->time_ns)
		limit = sent->on_cpu_ns + (record->time_ns - sent->time_ns);
	if (*on_cpu > limit)
		*on_cpu = limit;
	if (*on_cpu < sent->on_cpu_ns)
		*on_cpu = sent->on_cpu_ns;
	*off_cpu = minus(*off_cpu + measured, *on_cpu); /* it is what is left of the lifetime */
	if (*off_cpu < sent->off_cpu_ns)
		*off_cpu = sent->off_cpu_ns;
	adjust_cputime(*utime, *stime, record->kept_runtime_ns, &sent->utime_ns, &sent->stime_ns);
	*utime = sent->utime_ns / settler->ns_per_tick;
	*stime = sent->stime_ns / settler->ns_per_tick;
	sent->time_ns = record->time_ns;
	sent->on_cpu_ns = *on_cpu;
	sent->off_cpu_ns = *off_cpu;
}

void settle(struct settler *settler, struct task_record *record)
{
	struct sent unknown = { .utime_ns = record->shown_utime_ns, .stime_ns = record->shown_stime_ns };
	struct sent *sent;

	if (!(record->flags & RECORD_THREAD))
		return;
	sent = find(settler, record);
	if (!sent)
		sent = add(settler, record);
	settle_by(settler, sent ? sent : &unknown, record); /* without memory it may go back */
	settler->latest = sent;
}

void settle_end(struct settler *settler, struct task_record *record)
{
	struct sent unknown = { .utime_ns = record->shown_utime_ns, .stime_ns = record->shown_stime_ns };
	struct sent *sent;

	if (!(record->flags & RECORD_THREAD))
		return;
	sent = find(settler, record);
	settle_by(settler, sent ? sent : &unknown, record);
	if (sent)
		drop(settler, sent);
}
