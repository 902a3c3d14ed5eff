/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_CONFIG_H
#define TASKMON_CONFIG_H

#include <limits.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "heap_limits.h"

#define CONFIG_KNOWN_APPS "/etc/taskmon/known-apps.json"
#define CONFIG_SHIPPED_APPS TASKMON_DATADIR "/known-apps.json"
#define CONFIG_DEFAULT_PATH "/etc/taskmon/collector.json"
#define CONFIG_DEFAULT_SOCKET "/run/taskmon/collector.sock"

/** Settings of the collector: defaults, then the file, then the command line. */
struct config {
	char socket[108]; /* sizeof(sun_path) */
	bool has_group;   /* false: there is no such group */
	gid_t group;      /* whose members see everything */
	bool others_denied;
	size_t queue_bytes; /* per client */
	unsigned int max_clients, max_clients_per_user;
	size_t stream_bytes;    /* for system calls, while somebody wants them */
	double smaps_share;     /* of one CPU, for reading smaps_rollup */
	uint64_t smaps_max_rss; /* bytes: larger processes are not read */
	struct heap_limits heap;
	char known_apps[PATH_MAX]; /* a file of rules; empty: the one that is installed, if it is */
};

void config_defaults(struct config *config);

/**
 * Read a file. A wrong key, type or value is refused with `FILE:LINE: what, and what was expected` in `error`, and
 * `config` is left as it was.
 */
int config_read(struct config *config, const char *path, char *error, size_t error_size);

#endif
