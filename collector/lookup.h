/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where functions are in a file that a client has opened. It is read aside (aside.h): the file may be in a file system that a program of
 * the client's serves, below an overlay even, which nobody can see from outside.
 */
#ifndef TASKMON_LOOKUP_H
#define TASKMON_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "elf_file.h"

enum {
	LOOKUP_NAMES_MAX = 16,
	LOOKUP_FOUND_MAX = 16, /* functions of one name */
	LOOKUP_WAIT_MS = 2000, /* much more than it takes, even where many threads want to run */
};

struct lookup_result {
	int count; /* of functions, or what elf_file_find() says */
	struct {
		uint64_t offset;
		bool indirect;
	} found[LOOKUP_FOUND_MAX];
};

struct lookup {
	/* what is asked */
	int fd;
	char *names[LOOKUP_NAMES_MAX];
	size_t name_count;
	/* what came out */
	struct stat file;
	char error[ELF_FILE_ERROR_BYTES]; /* why the file cannot be used; "": it can */
	struct lookup_result results[LOOKUP_NAMES_MAX];
};

/** Of the file that `fd` is open on, which is given away, unless NULL is returned: out of memory. */
struct lookup *lookup_new(int fd);
/** `name` is copied. At most LOOKUP_NAMES_MAX. */
int lookup_add(struct lookup *lookup, const char *name);

/**
 * Look them up and wait for it. Returns 0; -ETIMEDOUT if that takes longer than LOOKUP_WAIT_MS, or another negative errno: what came out
 * is not there then. Whatever happens, the caller calls lookup_end() afterwards.
 */
int lookup_run(struct lookup *lookup);

/**
 * Neither the lookup nor its descriptor are used any more. ended(context) is called when both are gone; it may be within this call, or
 * much later, or never if the loop ends before. NULL: nobody wants to know.
 */
void lookup_end(struct lookup *lookup, void (*ended)(void *context), void *context);

#endif
