/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cjson/cJSON.h>

#include "str.h"

enum { FILE_BYTES_MAX = 1 << 20 };

/* Each setting: how it is taken over, and what is said if that fails. */
struct setting {
	const char *key;
	int (*apply)(struct config *config, const cJSON *value);
	const char *expected;
};

static int apply_socket(struct config *config, const cJSON *value)
{
	if (!cJSON_IsString(value) || value->valuestring[0] != '/' ||
	    strlen(value->valuestring) >= sizeof(config->socket))
		return -EINVAL;
	strcpy(config->socket, value->valuestring);
	return 0;
}

static int apply_group(struct config *config, const cJSON *value)
{
	const struct group *group;

	if (cJSON_IsNumber(value) && value->valuedouble >= 0 && value->valuedouble <= UINT_MAX) {
		config->has_group = true;
		config->group = (gid_t)value->valuedouble;
		return 0;
	}
	if (!cJSON_IsString(value))
		return -EINVAL;
	group = getgrnam(value->valuestring);
	if (!group)
		return -EINVAL;
	config->has_group = true;
	config->group = group->gr_gid;
	return 0;
}

static int apply_others(struct config *config, const cJSON *value)
{
	if (!cJSON_IsString(value))
		return -EINVAL;
	config->others_denied = strcmp(value->valuestring, "deny") == 0;
	return config->others_denied || strcmp(value->valuestring, "own") == 0 ? 0 : -EINVAL;
}

static int apply_whole(const cJSON *value, double least, double most, size_t *out)
{
	if (!cJSON_IsNumber(value) || value->valuedouble < least || value->valuedouble > most ||
	    value->valuedouble != (double)(size_t)value->valuedouble)
		return -EINVAL;
	*out = (size_t)value->valuedouble;
	return 0;
}

static int apply_queue_bytes(struct config *config, const cJSON *value)
{
	return apply_whole(value, 16384, 1 << 30, &config->queue_bytes);
}

static int apply_max_clients(struct config *config, const cJSON *value)
{
	size_t count = config->max_clients;
	int err = apply_whole(value, 1, 4096, &count);

	config->max_clients = (unsigned int)count;
	return err;
}

static int apply_smaps_cpu_percent(struct config *config, const cJSON *value)
{
	if (!cJSON_IsNumber(value) || value->valuedouble < 0.1 || value->valuedouble > 100)
		return -EINVAL;
	config->smaps_share = value->valuedouble / 100;
	return 0;
}

static int apply_smaps_max_rss(struct config *config, const cJSON *value)
{
	size_t bytes = 0;
	int err = apply_whole(value, 1, 1ULL << 50, &bytes);

	config->smaps_max_rss = bytes;
	return err;
}

static const struct setting settings[] = {
	{ "socket", apply_socket, "an absolute path of at most 107 bytes" },
	{ "group", apply_group, "the name of an existing group, or a group id" },
	{ "others", apply_others, "\"own\" or \"deny\"" },
	{ "queue_bytes", apply_queue_bytes, "a whole number from 16384 to 1073741824" },
	{ "max_clients", apply_max_clients, "a whole number from 1 to 4096" },
	{ "smaps_cpu_percent", apply_smaps_cpu_percent, "a number from 0.1 to 100" },
	{ "smaps_max_rss", apply_smaps_max_rss, "a whole number from 1 to 1125899906842624" },
};

void config_defaults(struct config *config)
{
	const struct group *group = getgrnam("taskmon");

	*config = (struct config){
		.socket = CONFIG_DEFAULT_SOCKET,
		.has_group = group != NULL,
		.group = group ? group->gr_gid : 0,
		.queue_bytes = 8 << 20,
		.max_clients = 256,
		.smaps_share = 0.05,
		.smaps_max_rss = 8ULL << 30,
	};
}

static char *read_file(const char *path, char *error, size_t error_size)
{
	FILE *file = fopen(path, "re");
	struct stat info;
	char *text = NULL;
	size_t size;

	if (!file || fstat(fileno(file), &info)) {
		snprintf(error, error_size, "%s: %s", path, strerror(errno));
	} else if (!S_ISREG(info.st_mode) || info.st_size > FILE_BYTES_MAX) {
		snprintf(error, error_size, "%s: not a regular file of at most 1 MiB", path);
	} else if ((text = malloc((size_t)info.st_size + 1))) {
		size = fread(text, 1, (size_t)info.st_size, file);
		text[size] = '\0';
	}
	if (file)
		fclose(file);
	return text;
}

static int line_of(const char *text, const char *at)
{
	int line = 1;

	for (; at && text < at; text++)
		line += *text == '\n';
	return line;
}

/* cJSON keeps no positions, but a key stands in its file in quotes. */
static int line_of_key(const char *text, const char *key)
{
	char quoted[128];

	snprintf(quoted, sizeof(quoted), "\"%s\"", key);
	return line_of(text, strstr(text, quoted));
}

static const struct setting *find_setting(const char *key)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (strcmp(settings[i].key, key) == 0)
			return &settings[i];
	return NULL;
}

int config_read(struct config *config, const char *path, char *error, size_t error_size)
{
	struct config next = *config;
	const char *end = NULL;
	cJSON *root = NULL;
	const cJSON *value;
	int err = -EINVAL;
	char *text;

	snprintf(error, error_size, "%s: out of memory", path);
	text = read_file(path, error, error_size);
	if (!text)
		return -EINVAL;
	root = cJSON_ParseWithOpts(text, &end, true);
	if (!cJSON_IsObject(root)) {
		snprintf(error, error_size, "%s:%d: not valid JSON (an object was expected)", path,
			 root ? 1 : line_of(text, end));
		goto out;
	}
	cJSON_ArrayForEach(value, root) {
		const struct setting *setting = find_setting(value->string);

		if (!setting) {
			char key[64];

			str_sanitize(key, sizeof(key), value->string, strlen(value->string));
			snprintf(error, error_size, "%s:%d: unknown key \"%s\"", path,
				 line_of_key(text, value->string), key);
			goto out;
		}
		if (setting->apply(&next, value)) {
			snprintf(error, error_size, "%s:%d: \"%s\": expected %s", path,
				 line_of_key(text, value->string), setting->key, setting->expected);
			goto out;
		}
	}
	*config = next;
	err = 0;
out:
	cJSON_Delete(root);
	free(text);
	return err;
}
