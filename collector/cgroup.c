/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the id of a cgroup to its path. The id is the kernfs inode, which also serves as a file handle
 * (kernfs_encode_fh(), fs/kernfs/mount.c), so the path is one open_by_handle_at(2) away and need not be searched.
 */
#include "cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <uthash.h>

#include "log.h"

enum {
	FILEID_KERNFS = 0xfe, /* include/linux/exportfs.h */
	CACHE_MAX = 4096,     /* forgotten all at once when there are more: cgroups come and go */
};

struct entry {
	uint64_t id;
	UT_hash_handle hh;
	char path[];
};

struct cgroups {
	int mount_fd; /* -1: no cgroup v2 is mounted */
	int own_fd;   /* of a mount that only we have, where nobody else has one; -1: not needed, or not possible */
	char mount[PATH_MAX];
	struct entry *cache;
	const struct entry *last; /* that was asked for: neighbours are often in the same */
};

static void find_mount(struct cgroups *cgroups)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;

	if (!mounts)
		return;
	while (cgroups->mount_fd < 0 && (entry = getmntent(mounts))) {
		if (strcmp(entry->mnt_type, "cgroup2") != 0)
			continue;
		snprintf(cgroups->mount, sizeof(cgroups->mount), "%s", entry->mnt_dir);
		cgroups->mount_fd = open(entry->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	endmntent(mounts);
}

/* Programs on packets need the root cgroup even where nobody has mounted it; this mount is attached nowhere. */
static int mount_for_us(void)
{
	int context = (int)syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);
	int fd = -1;

	if (context < 0)
		return -1;
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fd = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	close(context);
	return fd;
}

int cgroup_root(const struct cgroups *cgroups)
{
	return cgroups->mount_fd >= 0 ? cgroups->mount_fd : cgroups->own_fd;
}

struct cgroups *cgroups_new(void)
{
	struct cgroups *cgroups = calloc(1, sizeof(*cgroups));

	if (!cgroups)
		return NULL;
	cgroups->mount_fd = -1;
	find_mount(cgroups);
	cgroups->own_fd = cgroups->mount_fd < 0 ? mount_for_us() : -1;
	if (cgroups->mount_fd < 0)
		log_info("cgroup", "no cgroup v2 is mounted: the column cgroup stays empty");
	return cgroups;
}

static void forget_all(struct cgroups *cgroups)
{
	struct entry *entry, *next;

	HASH_ITER(hh, cgroups->cache, entry, next) {
		HASH_DEL(cgroups->cache, entry);
		free(entry);
	}
	cgroups->last = NULL;
}

void cgroups_free(struct cgroups *cgroups)
{
	if (!cgroups)
		return;
	forget_all(cgroups);
	if (cgroup_root(cgroups) >= 0)
		close(cgroup_root(cgroups));
	free(cgroups);
}

/* The path below the mount into `path`; empty if the cgroup is gone. */
static void resolve(const struct cgroups *cgroups, uint64_t id, char *path, size_t size)
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + sizeof(id)];
	} name = { .handle = { .handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS } };
	char link[64], target[PATH_MAX];
	size_t prefix = strcmp(cgroups->mount, "/") == 0 ? 0 : strlen(cgroups->mount);
	ssize_t length;
	int fd;

	path[0] = '\0';
	memcpy(name.handle.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(cgroups->mount_fd, &name.handle, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, target, sizeof(target) - 1);
	close(fd);
	if (length < (ssize_t)prefix)
		return;
	target[length] = '\0';
	snprintf(path, size, "%s", target[prefix] ? target + prefix : "/");
}

const char *cgroup_path(struct cgroups *cgroups, uint64_t id)
{
	char path[PATH_MAX];
	struct entry *entry;

	if (cgroups->mount_fd < 0 || id == 0)
		return "";
	if (cgroups->last && cgroups->last->id == id)
		return cgroups->last->path;
	HASH_FIND(hh, cgroups->cache, &id, sizeof(id), entry);
	if (entry) {
		cgroups->last = entry;
		return entry->path;
	}
	if (HASH_COUNT(cgroups->cache) >= CACHE_MAX)
		forget_all(cgroups);
	resolve(cgroups, id, path, sizeof(path));
	entry = malloc(sizeof(*entry) + strlen(path) + 1);
	if (!entry)
		return "";
	entry->id = id;
	strcpy(entry->path, path);
	HASH_ADD(hh, cgroups->cache, id, sizeof(entry->id), entry);
	return entry->path;
}
