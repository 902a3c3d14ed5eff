/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that tests write and read: in a directory of the test program, or of a text.
 */
#ifndef TASKMON_FILES_H
#define TASKMON_FILES_H

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "unit.h"

#define FILES_TEMPLATE "/tmp/taskmon-unit-XXXXXX"

static char directory[] = FILES_TEMPLATE;

/** Valid until the next call. */
static inline const char *path_of(const char *file)
{
	static char path[sizeof(directory) + NAME_MAX + 1];

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	return path;
}

static inline char *file_text(const char *file, char *text, size_t size)
{
	FILE *stream = fopen(path_of(file), "r");

	assert_non_null(stream);
	text[fread(text, 1, size - 1, stream)] = '\0';
	fclose(stream);
	return text;
}

static inline void check_file(const char *file, const char *want)
{
	char text[8192];

	assert_string_equal(file_text(file, text, sizeof(text)), want);
}

/** For cmocka_run_group_tests(): the directory; and after each test, what is in it. */
static inline int make_directory(void **state)
{
	(void)state;
	log_init("test", 0);
	return mkdtemp(directory) ? 0 : -1;
}

static inline int empty_directory(void **state)
{
	DIR *files = opendir(directory);
	const struct dirent *file;

	(void)state;
	while (files && (file = readdir(files)))
		if (file->d_name[0] != '.')
			unlink(path_of(file->d_name));
	return files ? closedir(files) : -1;
}

static inline int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

/** A new file with this text. `path` is FILES_TEMPLATE at first. */
static inline void write_text(char *path, const char *text)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/** The file is gone, and of what was said of it (with `err`, else nothing) this follows its path. */
static inline void remove_text(const char *path, int err, const char *message, char *error, size_t size)
{
	unlink(path);
	if (err)
		assert_memory_equal(message, path, strlen(path));
	snprintf(error, size, "%s", err ? message + strlen(path) : "");
}

#endif
