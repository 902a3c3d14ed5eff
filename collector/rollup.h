/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/PID/smaps_rollup: the kernel walks all page tables of a process for it and holds its mmap lock meanwhile.
 */
#ifndef TASKMON_ROLLUP_H
#define TASKMON_ROLLUP_H

#include <stddef.h>

#include "record.h"

enum { ROLLUP_KEYS = 9 };

/** What a reading gave, in the order of a table of keys. */
struct rollup {
	u32 present; /* bit per key */
	u64 bytes[ROLLUP_KEYS];
};

/** What is not there, or not a number of kB, is not present. */
void rollup_parse(const char *text, size_t size, struct rollup *rollup);

/** Put what is present into a record. */
void rollup_put(const struct rollup *rollup, struct task_record *record);

/**
 * Read that of a process. -ESRCH if it is gone or has no memory (a kernel thread, one that is ending), -EFBIG if more than
 * `max_rss` bytes are resident, or what the kernel said.
 */
int rollup_read(u32 tgid, u64 start_time_ns, u64 max_rss, struct rollup *rollup);

/** Why this kernel has none; NULL if it has. */
const char *rollup_unavailable(void);

#endif
