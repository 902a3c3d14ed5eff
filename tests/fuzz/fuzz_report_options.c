/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line: whatever it is, it is taken over or refused with a line. A line of the input is an argument.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

enum { ARGUMENTS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[ARGUMENTS_MAX + 2] = { "taskmon-report" }, *text, *next, error[512] = "";
	struct options options;
	int argc = 1, err;

	if (memchr(data, '/', size)) /* no files but those in a directory where there are none of interest */
		return 0;
	text = next = strndup((const char *)data, size);
	assert(text);
	while (next && argc <= ARGUMENTS_MAX)
		argv[argc++] = strsep(&next, "\n");
	err = options_parse(&options, argc, argv, error, sizeof(error));
	if (err)
		assert(error[0] && !strchr(error, '\n') && strlen(error) < sizeof(error));
	else if (options.action == ACTION_REPORT)
		assert(options.interval_ns >= 100000000 && options.interval_ns <= 3600000000000);
	options_free(&options);
	free(text);
	return 0;
}
