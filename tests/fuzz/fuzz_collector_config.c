/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The collector's configuration file: whatever is in it, it is taken over or refused with a line.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	struct config config;
	char error[512] = "";
	FILE *file;

	if (!path[0])
		snprintf(path, sizeof(path), "/tmp/taskmon-fuzz-%d", (int)getpid());
	file = fopen(path, "w");
	assert(file && fwrite(data, 1, size, file) == size);
	fclose(file);
	config_defaults(&config);
	if (config_read(&config, path, error, sizeof(error)))
		assert(strncmp(error, path, strlen(path)) == 0 && !strchr(error, '\n'));
	unlink(path);
	return 0;
}
