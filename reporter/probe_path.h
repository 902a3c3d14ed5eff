/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which file somebody means by the name of a program or library.
 */
#ifndef TASKMON_PROBE_PATH_H
#define TASKMON_PROBE_PATH_H

#include <stddef.h>
#include <stdint.h>

/**
 * Open the file for reading: a path as it is; a name without a slash as probe_files_open() says. Returns a descriptor,
 * or a negative errno with the reason in `error`; -EPERM: what a process has mapped is not the user's to see.
 */
int probe_path_open(const char *name, const uint32_t *pids, size_t pid_count, const char *command, char *error, size_t error_size);

#endif
