/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs on events: which metrics need them, and attaching each only while somebody does.
 */
#ifndef TASKMON_HOOKS_H
#define TASKMON_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

#include "record.h"

struct taskmon_bpf;
struct hooks;

/** One program on an event. */
struct hook {
	const char *program;
	const char *event;      /* a tracepoint, fexit/FUNCTION or cgroup_skb/DIRECTION */
	u64 metrics;            /* that need it */
	const char *purpose;    /* what is missing without it, where that is more than metrics */
	const char *instead_of; /* the event that it stands in for where the kernel lacks that one; NULL: the first choice */
};

/** Reads from the kernel's BTF which events there are. NULL without memory or BTF; the latter is logged. */
struct hooks *hooks_new(void);
/** Detach all. */
void hooks_free(struct hooks *hooks);

/** Where cgroup programs are attached: the root of the cgroup v2 hierarchy; -1: there is none. */
void hooks_set_cgroup(struct hooks *hooks, int cgroup_fd);

/**
 * Which programs an object shall load: of those on events only the lifecycle programs that are available, or only `one`
 * of them (an index of the table) to find out if the kernel accepts it. Others are left as they are.
 */
enum { HOOKS_LIFECYCLE = -1 };
void hooks_choose(const struct hooks *hooks, struct taskmon_bpf *bpf, int one);
/** Try each lifecycle program alone, with `open` to get an object; one that is refused is unavailable from then on. */
void hooks_probe_lifecycle(struct hooks *hooks, struct taskmon_bpf *(*open)(void));

/**
 * Attach what `metrics` need, and the lifecycle programs if `watching`; detach the rest. `bpf` is the loaded object that has
 * the maps and the lifecycle programs. What fails is logged once and unavailable from then on.
 */
void hooks_need(struct hooks *hooks, struct taskmon_bpf *bpf, u64 metrics, bool watching);

/**
 * Another object with the maps of `bpf`, for programs that come and go: none of it is loaded, who needs some chooses them. NULL, with errno.
 */
struct taskmon_bpf *hooks_open_sharing(const struct taskmon_bpf *bpf);

/** Metrics of cost HOOK that are being measured now. */
u64 hooks_measured(const struct hooks *hooks);
/** Why a metric cannot be measured; NULL if it can, as far as is known. */
const char *hooks_metric_unavailable(const struct hooks *hooks, enum metric_id id);
/** The link of an iterator among the hooks, to start it with; -1 while it is not attached. */
int hooks_link_fd(const struct hooks *hooks, const char *event);
/** Times that the kernel skipped an attached program, because it ran already on that CPU (recursion_misses). */
u64 hooks_skipped(const struct hooks *hooks);
/** Likewise, of the programs attached now that measure a metric. */
u64 hooks_skipped_of(const struct hooks *hooks, enum metric_id id);

/** The table: returns how many rows it has. */
size_t hooks_table(const struct hook **table);
/** Why hook number `i` cannot be used; NULL if it can. */
const char *hooks_reason(const struct hooks *hooks, size_t i);
/** A stand-in that is not needed here. */
bool hooks_spare(const struct hooks *hooks, size_t i);

#endif
