/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls and returns of probed functions, gathered into the columns of a ProbeHits message.
 */
#ifndef TASKMON_HITS_H
#define TASKMON_HITS_H

#include <stddef.h>

#include "declaration.h"
#include "record.h"
#include "taskmon.pb-c.h"

struct hits;

/** NULL when out of memory. */
struct hits *hits_new(void);
void hits_free(struct hits *hits);

/**
 * Add one of probe number `probe`, whose arguments are these. -ENOSPC: it is full, send it first; -EINVAL: it is no
 * such record.
 */
int hits_add(struct hits *hits, const struct probe_hit *hit, size_t size, u32 probe, const struct declaration *declaration);
size_t hits_count(const struct hits *hits);
void hits_reset(struct hits *hits);

/** `feed` and `wall_offset_ns` are for the caller to fill; valid until the next change. */
Taskmon__ProbeHits *hits_message(struct hits *hits);

#endif
