/* SPDX-License-Identifier: BSD-2-Clause */
#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

int output_file_check(const char *path, const char *header)
{
	size_t length = strlen(header), have;
	char *start = malloc(length + 2);
	FILE *file = fopen(path, "re");
	int err = !start || !file ? -errno : 0;

	if (err) {
		log_error(NULL, "%s: %s", path, strerror(-err));
		goto out;
	}
	have = fread(start, 1, length ? length : 1, file);
	if (length ? memcmp(start, header, have) != 0 : have && start[0] != '{') {
		err = -EEXIST;
		log_error(NULL, "%s: cannot append: %s", path,
			  length ? "its first line is not the header of this report (expected the same --modules and --metrics)" :
				   "it does not hold JSON Lines");
	}
out:
	if (file)
		fclose(file);
	free(start);
	return err;
}

off_t output_file_end_of_lines(const char *path, off_t size)
{
	char block[4096];
	const char *last = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && size > 0 && !last) {
		off_t begin = size > (off_t)sizeof(block) ? size - (off_t)sizeof(block) : 0;
		ssize_t got = pread(fd, block, (size_t)(size - begin), begin);

		if (got <= 0)
			break;
		last = memrchr(block, '\n', (size_t)got);
		size = last ? begin + (last + 1 - block) : begin;
	}
	if (fd >= 0)
		close(fd);
	return size;
}

int output_file_shift(const char *path, unsigned int keep)
{
	char from[PATH_MAX], to[PATH_MAX];
	unsigned int last = 1;

	while (last < keep && snprintf(from, sizeof(from), "%s.%u", path, last) < (int)sizeof(from) && access(from, F_OK) == 0)
		last++;
	for (; last > 0; last--) {
		snprintf(to, sizeof(to), "%s.%u", path, last);
		snprintf(from, sizeof(from), last > 1 ? "%s.%u" : "%s", path, last - 1);
		if (rename(from, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}
