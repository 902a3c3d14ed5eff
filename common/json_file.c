/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "str.h"

enum { FILE_BYTES_MAX = 8 << 20, MESSAGE_BYTES = 512 };

/* --- lines */

static int line_of(const char *text, const char *at)
{
	int line = 1;

	for (; at && text < at; text++)
		line += *text == '\n';
	return line;
}

static const char *skip_space(const char *at)
{
	while (*at && (unsigned char)*at <= ' ')
		at++;
	return at;
}

static const char *skip_string(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		at += *at == '\\' && at[1];
	return *at ? at + 1 : at;
}

/* Where the n-th value of a valid text stands, or its key if it has one. */
static const char *nth_value(const char *text, size_t n)
{
	const char *key = NULL, *at = text;

	while (*at) {
		const char *begin = at;

		if (*at == '"') {
			at = skip_string(at);
			if (*skip_space(at) == ':') {
				key = begin;
				continue;
			}
		} else if (isalnum((unsigned char)*at) || *at == '-') {
			while (isalnum((unsigned char)*at) || (*at && strchr("+-.", *at)))
				at++;
		} else if (*at++ != '{' && begin[0] != '[') {
			continue;
		}
		if (n-- == 0)
			return key ? key : begin;
		key = NULL;
	}
	return at;
}

/* How many values stand before `item`. */
static bool count_before(const cJSON *from, const cJSON *item, size_t *count)
{
	for (; from; from = from->next) {
		if (from == item)
			return true;
		(*count)++;
		if (count_before(from->child, item, count))
			return true;
	}
	return false;
}

/* cJSON keeps no positions, but its tree has the values in the order of the text. */
static int line_of_item(const struct json_file *file, const cJSON *item)
{
	size_t before = 0;

	return count_before(file->root, item, &before) ? line_of(file->text, nth_value(file->text, before)) : 1;
}

int json_file_refuse(struct json_file *file, const cJSON *at, const char *format, ...)
{
	char message[MESSAGE_BYTES], clean[2 * MESSAGE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	/* it may quote anything that the file has */
	str_sanitize(clean, sizeof(clean), message, strlen(message));
	snprintf(file->error, file->error_size, "%s:%d: %s", file->path, line_of_item(file, at), clean);
	return -EINVAL;
}

int json_file_no_memory(struct json_file *file)
{
	snprintf(file->error, file->error_size, "%s: out of memory", file->path);
	return -ENOMEM;
}

/* --- the file */

static int read_text(struct json_file *file)
{
	FILE *stream = fopen(file->path, "re");
	struct stat info;
	size_t size;
	int err = -EINVAL;

	if (!stream || fstat(fileno(stream), &info)) {
		err = errno == ENOENT ? -ENOENT : -EINVAL;
		snprintf(file->error, file->error_size, "%s: %s", file->path, strerror(errno));
	} else if (!S_ISREG(info.st_mode) || info.st_size > FILE_BYTES_MAX) {
		snprintf(file->error, file->error_size, "%s: not a regular file of at most 8 MiB", file->path);
	} else if ((file->text = malloc((size_t)info.st_size + 1))) {
		size = fread(file->text, 1, (size_t)info.st_size, stream);
		file->text[size] = '\0';
		err = 0;
		if (strlen(file->text) != size) {
			snprintf(file->error, file->error_size, "%s:%d: not valid JSON (it has a NUL byte)", file->path,
				 line_of(file->text, file->text + strlen(file->text)));
			err = -EINVAL;
		}
	} else {
		err = -ENOMEM;
	}
	if (stream)
		fclose(stream);
	return err;
}

/* A comment where cJSON gave up? */
static bool is_comment(const char *text, const char *end)
{
	return end && ((*end == '#' || *end == '/') || (end > text && (end[-1] == '#' || end[-1] == '/')));
}

int json_file_open(struct json_file *file, const char *path, char *error, size_t error_size)
{
	const char *end = NULL;
	int err;

	*file = (struct json_file){ .path = path, .error = error, .error_size = error_size };
	snprintf(error, error_size, "%s: out of memory", path);
	err = read_text(file);
	if (err)
		return err;
	file->root = cJSON_ParseWithOpts(file->text, &end, true);
	if (!cJSON_IsObject(file->root)) {
		snprintf(error, error_size, "%s:%d: not valid JSON (%s)", path, file->root ? 1 : line_of(file->text, end),
			 !file->root && is_comment(file->text, end) ? "it has no comments" : "an object was expected");
		return -EINVAL;
	}
	error[0] = '\0';
	return 0;
}

void json_file_close(struct json_file *file)
{
	cJSON_Delete(file->root);
	free(file->text);
	file->root = NULL;
	file->text = NULL;
}

/* --- settings */

static const struct json_setting *find_setting(const struct json_setting *settings, const char *key)
{
	for (; settings->key; settings++)
		if (strcmp(settings->key, key) == 0)
			return settings;
	return NULL;
}

static const char *suggest(const struct json_setting *settings, const char *key)
{
	size_t best_distance = strlen(key) / 3 + 2;
	const char *best = NULL;

	for (; settings->key; settings++) {
		size_t distance = str_distance(key, settings->key);

		if (distance < best_distance) {
			best_distance = distance;
			best = settings->key;
		}
	}
	return best;
}

static const cJSON *find_earlier(const cJSON *object, const cJSON *value)
{
	for (const cJSON *earlier = object->child; earlier != value; earlier = earlier->next)
		if (strcmp(earlier->string, value->string) == 0)
			return earlier;
	return NULL;
}

static int apply_one(struct json_file *file, const cJSON *object, const cJSON *value, const struct json_setting *settings,
		     void *target)
{
	const struct json_setting *setting = find_setting(settings, value->string);
	const cJSON *earlier;
	const char *near;
	int err;

	if (!setting) {
		near = suggest(settings, value->string);
		return json_file_refuse(file, value, "unknown key \"%s\"%s%s%s", value->string, near ? " (did you mean \"" : "",
					near ? near : "", near ? "\"?)" : "");
	}
	earlier = find_earlier(object, value);
	if (earlier)
		return json_file_refuse(file, value, "\"%s\" is there twice, first in line %d", setting->key,
					line_of_item(file, earlier));
	err = setting->apply(target, value, file);
	if (err == -EINVAL && !file->error[0])
		json_file_refuse(file, value, "\"%s\": expected %s", setting->key, setting->expected);
	return err;
}

int json_file_apply(struct json_file *file, const cJSON *object, const struct json_setting *settings, void *target)
{
	const cJSON *value;
	int err = 0;

	cJSON_ArrayForEach(value, object) {
		err = apply_one(file, object, value, settings, target);
		if (err)
			break;
	}
	return err == -ENOMEM ? json_file_no_memory(file) : err;
}

/* --- values */

int json_number(const cJSON *value, double least, double most, double *out)
{
	/* not < and >: a number too large to be one is infinite */
	if (!cJSON_IsNumber(value) || !(value->valuedouble >= least && value->valuedouble <= most))
		return -EINVAL;
	*out = value->valuedouble;
	return 0;
}

int json_whole(const cJSON *value, double least, double most, size_t *out)
{
	double number;

	if (json_number(value, least, most, &number) || number != (double)(size_t)number)
		return -EINVAL;
	*out = (size_t)number;
	return 0;
}

int json_bool(const cJSON *value, bool *out)
{
	if (!cJSON_IsBool(value))
		return -EINVAL;
	*out = cJSON_IsTrue(value);
	return 0;
}

int json_either(const cJSON *value, const char *no, const char *yes, bool *out)
{
	if (!cJSON_IsString(value))
		return -EINVAL;
	*out = strcmp(value->valuestring, yes) == 0;
	return *out || strcmp(value->valuestring, no) == 0 ? 0 : -EINVAL;
}

int json_text(const cJSON *value, char **copy)
{
	if (!cJSON_IsString(value) || !value->valuestring[0])
		return -EINVAL;
	free(*copy);
	*copy = strdup(value->valuestring);
	return *copy ? 0 : -ENOMEM;
}
