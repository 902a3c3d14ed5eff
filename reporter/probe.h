/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions that are probed for memleak: what --probe and memleak_probes say, and what the collector is asked for.
 */
#ifndef TASKMON_REPORTER_PROBE_H
#define TASKMON_REPORTER_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "declaration.h"

enum {
	PROBES_MAX = 16,     /* of one report */
	PROBE_FILES_MAX = 8, /* that they are in */
};

/** BIN:FUNC[(ARGS)] */
struct probe {
	char *binary;                   /* a path, or the name of a file that the processes have mapped */
	char *function;                 /* as in the symbol table, or as in C++ */
	struct declaration declaration; /* of the arguments that are captured */
	char *arguments;                /* its text */
	size_t column[DECLARED_MAX];    /* in which of the columns of probe_set each argument is shown */
};

/** A function of a file; several may belong to one probe. */
struct probe_symbol {
	char *name;  /* in the symbol table */
	char *shown; /* how the outputs call it */
	size_t probe, file;
	uint64_t offset;
};

struct probe_set {
	struct probe list[PROBES_MAX];
	size_t count;
	bool optional;                                  /* of a configuration file: one that is not there is left out */
	const char *columns[PROBES_MAX * DECLARED_MAX]; /* names of arguments, each once */
	size_t column_count;
	/* from here on filled by probe_files_open() */
	struct probe_symbol symbols[PROBES_MAX];
	size_t symbol_count;
	int files[PROBE_FILES_MAX];
	size_t file_count;
};

/**
 * Parse texts BIN:FUNC[(ARGS)]; `arguments` (NULL: none) is for those without ARGS. Returns 0, -ENOMEM, or -EINVAL with
 * one line in `error`. The set must be freed either way.
 */
int probe_set_parse(struct probe_set *set, char *const *texts, size_t count, const char *arguments, char *error, size_t error_size);
void probe_set_free(struct probe_set *set);

/**
 * Open the files and find the functions. Names without a slash are looked for among what the processes `pids` have
 * mapped, then, for a `command` that is about to start (NULL: none), it itself and the directories of libraries.
 * Returns 0, or a negative errno after the cause has been logged; -EPERM: what a process has mapped is not the user's
 * to see.
 */
int probe_files_open(struct probe_set *set, const uint32_t *pids, size_t pid_count, const char *command);

#endif
