/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of rules: whatever is in one, it is taken over or refused with a line.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	struct rules rules = { 0 };
	char error[512] = "";
	FILE *file;

	if (!path[0])
		snprintf(path, sizeof(path), "/tmp/taskmon-fuzz-%d", (int)getpid());
	file = fopen(path, "w");
	assert(file && fwrite(data, 1, size, file) == size);
	fclose(file);
	if (rules_read(&rules, path, error, sizeof(error)))
		assert(strncmp(error, path, strlen(path)) == 0 && !strchr(error, '\n'));
	rules_free(&rules);
	unlink(path);
	return 0;
}
