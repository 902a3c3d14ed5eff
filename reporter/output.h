/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file or standard output that is written line by line through a large buffer. Only whole lines are written, and a
 * regular file that could not take all of one is cut back to its last whole line. The first error stays: what is
 * written after it is dropped, and output_flush() tells it, once in a log line and then in its result.
 */
#ifndef TASKMON_OUTPUT_H
#define TASKMON_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

struct output;

/**
 * Open `path` ("-": standard output), creating but not emptying it. NULL after the cause has been logged.
 */
struct output *output_open(const char *path);

/** Empty it: from here on it is this report's. Returns 0 or a negative errno. */
int output_begin(struct output *output);

/**
 * Flush and close. A file that output_open() created and output_begin() never reached is removed. Returns 0 or a
 * negative errno.
 */
int output_close(struct output *output);

/** Room for `size` bytes (at most OUTPUT_ROOM_MAX) at the end of what was written; output_advance() takes it. */
#define OUTPUT_ROOM_MAX (128u << 10)
char *output_room(struct output *output, size_t size);
void output_advance(struct output *output, size_t size);

void output_bytes(struct output *output, const void *bytes, size_t size);
void output_text(struct output *output, const char *text);
void output_char(struct output *output, char c);
void output_u64(struct output *output, uint64_t value);
/** As str_fixed(). */
void output_fixed(struct output *output, uint64_t value, unsigned int scale, unsigned int digits);
/** Wall clock ns as RFC 3339. */
void output_time(struct output *output, uint64_t wall_ns);
/** One cell of CSV, quoted if RFC 4180 wants it so. */
void output_csv_text(struct output *output, const char *text);

/** The line is complete. Returns 0 or the error that there was. */
int output_line_end(struct output *output);

/** Write all complete lines. Returns 0 or the error that there was. */
int output_flush(struct output *output);

#endif
