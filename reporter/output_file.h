/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of outputs by their names: what is in one already, and where one goes when the next begins.
 */
#ifndef TASKMON_OUTPUT_FILE_H
#define TASKMON_OUTPUT_FILE_H

#include <sys/types.h>

/**
 * Can the file be continued? Its first line must be `header`, or as much of it as was written before its writer was
 * killed; if that is "", the beginning of a JSON object. Returns 0, or a negative errno after it has been logged.
 */
int output_file_check(const char *path, const char *header);

/** Where the last whole line of a file of `size` bytes ends. */
off_t output_file_end_of_lines(const char *path, off_t size);

/** FILE.4 becomes FILE.5, ... and FILE becomes FILE.1; none after FILE.keep. Returns 0 or a negative errno. */
int output_file_shift(const char *path, unsigned int keep);

#endif
