/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Step by step, each from the descriptor of the directory before, so that nothing can be exchanged on the way; ".." goes back to
 * the descriptor that we came from, whatever has been moved meanwhile.
 */
#include "open_in_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	DEPTH_MAX = 128,
	LINKS_MAX = 40, /* as the kernel, MAXSYMLINKS */
};

struct walk {
	int root;
	int fds[DEPTH_MAX]; /* where we are, and how we came there */
	unsigned int depth, links;
	char rest[PATH_MAX]; /* that is still to be walked */
};

static int here(const struct walk *walk)
{
	return walk->depth ? walk->fds[walk->depth - 1] : walk->root;
}

static void go_back(struct walk *walk)
{
	if (walk->depth)
		close(walk->fds[--walk->depth]);
}

static void go_to_root(struct walk *walk)
{
	while (walk->depth)
		go_back(walk);
}

static int check_directory(const struct walk *walk)
{
	struct stat there;

	return fstat(here(walk), &there) ? -errno : S_ISDIR(there.st_mode) ? 0 : -ENOTDIR;
}

/* The first name of what is left, which is taken away; empty: there is none. A slash after something makes it a directory. */
static int next_name(struct walk *walk, char name[NAME_MAX + 1])
{
	char *at = walk->rest + strspn(walk->rest, "/");
	size_t length = strcspn(at, "/");

	if (length > NAME_MAX)
		return -ENAMETOOLONG;
	if (length == 0 && at > walk->rest) {
		name[0] = '\0';
		return check_directory(walk);
	}
	memcpy(name, at, length);
	name[length] = '\0';
	memmove(walk->rest, at + length, strlen(at + length) + 1);
	return 0;
}

/* What a link says comes before what is left. */
static int follow(struct walk *walk, int link)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(link, "", target, sizeof(target) - 1);
	size_t rest = strlen(walk->rest);

	if (length < 0)
		return -errno;
	if (++walk->links > LINKS_MAX)
		return -ELOOP;
	if ((size_t)length + rest >= sizeof(walk->rest) || length == sizeof(target) - 1)
		return -ENAMETOOLONG;
	memmove(walk->rest + length, walk->rest, rest + 1);
	memcpy(walk->rest, target, (size_t)length);
	if (target[0] == '/')
		go_to_root(walk);
	return 0;
}

static int step(struct walk *walk, const char *name)
{
	struct stat there;
	int fd, err;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		err = check_directory(walk);
		if (!err && name[1])
			go_back(walk);
		return err;
	}
	fd = openat(here(walk), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fstat(fd, &there) ? -errno : 0;
	if (!err && S_ISLNK(there.st_mode)) {
		err = follow(walk, fd);
		close(fd);
		return err;
	}
	if (!err && walk->depth == DEPTH_MAX)
		err = -ENAMETOOLONG;
	if (err)
		close(fd);
	else
		walk->fds[walk->depth++] = fd;
	return err;
}

int open_in_root(int root, const char *path)
{
	struct walk walk = { .root = root };
	char name[NAME_MAX + 1];
	int err, fd = -1;

	if (snprintf(walk.rest, sizeof(walk.rest), "%s", path) >= (int)sizeof(walk.rest))
		return -ENAMETOOLONG;
	do {
		err = next_name(&walk, name);
		if (!err && name[0])
			err = step(&walk, name);
	} while (!err && name[0]);
	if (!err)
		fd = fcntl(here(&walk), F_DUPFD_CLOEXEC, 0);
	if (!err && fd < 0)
		err = -errno;
	go_to_root(&walk);
	return err ? err : fd;
}
