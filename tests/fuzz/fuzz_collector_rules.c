/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of rules: whatever is in one, it is taken over or refused with a line.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "file_of.h"
#include "rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = file_of(data, size);
	struct rules rules = { 0 };
	char error[512] = "";

	if (rules_read(&rules, path, error, sizeof(error)))
		assert(strncmp(error, path, strlen(path)) == 0 && !strchr(error, '\n'));
	rules_free(&rules);
	unlink(path);
	return 0;
}
