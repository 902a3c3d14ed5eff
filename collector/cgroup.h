/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_CGROUP_H
#define TASKMON_CGROUP_H

#include <stdint.h>

struct cgroups;

/** Finds the cgroup v2 mount, wherever it is; without one all paths are empty. NULL when out of memory. */
struct cgroups *cgroups_new(void);
/** A descriptor of the root cgroup, owned by `cgroups`; -1: this kernel has no cgroup v2. */
int cgroup_root(const struct cgroups *cgroups);
void cgroups_free(struct cgroups *cgroups);

/**
 * Path of a cgroup below the mount, "/" for its root, as in /proc/PID/cgroup; "" if it is unknown or gone. Valid
 * until the next call.
 */
const char *cgroup_path(struct cgroups *cgroups, uint64_t id);

#endif
