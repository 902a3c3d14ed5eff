/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A configuration file in JSON, taken over by tables of settings. Whatever is wrong in it is refused with one line,
 * `FILE:LINE: what, and what was expected`.
 */
#ifndef TASKMON_JSON_FILE_H
#define TASKMON_JSON_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

struct json_file {
	const char *path;
	char *text;
	cJSON *root;
	char *error; /* of the caller: what was refused */
	size_t error_size;
};

/** One key: how its value is taken over, and what is said if that fails. A table of them ends with a NULL key. */
struct json_setting {
	const char *key;
	/** Returns 0, -ENOMEM, or -EINVAL: not as expected, or what is wrong has been told with json_file_refuse(). */
	int (*apply)(void *target, const cJSON *value, struct json_file *file);
	const char *expected;
};

/**
 * Read and parse a file whose root must be an object. Returns 0, or -ENOENT (there is no such file), -EINVAL or -ENOMEM with one line
 * in `error`. The file must be closed either way; `path` and `error` must live until then.
 */
int json_file_open(struct json_file *file, const char *path, char *error, size_t error_size);
void json_file_close(struct json_file *file);

/** Every key of `object` must be in the table, and there once. Returns 0, -EINVAL or -ENOMEM with the line. */
int json_file_apply(struct json_file *file, const cJSON *object, const struct json_setting *settings, void *target);

/** `FILE:LINE: text`, with the line of `at`. Returns -EINVAL. */
int json_file_refuse(struct json_file *file, const cJSON *at, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** `FILE: out of memory`. Returns -ENOMEM. */
int json_file_no_memory(struct json_file *file);

/** Values: each returns 0, -EINVAL if the value is none of these, or -ENOMEM. */
int json_number(const cJSON *value, double least, double most, double *out);
int json_whole(const cJSON *value, double least, double most, size_t *out);
int json_bool(const cJSON *value, bool *out);
int json_either(const cJSON *value, const char *no, const char *yes, bool *out); /* one of two words */
int json_text(const cJSON *value, char **copy);                                  /* not empty; replaces *copy */

#endif
