/* SPDX-License-Identifier: BSD-2-Clause */
#include "smaps.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "budget.h"
#include "clock.h"
#include "hash.h"
#include "log.h"
#include "rollup.h"

#define SUBSYSTEM "smaps"

/* Processes whose end was not told are found this often. */
#define SWEEP_NS 60000000000ULL

enum { INTERVALS_KEPT = 3 }; /* that a process may not be wished for */

struct key {
	u64 start_time_ns;
	u64 tgid; /* as wide as its neighbour: no padding to be hashed */
};

struct entry {
	struct key key;
	UT_hash_handle hh;
	struct entry *prev, *next; /* in the queue */
	bool queued;
	u64 keep_until_ns;
	u64 exec_ns; /* what was read before is of another program */
	u64 read_ns; /* CLOCK_BOOTTIME; 0: nothing is known */
	struct rollup rollup;
};

/*
 * Entries come and go on the loop's thread only. `lock` is for what both threads use: the table, the queue and what
 * entries hold. The reader keeps no pointer to an entry while it reads.
 */
struct smaps {
	u64 max_rss;
	struct budget budget; /* the reader's */
	struct entry *table;
	struct entry *queue; /* who waits longest is read next */
	u64 sweep_ns;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t reader;
	bool started, failed, ending;
	bool refused; /* and it was told; the reader's */
};

struct smaps *smaps_new(double share, u64 max_rss)
{
	struct smaps *smaps = calloc(1, sizeof(*smaps));
	pthread_condattr_t attr;

	if (!smaps)
		return NULL;
	smaps->max_rss = max_rss;
	smaps->budget.share = share;
	pthread_mutex_init(&smaps->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&smaps->changed, &attr);
	pthread_condattr_destroy(&attr);
	return smaps;
}

static struct entry *find(const struct smaps *smaps, const struct key *key)
{
	struct entry *entry;

	HASH_FIND(hh, smaps->table, key, sizeof(*key), entry);
	return entry;
}

/* --- the reader */

static void wait_until_ns(struct smaps *smaps, u64 when_ns)
{
	const struct timespec when = { (time_t)(when_ns / 1000000000), (long)(when_ns % 1000000000) };

	pthread_cond_timedwait(&smaps->changed, &smaps->lock, &when);
}

/* Sleeps until somebody is wished for and there is CPU time for it; false at the end. */
static bool next(struct smaps *smaps, struct key *key)
{
	struct entry *entry;

	pthread_mutex_lock(&smaps->lock);
	while (!smaps->ending) {
		u64 now = clock_ns(CLOCK_MONOTONIC), rest;

		rest = budget_rest_ns(&smaps->budget, now, clock_ns(CLOCK_THREAD_CPUTIME_ID));
		if (!smaps->queue)
			pthread_cond_wait(&smaps->changed, &smaps->lock);
		else if (rest)
			wait_until_ns(smaps, now + rest);
		else
			break;
	}
	entry = smaps->ending ? NULL : smaps->queue;
	if (entry) {
		*key = entry->key;
		entry->queued = false;
		DL_DELETE(smaps->queue, entry);
	}
	pthread_mutex_unlock(&smaps->lock);
	return entry != NULL;
}

/* A process that has no memory any more is about to end: what is known of it is for its final row. */
static void take(struct smaps *smaps, const struct key *key, u64 read_ns, int err, const struct rollup *rollup)
{
	struct entry *entry;

	if (err == -ESRCH)
		return;
	if (err && err != -EFBIG && !smaps->refused) {
		log_warning(SUBSYSTEM, "smaps_rollup of process %u: %s (told once)", (unsigned int)key->tgid, strerror(-err));
		smaps->refused = true;
	}
	pthread_mutex_lock(&smaps->lock);
	entry = find(smaps, key);
	if (entry && read_ns >= entry->exec_ns) {
		entry->read_ns = err ? 0 : read_ns;
		entry->rollup = *rollup;
	}
	pthread_mutex_unlock(&smaps->lock);
}

static void *read_in_turn(void *context)
{
	struct smaps *smaps = context;
	struct key key;

	pthread_setname_np(pthread_self(), "taskmon-smaps");
	smaps->budget.now_ns = clock_ns(CLOCK_MONOTONIC);
	while (next(smaps, &key)) {
		struct rollup rollup = { 0 };
		u64 read_ns = clock_boot_ns();
		int err = rollup_read((u32)key.tgid, key.start_time_ns, smaps->max_rss, &rollup);

		take(smaps, &key, read_ns, err, &rollup);
	}
	return NULL;
}

static void start_reader(struct smaps *smaps)
{
	sigset_t all, before;
	int err;

	if (smaps->started || smaps->failed)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
	err = pthread_create(&smaps->reader, NULL, read_in_turn, smaps);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	smaps->started = !err;
	smaps->failed = err;
	if (err)
		log_error(SUBSYSTEM, "cannot start a thread: %s; smaps_rollup is not read", strerror(err));
}

void smaps_free(struct smaps *smaps)
{
	if (!smaps)
		return;
	pthread_mutex_lock(&smaps->lock);
	smaps->ending = true;
	pthread_cond_signal(&smaps->changed);
	pthread_mutex_unlock(&smaps->lock);
	if (smaps->started)
		pthread_join(smaps->reader, NULL);
	smaps_forget_all(smaps);
	pthread_cond_destroy(&smaps->changed);
	pthread_mutex_destroy(&smaps->lock);
	free(smaps);
}

/* --- the loop's side */

static struct entry *add(struct smaps *smaps, const struct key *key)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->key = *key;
	HASH_ADD(hh, smaps->table, key, sizeof(entry->key), entry);
	if (entry->hh.tbl)
		return entry;
	free(entry);
	return NULL;
}

static void drop(struct smaps *smaps, struct entry *entry)
{
	if (entry->queued)
		DL_DELETE(smaps->queue, entry);
	HASH_DEL(smaps->table, entry);
	free(entry);
}

static void enqueue(struct smaps *smaps, struct entry *entry)
{
	if (entry->queued)
		return;
	if (!smaps->queue)
		pthread_cond_signal(&smaps->changed); /* else it is awake, or rests until a certain time */
	DL_APPEND(smaps->queue, entry);
	entry->queued = true;
}

static void sweep(struct smaps *smaps, u64 now_ns)
{
	struct entry *entry, *next;

	if (now_ns < smaps->sweep_ns)
		return;
	smaps->sweep_ns = now_ns + SWEEP_NS;
	HASH_ITER(hh, smaps->table, entry, next)
		if (entry->keep_until_ns < now_ns)
			drop(smaps, entry);
}

static struct key key_of(const struct task_record *process)
{
	return (struct key){ process->start_time_ns, process->tgid };
}

void smaps_wish(struct smaps *smaps, const struct task_record *process, u64 interval_ns)
{
	const struct key key = key_of(process);
	u64 keep_until_ns = process->time_ns + INTERVALS_KEPT * interval_ns;
	struct entry *entry;

	if (!(process->present & METRIC_BIT(M_task_vm_size)))
		return;
	start_reader(smaps);
	if (smaps->failed)
		return;
	pthread_mutex_lock(&smaps->lock);
	sweep(smaps, process->time_ns);
	entry = find(smaps, &key);
	if (!entry)
		entry = add(smaps, &key);
	if (entry) {
		if (entry->keep_until_ns < keep_until_ns)
			entry->keep_until_ns = keep_until_ns;
		enqueue(smaps, entry);
	}
	pthread_mutex_unlock(&smaps->lock);
}

void smaps_fill(struct smaps *smaps, struct task_record *process)
{
	const struct key key = key_of(process);
	const struct entry *entry;

	pthread_mutex_lock(&smaps->lock);
	entry = find(smaps, &key);
	if (entry && entry->read_ns) {
		rollup_put(&entry->rollup, process);
		/* it may have been read since the record was made */
		process->value[M_task_smaps_age_ns] = process->time_ns > entry->read_ns ? process->time_ns - entry->read_ns : 0;
		process->present |= METRIC_BIT(M_task_smaps_age_ns);
	}
	pthread_mutex_unlock(&smaps->lock);
}

void smaps_restart(struct smaps *smaps, const struct task_event *exec)
{
	const struct key key = { exec->start_time_ns, exec->tgid };
	struct entry *entry;

	if (!smaps->table)
		return;
	pthread_mutex_lock(&smaps->lock);
	entry = find(smaps, &key);
	if (entry) {
		entry->exec_ns = exec->time_ns;
		if (entry->read_ns < exec->time_ns) {
			entry->read_ns = 0;
			enqueue(smaps, entry);
		}
	}
	pthread_mutex_unlock(&smaps->lock);
}

void smaps_forget(struct smaps *smaps, const struct task_record *process)
{
	const struct key key = key_of(process);
	struct entry *entry;

	if (!smaps->table)
		return;
	pthread_mutex_lock(&smaps->lock);
	entry = find(smaps, &key);
	if (entry)
		drop(smaps, entry);
	pthread_mutex_unlock(&smaps->lock);
}

void smaps_forget_all(struct smaps *smaps)
{
	struct entry *entry, *next;

	pthread_mutex_lock(&smaps->lock);
	HASH_ITER(hh, smaps->table, entry, next)
		drop(smaps, entry);
	pthread_mutex_unlock(&smaps->lock);
}
