/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of /proc/PID/stat, in which a task puts whatever it likes as its name.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "proc_stat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_stat stat;
	const char *text = (const char *)data;

	if (!proc_stat_parse(text, size, &stat))
		return 0;
	assert(memchr(stat.comm, '\0', sizeof(stat.comm)));
	assert(strlen(stat.comm) == 0 || memmem(text, size, stat.comm, strlen(stat.comm)));
	assert(stat.state >= 'A' && stat.state <= 'z');
	return 0;
}
