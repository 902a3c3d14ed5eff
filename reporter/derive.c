/* SPDX-License-Identifier: BSD-2-Clause */
#include "derive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "hash.h"
#include "metric.h"

enum {
	MISSED_TICKS = 2, /* of one, the collector's queue may have dropped a part */
	CACHE_LINE_BYTES = 64,
};

struct task_key {
	uint64_t start_time_ns;
	uint64_t tid; /* as wide as its neighbour: no padding to be hashed */
};

struct task {
	struct task_key key;
	UT_hash_handle hh;
	struct task *prev, *next; /* in the order of the snapshots */
	uint64_t time_ns;         /* of the previous sample; 0: there is none to compare with */
	uint64_t reborn_ns;       /* an exec gave this identity to another thread then; 0: none did */
	uint64_t present;         /* bit per enum metric_id: previous[] has it */
	unsigned int missed;
	uint64_t previous[]; /* of metric wanted[i] */
};

struct derive {
	bool threads;
	uint64_t known_since_ns; /* a task that started later and is not known was never counted */
	struct task *tasks;
	struct task *order; /* the same ones as they came in the last snapshot, doubly linked */
	struct task *last;  /* that a row was of; NULL: there was none */
	size_t task_bytes;  /* of each, with what it has of `wanted` */
	size_t wanted_count;
	int wanted[METRIC_TOTAL];
};

struct derive *derive_new(uint64_t deltas, bool threads)
{
	struct derive *derive = calloc(1, sizeof(*derive));

	if (!derive)
		return NULL;
	derive->threads = threads;
	for (int id = 0; id < METRIC_TOTAL; id++)
		if ((deltas & METRIC_BIT(id)) && metrics[id].kind == METRIC_COUNTER)
			derive->wanted[derive->wanted_count++] = id;
	derive->task_bytes = sizeof(struct task) + derive->wanted_count * sizeof(uint64_t);
	return derive;
}

void derive_restart(struct derive *derive)
{
	struct task *task, *next;

	derive->order = derive->last = NULL;
	HASH_ITER(hh, derive->tasks, task, next) {
		HASH_DEL(derive->tasks, task);
		free(task);
	}
	derive->known_since_ns = UINT64_MAX;
}

void derive_free(struct derive *derive)
{
	if (!derive)
		return;
	derive_restart(derive);
	free(derive);
}

void derive_arm(struct derive *derive, uint64_t armed_ns)
{
	derive->known_since_ns = armed_ns;
}

static struct task *after_last(const struct derive *derive)
{
	return derive->last && derive->last->next ? derive->last->next : derive->order;
}

/* The next row is most likely of the task behind this one: fetch that while this row is worked on. */
static void expect_next(struct derive *derive, struct task *task)
{
	const char *next;

	derive->last = task;
	next = (const char *)after_last(derive);
	for (size_t at = 0; at < derive->task_bytes; at += CACHE_LINE_BYTES)
		__builtin_prefetch(next + at, 1);
}

/*
 * Snapshots have the same order one after the other, so the task of a row is the one behind that of the last row, and if it is not,
 * it will be. To look it up takes longer than all else that is done for a row: each time its memory must come from far away.
 */
static struct task *find_task(struct derive *derive, const struct task_key *key)
{
	struct task *task = after_last(derive);

	if (!task || task->key.tid != key->tid || task->key.start_time_ns != key->start_time_ns) {
		HASH_FIND(hh, derive->tasks, key, sizeof(*key), task);
		if (!task)
			return NULL;
		if (task != derive->last) {
			DL_DELETE(derive->order, task);
			DL_APPEND_ELEM(derive->order, derive->last, task);
		}
	}
	expect_next(derive, task);
	return task;
}

static struct task *add_task(struct derive *derive, const struct task_key *key)
{
	struct task *task = calloc(1, derive->task_bytes);

	if (!task)
		return NULL;
	task->key = *key;
	HASH_ADD(hh, derive->tasks, key, sizeof(task->key), task);
	if (!task->hh.tbl) {
		free(task);
		return NULL;
	}
	DL_APPEND_ELEM(derive->order, derive->last, task);
	derive->last = task;
	return task;
}

static void remove_task(struct derive *derive, struct task *task)
{
	if (derive->last == task)
		derive->last = task == derive->order ? NULL : task->prev;
	DL_DELETE(derive->order, task);
	HASH_DEL(derive->tasks, task);
	free(task);
}

/* The previous sample of a task that started within our watch: at its start, with all counters at 0. */
static void begin_at_start(const struct derive *derive, struct task *task)
{
	task->time_ns = task->key.start_time_ns;
	for (size_t i = 0; i < derive->wanted_count; i++)
		task->present |= METRIC_BIT(derive->wanted[i]);
	memset(task->previous, 0, derive->wanted_count * sizeof(task->previous[0]));
}

/* The collector sees to it that counters never go back, and that CPU time does not grow faster than time. */
static void compare(const struct derive *derive, struct task *task, struct row *row)
{
	bool comparable = task->time_ns && row->time_ns > task->time_ns;

	row->window_ns = comparable ? row->time_ns - task->time_ns : 0;
	for (size_t i = 0; i < derive->wanted_count; i++) {
		int id = derive->wanted[i];
		uint64_t bit = METRIC_BIT(id), *previous = &task->previous[i];

		if (!(row->present & bit))
			continue;
		if (comparable && task->present & bit && row->value[id] >= *previous) {
			row->delta[id] = row->value[id] - *previous;
			row->delta_present |= bit;
		}
		*previous = row->value[id];
	}
	task->present |= row->present;
	task->time_ns = row->time_ns;
}

static void finish_task(struct derive *derive, struct task *task)
{
	if (task->reborn_ns)
		task->time_ns = 0; /* what follows is another thread's */
	else
		remove_task(derive, task);
}

int derive_row(struct derive *derive, struct row *row)
{
	const struct task_key key = { row->start_time_ns, row->tid };
	struct task *task = find_task(derive, &key);

	row->window_ns = 0;
	row->delta_present = 0;
	if (!task) {
		task = add_task(derive, &key);
		if (!task)
			return -ENOMEM;
		if (row->start_time_ns >= derive->known_since_ns)
			begin_at_start(derive, task);
	}
	task->missed = 0;
	if (task->reborn_ns && row->time_ns >= task->reborn_ns) {
		task->reborn_ns = 0;
		task->time_ns = 0;
	}
	if (row->baseline && row->start_time_ns >= derive->known_since_ns)
		return 0; /* its first window begins at its start, and so before the baseline */
	compare(derive, task, row);
	if (row->ended)
		finish_task(derive, task);
	return 0;
}

int derive_event(struct derive *derive, const struct event *event)
{
	const struct task_key key = { event->start_time_ns, event->tid };
	struct task *task;

	if (!derive->threads || !event->renamed || event->other_tid == 0 || event->other_tid == event->tid)
		return 0;
	task = find_task(derive, &key);
	if (!task)
		task = add_task(derive, &key);
	if (!task)
		return -ENOMEM;
	task->reborn_ns = event->time_ns;
	return 0;
}

void derive_tick_complete(struct derive *derive, uint64_t tick_ns)
{
	struct task *task = NULL, *next;

	derive->last = NULL; /* the next snapshot begins with the first */
	HASH_ITER(hh, derive->tasks, task, next) {
		if (++task->missed > MISSED_TICKS) {
			remove_task(derive, task);
			/* if it comes back it must not be counted from its start again */
			derive->known_since_ns = tick_ns;
		}
	}
}

bool derive_cpu_percent(const struct row *row, uint64_t *hundredths)
{
	unsigned __int128 scaled;

	if (!row_has_delta(row, M_task_on_cpu_ns))
		return false;
	scaled = (unsigned __int128)row->delta[M_task_on_cpu_ns] * 10000 + row->window_ns / 2;
	if (scaled >> 64)
		*hundredths = (uint64_t)(scaled / row->window_ns);
	else
		*hundredths = (uint64_t)scaled / row->window_ns; /* the common case, and a much faster division */
	return true;
}
