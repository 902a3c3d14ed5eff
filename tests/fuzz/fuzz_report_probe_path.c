/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a process has mapped, where a probe names a file without a path: /proc/PID/maps is the beginning of the input, as long as its first two
 * bytes say, and every file that it names is the rest.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe_path.h"

static int maps_fd = -1, file_fd = -1;

int __real_open(const char *path, int flags, ...);
FILE *__real_fopen(const char *path, const char *mode);

static int from_start(int fd)
{
	int copy = dup(fd);

	lseek(copy, 0, SEEK_SET);
	return copy;
}

int __wrap_open(const char *path, int flags, ...)
{
	return strncmp(path, "/proc/77/root/", 14) == 0 ? from_start(file_fd) : __real_open(path, flags, 0600);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	return strcmp(path, "/proc/77/maps") == 0 ? fdopen(from_start(maps_fd), "r") : __real_fopen(path, mode);
}

static void fill(int fd, const uint8_t *data, size_t size)
{
	assert(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
}

/* A file has the inode number that maps say, where it is to be found. */
static void name_inode(char line[128])
{
	struct stat file;

	assert(fstat(file_fd, &file) == 0);
	snprintf(line, 128, "\n7f0000000000-7f0000001000 r-xp 00000000 00:01 %llu      /lib/libc.so.6\n",
		 (unsigned long long)file.st_ino);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "libc.so.6", "libfuzz.so.1", "x" };
	uint32_t pid = 77;
	char error[256], line[128];
	size_t maps;

	if (maps_fd < 0) {
		maps_fd = memfd_create("maps", MFD_CLOEXEC);
		file_fd = memfd_create("file", MFD_CLOEXEC);
	}
	if (size < 2)
		return 0;
	maps = data[0] | (size_t)data[1] << 8;
	data += 2, size -= 2;
	maps = maps < size ? maps : size;
	fill(maps_fd, data, maps);
	fill(file_fd, data + maps, size - maps);
	name_inode(line);
	if (maps % 2)
		assert(pwrite(maps_fd, line, strlen(line), (off_t)maps) == (ssize_t)strlen(line));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int fd;

		error[0] = '\0';
		fd = probe_path_open(names[i], &pid, 1, NULL, error, sizeof(error));
		assert(fd >= 0 || error[0]);
		if (fd >= 0)
			close(fd);
	}
	return 0;
}
