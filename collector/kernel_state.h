/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the kernel side share: kernel.c (what is attached, passes, losses), kernel_load.c (the programs),
 * kernel_tables.c (what watches and rules are told to the programs by).
 */
#ifndef TASKMON_KERNEL_STATE_H
#define TASKMON_KERNEL_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernel.h"
#include "kernel_rings.h"
#include "taskmon.skel.h"

struct kernel {
	struct taskmon_bpf *bpf;
	struct hooks *hooks;
	struct kernel_rings rings;
	struct walk *walk;
	const char *not_quick; /* why no program walks by itself; NULL: one does. See walk.h */
	bool watching;
	struct stream *stream; /* NULL: nobody wants system calls */
	size_t stream_bytes;
	u64 skipped_requests; /* by programs, as of the last pass */
	const char *unavailable[METRIC_TOTAL];
};

/** Load the programs in whichever way this kernel takes them, and find out what it cannot measure. Returns 0 or a negative errno. */
int kernel_load(struct kernel *kernel);

/** Remove every entry of a map, of which programs may remove some, too. */
void kernel_empty(const struct bpf_map *map);

#endif
