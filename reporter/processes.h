/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes of the subscription that are alive as far as rows and events tell, and whether each is selected: a
 * report on given processes ends with the last of them, and a thread is judged by its process.
 */
#ifndef TASKMON_PROCESSES_H
#define TASKMON_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct processes;

struct processes *processes_new(void);
void processes_free(struct processes *processes);

/** It is alive: a row of it was measured. Returns 0 or -ENOMEM. */
int processes_seen(struct processes *processes, uint32_t tgid, uint64_t time_ns, bool selected);

/** It was forked, CLOCK_BOOTTIME. Returns 0 or -ENOMEM. */
int processes_started(struct processes *processes, uint32_t tgid, uint64_t time_ns, bool selected);

/** Its name changed. */
void processes_judged(struct processes *processes, uint32_t tgid, bool selected);

/** Its last thread ended, CLOCK_BOOTTIME. A younger process with the same number stays. */
void processes_ended(struct processes *processes, uint32_t tgid, uint64_t time_ns);

/** A tick is complete: who was missing in it and in the one before is gone, though nobody said so. */
void processes_tick_complete(struct processes *processes);

/** Who it is: what tells it from another process with the same number later, and its parent. `ppid` 0: not known. */
void processes_identify(struct processes *processes, uint32_t tgid, uint64_t start_time_ns, uint32_t ppid);

/** It has ended, as somebody else says. False: it was not known. */
bool processes_forget(struct processes *processes, uint32_t tgid);

/** Forget those of which `is_gone` is true; `start_time_ns` is 0 where it is not known. */
void processes_prune(struct processes *processes, bool (*is_gone)(uint32_t tgid, uint64_t start_time_ns));

/** Everything is watched anew: who is not in the first tick that completes now is gone. */
void processes_restart(struct processes *processes);

/**
 * Those from which all others descend, to be watched together with the processes that they create: at most `room`.
 * Returns how many there are.
 */
size_t processes_roots(const struct processes *processes, uint32_t *tgids, uint64_t *start_times_ns, size_t room);

/** It is in a cgroup that is selected, as its rows or its parent tell. */
void processes_set_cgroup(struct processes *processes, uint32_t tgid, bool selected);
bool processes_in_cgroup(const struct processes *processes, uint32_t tgid);

bool processes_selected(const struct processes *processes, uint32_t tgid);
size_t processes_count(const struct processes *processes);

#endif
