/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The collector's configuration file: whatever is in it, it is taken over or refused with a line.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "file_of.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = file_of(data, size);
	struct config config;
	char error[512] = "";

	config_defaults(&config);
	if (config_read(&config, path, error, sizeof(error)))
		assert(strncmp(error, path, strlen(path)) == 0 && !strchr(error, '\n'));
	unlink(path);
	return 0;
}
