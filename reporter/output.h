/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file or standard output that is written line by line through a large buffer. Only whole lines are written, and a
 * regular file that could not take all of one is cut back to its last whole line. The first error stays: what is
 * written after it is dropped, and output_flush() tells it, once in a log line and then in its result.
 *
 * Lines reach the file when the buffer is full and with output_flush(), which the writers call at every tick. They are
 * not forced to the disk: the kernel does that in its own time.
 */
#ifndef TASKMON_OUTPUT_H
#define TASKMON_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct output;

/** Of regular files; for others it means nothing. */
struct output_policy {
	uint64_t rotate_bytes; /* a file is not to become longer than this, unless a line is; 0: it may */
	uint64_t rotate_ns;    /* at the first flush after this time a new file begins; 0: never */
	unsigned int keep;     /* FILE.1 (the youngest) to FILE.keep are what was written before */
	bool append;           /* continue a file that is there already */
};

/**
 * Open `path` ("-": standard output), creating but not emptying it. `header` (NULL: none) with its line end begins each
 * file. `policy` may be NULL. Returns NULL with errno set after the cause has been logged; EEXIST: the file that was
 * to be continued has another header.
 */
struct output *output_open(const char *path, const char *header, const struct output_policy *policy);

/** Empty it, or cut it to its last whole line to be continued: from here on it is this report's. 0 or a negative errno. */
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

/** Somebody has moved the file away: flush and open it anew by its name. Returns 0 or the error that there was. */
int output_reopen(struct output *output);

/** What was written so far, to all files. */
uint64_t output_total_bytes(const struct output *output);

/** What was written so far need not wait for the end of its line. */
void output_mark_complete(struct output *output);

/** Write all complete lines, to a new file if somebody has removed this one. Returns 0 or the error that there was. */
int output_flush(struct output *output);

#endif
