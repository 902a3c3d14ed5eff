/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Probed functions: a slot for each that somebody wants, shared by who wants the same, and the processes that it is
 * attached to.
 */
#ifndef TASKMON_PROBE_H
#define TASKMON_PROBE_H

#include <sys/types.h>

#include "declaration.h"
#include "kernel.h"
#include "lookup.h"

#define PROBES_PER_SUBSCRIPTION 16
#define PROBES_PER_USER 32

struct probes;

struct probes *probes_new(struct kernel *kernel);
void probes_free(struct probes *probes);

/**
 * A slot for the function at `offset` of a file that a lookup has read (a copy of its descriptor is kept). -EDQUOT: this user has
 * PROBES_PER_USER; -ENOSPC: all slots are in use; or what the kernel said.
 */
int probes_acquire(struct probes *probes, uid_t uid, const struct lookup *file, u64 offset, const struct declaration *declaration,
		   u32 *slot);
void probes_release(struct probes *probes, uid_t uid, u32 slot);

/**
 * A file is read while everybody waits, if not for long, so that is bounded for each user: a twentieth of the time after half a
 * second at once, and not while many of its files are still being read or closed. Returns 0, -EBUSY, or what lookup_run() says; probes_end_reading() comes afterwards.
 */
int probes_read(struct probes *probes, uid_t uid, struct lookup *lookup);
void probes_end_reading(struct probes *probes, uid_t uid, struct lookup *lookup);

const struct declaration *probes_declaration(const struct probes *probes, u32 slot);

/** The watches that want it from now on. What it is attached to for other watches only is left. */
void probes_set_watches(struct probes *probes, u32 slot, u64 watches);

/**
 * Attach to a process for a watch, if it is not yet. Returns 0, -EALREADY if that has failed before, -ESRCH if there is
 * no such process, -EMFILE if too many are probed, or what the kernel said.
 */
int probes_attach(struct probes *probes, u32 slot, u32 tgid, unsigned int watch);

/** It has ended, or goes on as another task by exec. */
void probes_forget_process(struct probes *probes, u32 tgid);

#endif
