/* SPDX-License-Identifier: BSD-2-Clause */
#include "process_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf_file.h"
#include "open_in_root.h"

enum {
	AHEAD_MAX = 64, /* files of one program */
	SCRIPTS_MAX = 4,
	OPENED_MAX = 2048, /* mappings of one process that are looked at */
	NEEDS_MAX = 256,   /* libraries that one file names */
	TRIES_MAX = 8192,  /* places where files of one program are looked for: what it names, and where, is all its own */
	LINE_BYTES = PATH_MAX + 256,
	ENVIRONMENT_BYTES = 128 << 10,
};

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* --- opening */

/* Nothing is opened for reading before it is known to be a regular file: to open others can have effects. */
static int open_regular(int path_fd, struct stat *file)
{
	char link[40];
	int fd = -1;

	if (path_fd < 0)
		return -1;
	if (fstat(path_fd, file) == 0 && S_ISREG(file->st_mode)) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
		fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	}
	close(path_fd);
	return fd;
}

/* As the process would find it: links are followed, but not out of its root directory. */
static int open_regular_in_root(int root, const char *path, struct stat *file)
{
	return open_regular(open_in_root(root, path), file);
}

static int root_of(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* --- what is mapped */

/* Names in maps begin at the root of the mount namespace, or at our own: where that of the process is, as far as it is part of them. */
static size_t root_prefix(pid_t pid, char *prefix, size_t size)
{
	char path[32];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	length = readlink(path, prefix, size - 1);
	prefix[length > 1 ? length : 0] = '\0';
	return strlen(prefix);
}

static const char *name_in_root(const char *name, const char *prefix, size_t length)
{
	return strncmp(name, prefix, length) == 0 && name[length] == '/' ? name + length : name;
}

/* map_files knows a file even if it has no name any more. Where that is not permitted, its name must lead to the same file. */
static int open_mapping(pid_t pid, int root, const char *range, const char *name, uint64_t inode, struct stat *file)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%s", (int)pid, range);
	fd = open_regular(open(path, O_PATH | O_CLOEXEC), file);
	if (fd >= 0)
		return fd;
	fd = open_regular_in_root(root, name, file);
	if (fd >= 0 && file->st_ino != inode) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Mappings of one file, which follow each other. */
struct mapped_file {
	char device[32];
	unsigned long long inode;
	bool code;
	int fd;
	struct stat stat;
};

static int hand_over(struct mapped_file *file, process_file_handler handler, void *context)
{
	int fd = file->fd;

	file->fd = -1;
	return fd < 0 ? 0 : handler(fd, &file->stat, file->code, context);
}

int process_files_mapped(pid_t pid, process_file_handler handler, void *context)
{
	char line[LINE_BYTES], range[64], permissions[8], device[32], path[32], prefix[PATH_MAX];
	size_t prefix_length = root_prefix(pid, prefix, sizeof(prefix));
	struct mapped_file file = { .fd = -1 };
	unsigned long long offset, inode;
	int root, name_at, opened = 0, err = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (!maps)
		return -ESRCH;
	root = root_of(pid);
	while (!err && opened < OPENED_MAX && fgets(line, sizeof(line), maps)) {
		name_at = 0;
		if (sscanf(line, "%63s %7s %llx %31s %llu %n", range, permissions, &offset, device, &inode, &name_at) < 5 ||
		    !inode || !name_at || line[name_at] != '/')
			continue;
		if (inode != file.inode || strcmp(device, file.device) != 0) {
			err = hand_over(&file, handler, context);
			file = (struct mapped_file){ .fd = -1, .inode = inode };
			strcpy(file.device, device);
		}
		file.code |= permissions[2] == 'x';
		if (file.fd >= 0 || (offset != 0 && permissions[2] != 'x'))
			continue;
		line[strcspn(line, "\n")] = '\0';
		opened++;
		file.fd = open_mapping(pid, root, range, name_in_root(line + name_at, prefix, prefix_length), inode, &file.stat);
	}
	if (!err)
		err = hand_over(&file, handler, context);
	close_fd(file.fd);
	fclose(maps);
	close_fd(root);
	return err;
}

/* --- what will be mapped */

struct ahead {
	int root;
	char *environment; /* NAME=VALUE, each with a NUL; two at the end */
	process_file_handler handler;
	void *context;
	size_t tries;
	size_t count;
	struct {
		dev_t device;
		ino_t inode;
	} seen[AHEAD_MAX];
};

static char *read_environment(pid_t pid)
{
	char path[32], *text = calloc(1, ENVIRONMENT_BYTES + 2);
	size_t used = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	fd = text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	while (fd >= 0 && used < ENVIRONMENT_BYTES && (got = read(fd, text + used, ENVIRONMENT_BYTES - used)) > 0)
		used += (size_t)got;
	if (fd >= 0)
		close(fd);
	return text;
}

static const char *variable(const struct ahead *ahead, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = ahead->environment; at && *at; at += strlen(at) + 1)
		if (strncmp(at, name, length) == 0 && at[length] == '=')
			return at + length + 1;
	return NULL;
}

static bool is_seen(struct ahead *ahead, const struct stat *file)
{
	for (size_t i = 0; i < ahead->count; i++)
		if (ahead->seen[i].device == file->st_dev && ahead->seen[i].inode == file->st_ino)
			return true;
	if (ahead->count == AHEAD_MAX)
		return true;
	ahead->seen[ahead->count].device = file->st_dev;
	ahead->seen[ahead->count++].inode = file->st_ino;
	return false;
}

static int add_needs(struct ahead *ahead, int fd);

/* A file that will be mapped, and all that it needs. The descriptor is given away. */
static int add_file(struct ahead *ahead, int fd, const struct stat *file)
{
	int err;

	if (is_seen(ahead, file)) {
		close(fd);
		return 0;
	}
	err = add_needs(ahead, fd);
	if (err)
		close(fd);
	return err ? err : ahead->handler(fd, file, true, ahead->context);
}

static int add_path(struct ahead *ahead, const char *path)
{
	struct stat file;
	int fd = open_regular_in_root(ahead->root, path, &file);

	return fd < 0 ? -ENOENT : add_file(ahead, fd, &file);
}

/* In a list of directories, separated by colons. -E2BIG: enough has been tried. */
static int add_from(struct ahead *ahead, const char *directories, const char *name)
{
	char path[PATH_MAX];

	for (const char *at = directories; at && *at;) {
		size_t length = strcspn(at, ":");
		int size;

		if (++ahead->tries > TRIES_MAX)
			return -E2BIG;
		size = snprintf(path, sizeof(path), "%.*s/%s", (int)length, at, name);

		if (length && at[0] == '/' && size < (int)sizeof(path)) {
			int err = add_path(ahead, path);

			if (err != -ENOENT)
				return err;
		}
		at += length + (at[length] == ':');
	}
	return -ENOENT;
}

static int add_library(struct ahead *ahead, const char *name)
{
	int err;

	if (strchr(name, '/'))
		err = name[0] == '/' ? add_path(ahead, name) : -ENOENT;
	else
		err = add_from(ahead, variable(ahead, "LD_LIBRARY_PATH"), name);
	if (err == -ENOENT && !strchr(name, '/'))
		err = add_from(ahead,
			       "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64:/lib:/usr/lib:"
			       "/usr/local/lib/x86_64-linux-gnu:/usr/local/lib64:/usr/local/lib",
			       name);
	return err == -ENOENT ? 0 : err;
}

/* Copies of the names, as files that need each other would be in memory together. The loader comes first. */
static size_t read_needs(int fd, char *names[NEEDS_MAX])
{
	char error[ELF_FILE_ERROR_BYTES];
	const char *name;
	struct elf_file *file;
	size_t count = 0;

	if (elf_file_open(&file, fd, error))
		return 0; /* the process will find out, too */
	name = elf_file_interpreter(file);
	if (name && (names[count] = strdup(name)))
		count++;
	for (size_t i = 0; count < NEEDS_MAX && (name = elf_file_needed(file, i)); i++)
		if ((names[count] = strdup(name)))
			count++;
	elf_file_close(file);
	return count;
}

static int add_needs(struct ahead *ahead, int fd)
{
	char *names[NEEDS_MAX];
	size_t count = read_needs(fd, names);
	int err = 0;

	for (size_t i = 0; i < count; i++) {
		if (!err)
			err = add_library(ahead, names[i]);
		free(names[i]);
	}
	return err == -E2BIG ? 0 : err; /* what has been found so far is something */
}

static int add_preloaded(struct ahead *ahead)
{
	const char *at = variable(ahead, "LD_PRELOAD");
	char name[PATH_MAX];
	int err = 0;

	while (!err && at && *at) {
		size_t length = strcspn(at, ": ");

		if (length && length < sizeof(name)) {
			memcpy(name, at, length);
			name[length] = '\0';
			err = add_library(ahead, name);
		}
		at += length + (at[length] != '\0');
	}
	return err;
}

/* "#! /bin/sh -e": opens what is executed in place of a script; -1: it is none. */
static int open_interpreter(int root, int script, struct stat *file)
{
	char line[256] = "";
	ssize_t size = pread(script, line, sizeof(line) - 1, 0);
	char *name;

	if (size < 3 || line[0] != '#' || line[1] != '!')
		return -1;
	name = line + 2 + strspn(line + 2, " \t");
	name[strcspn(name, " \t\n")] = '\0';
	return name[0] == '/' ? open_regular_in_root(root, name, file) : -1;
}

/* A shared library is not started; what it needs has been mapped before it, or with the program that needs it. */
static bool is_program(int fd)
{
	char error[ELF_FILE_ERROR_BYTES];
	struct elf_file *file;
	bool has_loader;

	if (elf_file_open(&file, fd, error))
		return false;
	has_loader = elf_file_interpreter(file) != NULL;
	elf_file_close(file);
	return has_loader;
}

static int open_program(int root, int fd, struct stat *file)
{
	fd = dup(fd);
	for (int i = 0; fd >= 0 && i < SCRIPTS_MAX; i++) {
		int interpreter = open_interpreter(root, fd, file);

		if (interpreter < 0)
			break;
		close(fd);
		fd = interpreter;
	}
	if (fd >= 0 && is_program(fd) && fstat(fd, file) == 0)
		return fd;
	close_fd(fd);
	return -1;
}

int process_files_ahead(pid_t pid, int program_fd, process_file_handler handler, void *context)
{
	struct ahead ahead = { .root = root_of(pid), .handler = handler, .context = context };
	struct stat file;
	int fd = ahead.root < 0 ? -1 : open_program(ahead.root, program_fd, &file);
	int err = 0;

	if (fd >= 0) {
		ahead.environment = read_environment(pid);
		err = add_preloaded(&ahead);
		if (err && err != -E2BIG)
			close(fd);
		else
			err = add_file(&ahead, fd, &file);
	}
	close_fd(ahead.root);
	free(ahead.environment);
	return err;
}
