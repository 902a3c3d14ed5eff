/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs and libraries of a process: those that it has mapped, and those that it will map when the program starts that it has mapped.
 * Names are looked up in the process's own root directory, whatever its mount namespace.
 */
#ifndef TASKMON_PROCESS_FILES_H
#define TASKMON_PROCESS_FILES_H

#include <sys/stat.h>
#include <sys/types.h>

/** Gets a descriptor of each regular file, to keep or to close; other than 0 ends the search. */
typedef int (*process_file_handler)(int fd, const struct stat *file, void *context);

/** Each file of which the process has mapped the beginning, or code; some more than once. 0, -ESRCH, or what the handler returned. */
int process_files_mapped(pid_t pid, process_file_handler handler, void *context);

/**
 * Each file that starting this program will map: its loader (or the interpreter of a script, and so on), what is preloaded by the
 * environment of the process, and all libraries that are needed. What is not found is left out: the process looks for libraries by more rules
 * than are followed here.
 */
int process_files_ahead(pid_t pid, int program_fd, process_file_handler handler, void *context);

#endif
