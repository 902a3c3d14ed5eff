/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs on calls and returns of functions: loaded while any is attached, each to one place in one process.
 */
#ifndef TASKMON_PROBE_HOOKS_H
#define TASKMON_PROBE_HOOKS_H

#include <stdbool.h>

#include "record.h"

struct kernel;
struct probe_hooks;
struct probe_link;

/** NULL: no memory. */
struct probe_hooks *probe_hooks_new(struct kernel *kernel);
/** All links must have been detached. */
void probe_hooks_free(struct probe_hooks *hooks);

/** What is read at a hit of this slot, and for whom. */
int probe_hooks_set(struct probe_hooks *hooks, u32 slot, const struct probe_spec *spec);

/**
 * Attach to `offset` of the file that `fd` is open on, in process `tgid` only; the link lasts until it is detached,
 * over exec too. Returns 0, -ESRCH if there is no such process, or what the kernel said.
 */
int probe_hooks_attach(struct probe_hooks *hooks, u32 slot, int fd, u64 offset, u32 tgid, bool has_texts, struct probe_link **link);
/** Nothing is recorded from now on; the kernel takes its time to detach it, which is not waited for. */
void probe_hooks_detach(struct probe_hooks *hooks, struct probe_link *link);

#endif
