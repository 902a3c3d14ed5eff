/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probes on the malloc family of one process, in all files that it has mapped or will map.
 */
#ifndef TASKMON_HEAP_PROBES_H
#define TASKMON_HEAP_PROBES_H

#include <stdbool.h>
#include <sys/types.h>

struct closer;
struct heap_probes;

/** What is attached, with two ways to do it: see uprobe.h. */
enum heap_program { HEAP_ON_CALL, HEAP_ON_RETURN, HEAP_PROGRAMS };
struct heap_programs {
	int single[HEAP_PROGRAMS], multi[HEAP_PROGRAMS]; /* descriptors; -1: the kernel has no such way */
	struct closer *closer;                           /* for what is detached */
};
extern const char *const heap_program_names[HEAP_PROGRAMS];

/** For a process; `programs` must live longer. NULL when out of memory. */
struct heap_probes *heap_probes_new(pid_t tgid, const struct heap_programs *programs);
/** Detach all, soon. */
void heap_probes_free(struct heap_probes *probes);

/** Attach in files that are new since the last call. 0, -ESRCH when the process has gone, or another errno if not all could be attached. */
int heap_probes_update(struct heap_probes *probes);
/** The thread that they were attached to has gone: attach them to another one. */
int heap_probes_move(struct heap_probes *probes);
/** Is a function that allocates among them? */
bool heap_probes_allocate(const struct heap_probes *probes);

/** Forget what is known of files. */
void heap_probes_forget_files(void);

#endif
