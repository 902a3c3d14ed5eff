/* SPDX-License-Identifier: BSD-2-Clause */
#include "processes.h"

#include <errno.h>
#include <stdlib.h>

#include "hash.h"

enum { MISSED_TICKS = 2 }; /* of one, the collector's queue may have dropped a part */

struct process {
	uint32_t tgid;
	uint32_t ppid;          /* 0: not known */
	uint64_t start_time_ns; /* likewise */
	bool selected, in_cgroup;
	unsigned int missed;
	uint64_t since_ns;
	UT_hash_handle hh;
};

struct processes {
	struct process *table;
};

struct processes *processes_new(void)
{
	return calloc(1, sizeof(struct processes));
}

void processes_free(struct processes *processes)
{
	struct process *process, *next;

	if (!processes)
		return;
	HASH_ITER(hh, processes->table, process, next) {
		HASH_DEL(processes->table, process);
		free(process);
	}
	free(processes);
}

static struct process *find(const struct processes *processes, uint32_t tgid)
{
	struct process *process;

	HASH_FIND(hh, processes->table, &tgid, sizeof(tgid), process);
	return process;
}

static struct process *find_or_add(struct processes *processes, uint32_t tgid, uint64_t since_ns)
{
	struct process *process = find(processes, tgid);

	if (process)
		return process;
	process = calloc(1, sizeof(*process));
	if (!process)
		return NULL;
	process->tgid = tgid;
	process->since_ns = since_ns;
	HASH_ADD(hh, processes->table, tgid, sizeof(process->tgid), process);
	if (!process->hh.tbl) {
		free(process);
		return NULL;
	}
	return process;
}

int processes_seen(struct processes *processes, uint32_t tgid, uint64_t time_ns, bool selected)
{
	struct process *process = find_or_add(processes, tgid, time_ns);

	if (!process)
		return -ENOMEM;
	process->selected = selected;
	process->missed = 0;
	return 0;
}

int processes_started(struct processes *processes, uint32_t tgid, uint64_t time_ns, bool selected)
{
	int err = processes_seen(processes, tgid, time_ns, selected);

	/* events of a batch come before its final rows: the end of its predecessor may be still to come */
	if (!err)
		find(processes, tgid)->since_ns = time_ns;
	return err;
}

void processes_judged(struct processes *processes, uint32_t tgid, bool selected)
{
	struct process *process = find(processes, tgid);

	if (process)
		process->selected = selected;
}

void processes_identify(struct processes *processes, uint32_t tgid, uint64_t start_time_ns, uint32_t ppid)
{
	struct process *process = find(processes, tgid);

	if (!process)
		return;
	process->start_time_ns = start_time_ns;
	if (ppid)
		process->ppid = ppid;
}

static void forget(struct processes *processes, struct process *process)
{
	HASH_DEL(processes->table, process);
	free(process);
}

bool processes_forget(struct processes *processes, uint32_t tgid)
{
	struct process *process = find(processes, tgid);

	if (process)
		forget(processes, process);
	return process;
}

void processes_prune(struct processes *processes, bool (*is_gone)(uint32_t tgid, uint64_t start_time_ns))
{
	struct process *process, *next;

	HASH_ITER(hh, processes->table, process, next)
		if (is_gone(process->tgid, process->start_time_ns))
			forget(processes, process);
}

void processes_restart(struct processes *processes)
{
	struct process *process, *next;

	HASH_ITER(hh, processes->table, process, next)
		process->missed = MISSED_TICKS;
}

size_t processes_roots(const struct processes *processes, uint32_t *tgids, uint64_t *start_times_ns, size_t room)
{
	struct process *process, *next;
	size_t count = 0;

	HASH_ITER(hh, processes->table, process, next) {
		if (process->ppid && find(processes, process->ppid))
			continue;
		if (count < room) {
			tgids[count] = process->tgid;
			start_times_ns[count] = process->start_time_ns;
		}
		count++;
	}
	return count;
}

void processes_ended(struct processes *processes, uint32_t tgid, uint64_t time_ns)
{
	struct process *process = find(processes, tgid);

	if (process && time_ns >= process->since_ns)
		forget(processes, process);
}

void processes_tick_complete(struct processes *processes)
{
	struct process *process, *next;

	HASH_ITER(hh, processes->table, process, next) {
		if (++process->missed <= MISSED_TICKS)
			continue;
		forget(processes, process);
	}
}

void processes_set_cgroup(struct processes *processes, uint32_t tgid, bool selected)
{
	struct process *process = find(processes, tgid);

	if (process)
		process->in_cgroup = selected;
}

bool processes_in_cgroup(const struct processes *processes, uint32_t tgid)
{
	const struct process *process = find(processes, tgid);

	return process && process->in_cgroup;
}

bool processes_selected(const struct processes *processes, uint32_t tgid)
{
	const struct process *process = find(processes, tgid);

	return process && process->selected;
}

size_t processes_count(const struct processes *processes)
{
	return HASH_COUNT(processes->table);
}
