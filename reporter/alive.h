/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * While there is no collector to say so: does a process still live?
 */
#ifndef TASKMON_ALIVE_H
#define TASKMON_ALIVE_H

#include <stdbool.h>
#include <stdint.h>

/** The numbers that the collector uses are ours, too: not so in a container with numbers of its own. */
bool alive_can_tell(void);

/** Is this process gone, whoever may have its number now? `start_time_ns`: CLOCK_BOOTTIME, 0 if not known. */
bool alive_is_gone(uint32_t tgid, uint64_t start_time_ns);

#endif
