/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pass over all tasks, in the way that this kernel offers: a program that walks by itself (6.2 and later), or iter/task, which
 * costs up to twice as much; see bpf/pass.bpf.h. For tests, TASKMON_WALK=iter in the environment takes the second in any case.
 */
#ifndef TASKMON_WALK_H
#define TASKMON_WALK_H

#include <stdbool.h>

#include "kernel.h"

struct taskmon_bpf;
struct btf;
struct walk;

/** Why no program can walk by itself in this kernel; NULL: it can. */
const char *walk_not_quick(const struct btf *kernel);
/** Which programs an object that is not loaded yet shall have. */
void walk_choose(struct taskmon_bpf *bpf, bool quick);

/** For a loaded object, which must live longer. NULL, and errno, if it cannot be. */
struct walk *walk_new(struct taskmon_bpf *bpf);
void walk_free(struct walk *walk);

/** Hand a record of each task that `request` is about to `handler`, which may change it; a negative errno. */
int walk_tasks(struct walk *walk, const struct sample_request *request, kernel_sample_handler handler, void *context);

/** Run an iterator that writes nothing; a negative link is none. */
void walk_run_iterator(struct walk *walk, int link);

#endif
