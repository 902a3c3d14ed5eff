/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The malloc family in a program or library, and where its functions are probed.
 */
#ifndef TASKMON_HEAP_FUNCTIONS_H
#define TASKMON_HEAP_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "record.h"

#define HEAP_FUNCTIONS_MAX 80 /* in one file */

struct heap_function {
	enum heap_call call;
	uint64_t offset; /* in the file */
};

struct heap_functions {
	size_t count;
	bool allocates; /* there are more than those of a dynamic linker */
	struct heap_function list[HEAP_FUNCTIONS_MAX];
};

/** Look for them; a file may have none. -ENOEXEC, with the reason in `error` (ELF_FILE_ERROR_BYTES), or what reading it said. */
int heap_functions_find(struct heap_functions *functions, int fd, char *error);

#endif
