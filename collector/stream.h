/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rings that system calls are recorded into, one per CPU; see struct stream_ring in record.h. They exist only while
 * somebody wants them.
 */
#ifndef TASKMON_STREAM_H
#define TASKMON_STREAM_H

#include <stddef.h>

#include "record.h"

struct stream;

/** Gets each record, in the order of their times. */
typedef void (*stream_handler)(const struct syscall_record *record, void *context);

/** Make the rings: `bytes` of records in all, shared by the CPUs that are online. Returns 0 or a negative errno. */
int stream_open(struct stream **stream, size_t bytes);
void stream_close(struct stream *stream);

/** The maps of the rings and of their records, for programs that are about to be loaded. */
int stream_rings_fd(const struct stream *stream);
int stream_records_fd(const struct stream *stream);

/**
 * Hand over at most `most` of the records that were written before this moment. A thread's records keep their order,
 * from one call to the next too. Returns how many there were.
 */
size_t stream_read(struct stream *stream, size_t most, stream_handler handler, void *context);

#endif
