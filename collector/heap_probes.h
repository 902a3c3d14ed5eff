/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probes on the malloc family of one process, in all files that it has mapped or will map.
 */
#ifndef TASKMON_HEAP_PROBES_H
#define TASKMON_HEAP_PROBES_H

#include <stdbool.h>
#include <sys/types.h>

/** What is attached. */
enum heap_program { HEAP_ON_CALL, HEAP_ON_RETURN, HEAP_ON_FREE, HEAP_ON_LIBRARIES, HEAP_PROGRAMS };
extern const char *const heap_program_names[HEAP_PROGRAMS];

struct heap_probes;

/** For a process; `programs` must live longer. NULL when out of memory. */
struct heap_probes *heap_probes_new(pid_t tgid, const int programs[HEAP_PROGRAMS]);
/** Detach all. May take some milliseconds a probe. */
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
