/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closes descriptors of probes in a thread of its own: the kernel waits up to a tenth of a second for each.
 */
#ifndef TASKMON_CLOSER_H
#define TASKMON_CLOSER_H

#include <stdbool.h>

struct closer;

/** NULL when out of memory. */
struct closer *closer_new(void);
/** Waits until all is closed, which it lets several threads do then. */
void closer_free(struct closer *closer);
/** Close it, soon. By any thread. */
void closer_add(struct closer *closer, int fd);
/** From now on, begin to close nothing, or go on: single probes cannot be attached while one is being closed. */
void closer_pause(struct closer *closer, bool paused);

#endif
