/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probes on the malloc family of one process, in all files that it has mapped or will map.
 */
#ifndef TASKMON_HEAP_PROBES_H
#define TASKMON_HEAP_PROBES_H

#include <stdbool.h>
#include <sys/types.h>

#include "record.h"

struct closer;
struct heap_probes;

struct kernel;

/** What is attached, in the two ways that uprobe.h has. */
enum heap_program { HEAP_ON_CALL, HEAP_ON_RETURN, HEAP_PROGRAMS };
struct heap_programs {
	const struct kernel *kernel;
	struct closer *closer;                           /* for what is detached */
	int single[HEAP_PROGRAMS], multi[HEAP_PROGRAMS]; /* descriptors; -1: not loaded */
};

/** Load them; the ones that are rarely used are loaded when they are. Why not is logged. */
int heap_programs_load(struct heap_programs *programs);
void heap_programs_unload(struct heap_programs *programs);

/** For a process; `programs` must live longer. NULL when out of memory. */
struct heap_probes *heap_probes_new(pid_t tgid, struct heap_programs *programs);
/** Detach all, soon. */
void heap_probes_free(struct heap_probes *probes);

/** Attach what is attached to the process that it was created by: it has the same files mapped. Returns as below. */
int heap_probes_inherit(struct heap_probes *probes, const struct heap_probes *parent);
/** In how many files anything is attached. */
size_t heap_probes_count(const struct heap_probes *probes);
/** Attach in files that are new since the last call. 0, -ESRCH when the process has gone, or another errno if not all could be attached. */
int heap_probes_update(struct heap_probes *probes);
/** Attach them to another thread: not to `leaving`, which exits (0: none does). Nothing is done if they are not attached to that one. */
int heap_probes_move(struct heap_probes *probes, pid_t leaving);
/** Are there functions that allocate among them, and those of a program that is about to be executed? */
enum heap_armed heap_probes_armed(const struct heap_probes *probes);
/** The process has executed a program. */
void heap_probes_executed(struct heap_probes *probes);

/** Forget what is known of files. */
void heap_probes_forget_files(void);

#endif
