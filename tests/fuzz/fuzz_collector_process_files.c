/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files of a process that shall have heap probes: its /proc/PID/maps and environ, and the program that it will execute, all as
 * hostile as it likes. Two bytes say how long each of the first two is; the rest is the program. Its root directory is empty but
 * for `program`, which is that one, too, and links that lead out of it and round in circles.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process_files.h"

static char root[] = "/tmp/taskmon-fuzz-root-XXXXXX";
static int root_fd = -1, maps_fd = -1, environ_fd = -1, program_fd = -1;
static size_t handed;

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
	if (strncmp(path, "/proc/77/", 9) != 0)
		return __real_open(path, flags, 0600);
	if (strcmp(path, "/proc/77/root") == 0)
		return __real_open(root, flags);
	if (strncmp(path, "/proc/77/map_files/5", 20) == 0)
		return openat(root_fd, "program", flags);
	return strcmp(path, "/proc/77/environ") == 0 ? from_start(environ_fd) : -1;
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	return strcmp(path, "/proc/77/maps") == 0 ? fdopen(from_start(maps_fd), "r") : __real_fopen(path, mode);
}

static void remove_root(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	if (system(command))
		perror(root);
}

static void begin_once(void)
{
	assert(mkdtemp(root));
	atexit(remove_root);
	root_fd = __real_open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	program_fd = openat(root_fd, "program", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	maps_fd = memfd_create("maps", MFD_CLOEXEC);
	environ_fd = memfd_create("environ", MFD_CLOEXEC);
	assert(program_fd >= 0 && maps_fd >= 0 && environ_fd >= 0);
	assert(symlinkat("/etc/passwd", root_fd, "out") == 0 && symlinkat("circle", root_fd, "circle") == 0 &&
	       symlinkat("../../../program", root_fd, "up") == 0);
}

static void fill(int fd, const uint8_t *data, size_t size)
{
	assert(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
}

static int take(int fd, const struct stat *file, bool code, void *context)
{
	struct stat program, given;

	(void)code, (void)context;
	assert(fstat(program_fd, &program) == 0 && fstat(fd, &given) == 0);
	/* there is no other file in its root, and nothing outside of it is its own */
	assert(given.st_ino == file->st_ino && given.st_ino == program.st_ino && given.st_dev == program.st_dev);
	close(fd);
	handed++;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t maps, environment;

	if (maps_fd < 0)
		begin_once();
	if (size < 4)
		return 0;
	maps = data[0] | (size_t)data[1] << 8;
	environment = data[2] | (size_t)data[3] << 8;
	data += 4, size -= 4;
	maps = maps < size ? maps : size;
	fill(maps_fd, data, maps);
	data += maps, size -= maps;
	environment = environment < size ? environment : size;
	fill(environ_fd, data, environment);
	fill(program_fd, data + environment, size - environment);
	handed = 0;
	process_files_mapped(77, take, NULL);
	process_files_ahead(77, program_fd, take, NULL);
	assert(handed < 5000);
	return 0;
}
