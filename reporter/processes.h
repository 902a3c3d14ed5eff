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

bool processes_selected(const struct processes *processes, uint32_t tgid);
size_t processes_count(const struct processes *processes);

#endif
