/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <string.h>

#include "json_file.h"

static int apply_socket(void *target, const cJSON *value, struct json_file *file)
{
	struct config *config = target;

	(void)file;
	if (!cJSON_IsString(value) || value->valuestring[0] != '/' || strlen(value->valuestring) >= sizeof(config->socket))
		return -EINVAL;
	strcpy(config->socket, value->valuestring);
	return 0;
}

static int apply_group(void *target, const cJSON *value, struct json_file *file)
{
	struct config *config = target;
	const struct group *group;

	(void)file;
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

static int apply_others(void *target, const cJSON *value, struct json_file *file)
{
	struct config *config = target;

	(void)file;
	return json_either(value, "own", "deny", &config->others_denied);
}

static int apply_queue_bytes(void *target, const cJSON *value, struct json_file *file)
{
	struct config *config = target;

	(void)file;
	return json_whole(value, 16384, 1 << 30, &config->queue_bytes);
}

static int apply_connections(unsigned int *limit, const cJSON *value)
{
	size_t count = *limit;
	int err = json_whole(value, 1, 4096, &count);

	*limit = (unsigned int)count;
	return err;
}

static int apply_max_clients(void *target, const cJSON *value, struct json_file *file)
{
	struct config *config = target;

	(void)file;
	return apply_connections(&config->max_clients, value);
}

static int apply_max_clients_per_user(void *target, const cJSON *value, struct json_file *file)
{
	struct config *config = target;

	(void)file;
	return apply_connections(&config->max_clients_per_user, value);
}

static int apply_stream_bytes(void *target, const cJSON *value, struct json_file *file)
{
	struct config *config = target;

	(void)file;
	return json_whole(value, 65536, (double)(1ULL << 34), &config->stream_bytes);
}

static int apply_smaps_cpu_percent(void *target, const cJSON *value, struct json_file *file)
{
	struct config *config = target;

	(void)file;
	if (!cJSON_IsNumber(value) || value->valuedouble < 0.1 || value->valuedouble > 100)
		return -EINVAL;
	config->smaps_share = value->valuedouble / 100;
	return 0;
}

static int apply_smaps_max_rss(void *target, const cJSON *value, struct json_file *file)
{
	struct config *config = target;
	size_t bytes = 0;
	int err = json_whole(value, 1, (double)(1ULL << 50), &bytes);

	(void)file;
	config->smaps_max_rss = bytes;
	return err;
}

static int apply_heap_blocks(void *target, const cJSON *value, struct json_file *file)
{
	(void)file;
	return json_whole(value, 1024, 1 << 24, &((struct config *)target)->heap.blocks);
}

static int apply_heap_processes(void *target, const cJSON *value, struct json_file *file)
{
	(void)file;
	return json_whole(value, 0, 1000, &((struct config *)target)->heap.processes);
}

static int apply_heap_processes_per_user(void *target, const cJSON *value, struct json_file *file)
{
	(void)file;
	return json_whole(value, 0, 1000, &((struct config *)target)->heap.processes_per_user);
}

static int apply_known_apps(void *target, const cJSON *value, struct json_file *file)
{
	struct config *config = target;

	(void)file;
	if (!cJSON_IsString(value) || value->valuestring[0] != '/' || strlen(value->valuestring) >= sizeof(config->known_apps))
		return -EINVAL;
	strcpy(config->known_apps, value->valuestring);
	return 0;
}

/* Read by rules_read(), which knows their language, and again at each SIGHUP. */
static int apply_rules(void *target, const cJSON *value, struct json_file *file)
{
	(void)target, (void)file;
	return cJSON_IsObject(value) ? 0 : -EINVAL;
}

static const struct json_setting settings[] = {
	{ "socket", apply_socket, "an absolute path of at most 107 bytes" },
	{ "group", apply_group, "the name of an existing group, or a group id" },
	{ "others", apply_others, "\"own\" or \"deny\"" },
	{ "queue_bytes", apply_queue_bytes, "a whole number from 16384 to 1073741824" },
	{ "max_clients", apply_max_clients, "a whole number from 1 to 4096" },
	{ "max_clients_per_user", apply_max_clients_per_user, "a whole number from 1 to 4096" },
	{ "stream_bytes", apply_stream_bytes, "a whole number from 65536 to 17179869184" },
	{ "smaps_cpu_percent", apply_smaps_cpu_percent, "a number from 0.1 to 100" },
	{ "smaps_max_rss", apply_smaps_max_rss, "a whole number from 1 to 1125899906842624" },
	{ "heap_blocks", apply_heap_blocks, "a whole number from 1024 to 16777216" },
	{ "heap_processes", apply_heap_processes, "a whole number from 0 to 1000" },
	{ "heap_processes_per_user", apply_heap_processes_per_user, "a whole number from 0 to 1000" },
	{ "known_apps", apply_known_apps, "the absolute path of a file of rules" },
	{ "rules", apply_rules, "an object of rules by name" },
	{ NULL, NULL, NULL },
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
		.max_clients_per_user = 64,
		.stream_bytes = 64 << 20,
		.smaps_share = 0.05,
		.smaps_max_rss = 8ULL << 30,
		.heap = { .blocks = 262144, .processes = 512, .processes_per_user = 256 },
	};
}

int config_read(struct config *config, const char *path, char *error, size_t error_size)
{
	struct config next = *config;
	struct json_file file;
	int err = json_file_open(&file, path, error, error_size);

	if (!err)
		err = json_file_apply(&file, file.root, settings, &next);
	if (!err)
		*config = next;
	json_file_close(&file);
	return err;
}
