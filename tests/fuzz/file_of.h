/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input as a file, for what reads files.
 */
#ifndef TASKMON_FILE_OF_H
#define TASKMON_FILE_OF_H

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/** Its path, always the same in a process; to be unlinked. */
static inline char *file_of(const uint8_t *data, size_t size)
{
	static char path[64];
	FILE *file;

	if (!path[0])
		snprintf(path, sizeof(path), "/tmp/taskmon-fuzz-%d", (int)getpid());
	file = fopen(path, "w");
	assert(file && fwrite(data, 1, size, file) == size);
	fclose(file);
	return path;
}

#endif
