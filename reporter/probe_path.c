/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "elf_file.h"

/* Where the dynamic linker looks for libraries; LD_LIBRARY_PATH comes first. */
static const char library_directories[] =
#ifdef __x86_64__
	"/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:"
#endif
	"/lib64:/usr/lib64:/usr/local/lib:/lib:/usr/lib";

/* A FIFO must not stop us, nor a terminal become ours. */
static int open_plain(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool has_soname(int fd, const char *name)
{
	char error[ELF_FILE_ERROR_BYTES];
	struct elf_file *file;
	const char *soname;
	bool same;

	if (elf_file_open(&file, fd, error))
		return false;
	soname = elf_file_soname(file);
	same = soname && strcmp(soname, name) == 0;
	elf_file_close(file);
	return same;
}

/* The file of one line of /proc/PID/maps, if it is the one that is meant; else a negative errno. */
static int open_mapped(uint32_t pid, const char *line, const char *name)
{
	unsigned int major_number, minor_number;
	unsigned long long inode;
	struct stat status;
	char path[PATH_MAX];
	int at = 0, fd;

	if (sscanf(line, "%*x-%*x %*s %*x %x:%x %llu %n", &major_number, &minor_number, &inode, &at) != 3 || line[at] != '/')
		return -ENOENT;
	if (snprintf(path, sizeof(path), "/proc/%u/root%.*s", pid, (int)strcspn(line + at, "\n"), line + at) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open_plain(path);
	if (fd < 0)
		return fd;
	/* it may have been replaced by another since; a file system may show another device than its files have */
	if (fstat(fd, &status) == 0 && status.st_ino == inode && S_ISREG(status.st_mode) &&
	    (strcmp(last_part(path), name) == 0 || has_soname(fd, name)))
		return fd;
	close(fd);
	return -ENOENT;
}

static int open_from_process(uint32_t pid, const char *name)
{
	char path[64], previous[PATH_MAX] = "";
	size_t room = 0;
	char *line = NULL;
	int fd = -ENOENT;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	maps = fopen(path, "re");
	if (!maps && errno == EACCES)
		return -EPERM;
	while (maps && fd < 0 && getline(&line, &room, maps) > 0) {
		const char *file = strchr(line, '/');

		/* each file has several lines in a row */
		if (!file || strcmp(file, previous) == 0)
			continue;
		snprintf(previous, sizeof(previous), "%s", file);
		fd = open_mapped(pid, line, name);
	}
	free(line);
	if (maps)
		fclose(maps);
	return fd;
}

static int open_in_path(const char *directories, const char *name)
{
	char path[PATH_MAX];

	for (const char *at = directories; at && *at;) {
		size_t length = strcspn(at, ":");
		int fd = -ENOENT;

		if (length && snprintf(path, sizeof(path), "%.*s/%s", (int)length, at, name) < (int)sizeof(path))
			fd = open_plain(path);
		if (fd >= 0)
			return fd;
		at += length + (at[length] == ':');
	}
	return -ENOENT;
}

/* The command as execvp() will find it, or a library that it may load. */
static int open_for_command(const char *command, const char *name)
{
	int fd;

	if (strcmp(last_part(command), name) == 0)
		return strchr(command, '/') ? open_plain(command) : open_in_path(getenv("PATH"), command);
	fd = open_in_path(getenv("LD_LIBRARY_PATH"), name);
	return fd >= 0 ? fd : open_in_path(library_directories, name);
}

int probe_path_open(const char *name, const uint32_t *pids, size_t pid_count, const char *command, char *error, size_t error_size)
{
	int fd = -ENOENT;

	if (strchr(name, '/')) {
		fd = open_plain(name);
		if (fd < 0)
			snprintf(error, error_size, "cannot open it: %s", strerror(-fd));
		return fd;
	}
	for (size_t i = 0; fd < 0 && i < pid_count; i++) {
		fd = open_from_process(pids[i], name);
		if (fd == -EPERM) {
			snprintf(error, error_size, "what process %u has mapped is not yours to see (root, or a path, is needed)",
				 pids[i]);
			return fd;
		}
	}
	if (fd < 0 && command)
		fd = open_for_command(command, name);
	if (fd < 0)
		snprintf(error, error_size,
			 "no file of that name was found (expected a path, or the name of a program or library that the "
			 "processes use; ./ stands before a file in this directory)");
	return fd;
}
