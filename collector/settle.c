/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads come in the same order pass after pass, so what was sent is kept in that order, side by side, and the one behind the
 * last is nearly always the right one. A table of places finds the others. The pass that sees them first may have another order
 * than those that follow (sample.bpf.c, pass.bpf.h), so each is put where it is expected once.
 */
#include "settle.h"

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "cputime.h"

#define NS_PER_SECOND 1000000000ULL

enum {
	LEAST = 256, /* threads, a power of two */
	AHEAD = 8,   /* threads whose memory is asked for before it is needed */
};

/* What was sent last of a thread. */
struct sent {
	u64 start_time_ns;
	u64 tid; /* 0: it is gone */
	u64 time_ns;
	u64 on_cpu_ns, off_cpu_ns, utime_ns, stime_ns;
	u64 unused; /* with it, a cache line */
};

struct settler {
	struct sent *list;
	u32 used, room; /* a power of two */
	u32 living;
	u32 next; /* the place behind that of the last record */
	u32 unsorted; /* how many may still be put where they are expected: not more than have come, as passes over parts of them differ */
	u32 *table; /* places + 1 by hash, open addressing, 2 * room; 0: free */
	u64 ns_per_tick;
};

static u32 hash(u64 start_time_ns, u64 tid)
{
	return (u32)((start_time_ns ^ tid << 32 ^ tid) * 0x9e3779b97f4a7c15ULL >> 32);
}

static u32 first_slot(const struct settler *settler, u64 start_time_ns, u64 tid)
{
	return hash(start_time_ns, tid) & (2 * settler->room - 1);
}

static u32 next_slot(const struct settler *settler, u32 slot)
{
	return (slot + 1) & (2 * settler->room - 1);
}

static void enter(struct settler *settler, u32 place)
{
	u32 slot = first_slot(settler, settler->list[place].start_time_ns, settler->list[place].tid);

	while (settler->table[slot])
		slot = next_slot(settler, slot);
	settler->table[slot] = place + 1;
}

/* Close the gaps, and have room for as many again; false: there is no memory. */
static bool rebuild(struct settler *settler)
{
	u32 room = LEAST, used = 0;
	struct sent *list;
	u32 *table;

	while (room < 2 * settler->living)
		room *= 2;
	list = calloc(room, sizeof(*list));
	table = calloc(2 * (size_t)room, sizeof(*table));
	if (!list || !table) {
		free(list);
		free(table);
		return false;
	}
	for (u32 i = 0; i < settler->used; i++)
		if (settler->list[i].tid)
			list[used++] = settler->list[i];
	free(settler->list);
	free(settler->table);
	settler->list = list;
	settler->table = table;
	settler->room = room;
	settler->used = settler->living = used;
	settler->next = 0;
	settler->unsorted = settler->unsorted < used ? settler->unsorted : used;
	for (u32 i = 0; i < used; i++)
		enter(settler, i);
	return true;
}

struct settler *settler_new(void)
{
	struct settler *settler = calloc(1, sizeof(*settler));

	if (!settler)
		return NULL;
	settler->ns_per_tick = NS_PER_SECOND / (u64)sysconf(_SC_CLK_TCK);
	if (rebuild(settler))
		return settler;
	free(settler);
	return NULL;
}

void settler_free(struct settler *settler)
{
	if (!settler)
		return;
	free(settler->list);
	free(settler->table);
	free(settler);
}

static void drop(struct settler *settler, struct sent *sent)
{
	sent->tid = 0;
	settler->living--;
}

void settle_forget(struct settler *settler, u64 before_ns)
{
	for (u32 i = 0; i < settler->used; i++)
		if (settler->list[i].tid && settler->list[i].time_ns < before_ns)
			drop(settler, &settler->list[i]);
	rebuild(settler);
}

static bool is_of(const struct sent *sent, const struct task_record *record)
{
	return sent->tid == record->tid && sent->start_time_ns == record->start_time_ns;
}

/* What is in the place of `slot` changes places with `other`, a thread that has not gone. */
static void exchange(struct settler *settler, u32 slot, u32 other)
{
	u32 place = settler->table[slot] - 1, other_slot;
	struct sent sent = settler->list[place];

	other_slot = first_slot(settler, settler->list[other].start_time_ns, settler->list[other].tid);
	while (settler->table[other_slot] != other + 1)
		other_slot = next_slot(settler, other_slot);
	settler->table[slot] = other + 1;
	settler->table[other_slot] = place + 1;
	settler->list[place] = settler->list[other];
	settler->list[other] = sent;
	settler->unsorted--;
}

/* Where its place is in the table; what is there is 0 if it has none. */
static u32 slot_of(const struct settler *settler, const struct task_record *record)
{
	u32 slot = first_slot(settler, record->start_time_ns, record->tid);

	while (settler->table[slot] && !is_of(&settler->list[settler->table[slot] - 1], record))
		slot = next_slot(settler, slot);
	return slot;
}

static struct sent *find(struct settler *settler, const struct task_record *record)
{
	u32 place = settler->next < settler->used ? settler->next : 0, slot;

	if (!settler->used || !is_of(&settler->list[place], record)) {
		slot = slot_of(settler, record);
		if (!settler->table[slot])
			return NULL;
		if (settler->unsorted && settler->list[place].tid)
			exchange(settler, slot, place);
		else
			place = settler->table[slot] - 1;
	}
	__builtin_prefetch(&settler->list[place + AHEAD], 1);
	settler->next = place + 1;
	return &settler->list[place];
}

/* Ends come between the passes, and say nothing of their order. */
static struct sent *find_ended(struct settler *settler, const struct task_record *record)
{
	u32 place = settler->table[slot_of(settler, record)];

	return place ? &settler->list[place - 1] : NULL;
}

static struct sent *add(struct settler *settler, const struct task_record *record)
{
	struct sent *sent;

	if (settler->used == settler->room && !rebuild(settler))
		return NULL;
	sent = &settler->list[settler->used];
	*sent = (struct sent){ .start_time_ns = record->start_time_ns,
			       .tid = record->tid,
			       .utime_ns = record->shown_utime_ns,
			       .stime_ns = record->shown_stime_ns };
	enter(settler, settler->used++);
	settler->living++;
	settler->unsorted++;
	return sent;
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

/* Without memory for what was sent (`sent` is NULL), it may go back. */
static void settle_by_or_alone(const struct settler *settler, struct sent *sent, struct task_record *record)
{
	struct sent unknown = { .utime_ns = record->shown_utime_ns, .stime_ns = record->shown_stime_ns };

	settle_by(settler, sent ? sent : &unknown, record);
}

void settle(struct settler *settler, struct task_record *record)
{
	struct sent *sent;

	if (!(record->flags & RECORD_THREAD))
		return;
	sent = find(settler, record);
	settle_by_or_alone(settler, sent ? sent : add(settler, record), record);
}

void settle_end(struct settler *settler, struct task_record *record)
{
	struct sent *sent;

	if (!(record->flags & RECORD_THREAD))
		return;
	sent = find_ended(settler, record);
	settle_by_or_alone(settler, sent, record);
	if (sent)
		drop(settler, sent);
}
