/* SPDX-License-Identifier: BSD-2-Clause */
#include "access.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* include/uapi/asm-generic/socket.h */
#endif

enum { GROUPS_MAX = 65536 }; /* NGROUPS_MAX, include/uapi/linux/limits.h */

static bool is_member(int fd, gid_t primary, gid_t wanted)
{
	socklen_t size = 0;
	gid_t *groups;
	bool member = primary == wanted;

	if (member)
		return true;
	/* asked with no room, the kernel tells how much it needs */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE || size > GROUPS_MAX * sizeof(gid_t))
		return false;
	groups = malloc(size);
	if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
		for (size_t i = 0; i < size / sizeof(gid_t); i++)
			member = member || groups[i] == wanted;
	free(groups);
	return member;
}

int access_identify(int fd, const struct config *config, struct client *client)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return -errno;
	*client = (struct client){ .uid = peer.uid, .gid = peer.gid, .pid = peer.pid };
	client->sees_all = peer.uid == 0 || (config->has_group && is_member(fd, peer.gid, config->group));
	client->refused = !client->sees_all && config->others_denied;
	return 0;
}

static int read_proc(pid_t pid, const char *file, char *text, size_t size)
{
	char path[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	length = read(fd, text, size - 1);
	close(fd);
	if (length <= 0)
		return -ESRCH;
	text[length] = '\0';
	return 0;
}

/* Numbers after "KEY:" in /proc/PID/status; how many were found. */
static int status_numbers(const char *status, const char *key, unsigned int *numbers, int count)
{
	const char *line = strstr(status, key);
	int found = 0;

	if (!line)
		return 0;
	line += strlen(key);
	for (char *end; found < count; found++, line = end) {
		numbers[found] = (unsigned int)strtoul(line, &end, 10);
		if (end == line)
			break;
	}
	return found;
}

static bool belongs_to(uid_t uid, const char *path)
{
	struct stat owner;

	return stat(path, &owner) == 0 && owner.st_uid == uid;
}

/*
 * The files of a process that is not dumpable belong to root (task_dump_owner(), fs/proc/base.c), and so do those of
 * a thread that has exited: if that is the main thread, another one tells.
 */
static bool is_dumpable(uid_t uid, pid_t pid)
{
	char path[64];
	struct dirent *entry;
	bool found = false;
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (belongs_to(uid, path))
		return true;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = opendir(path);
	while (threads && !found && (entry = readdir(threads))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stat", (int)pid, entry->d_name);
		found = entry->d_name[0] != '.' && belongs_to(uid, path);
	}
	if (threads)
		closedir(threads);
	return found;
}

/* As ptrace(2) demands: real, effective and saved ids are the client's, and the process is dumpable. */
static bool is_own(const struct client *client, pid_t pid, const char *status)
{
	unsigned int uid[3], gid[3];

	if (status_numbers(status, "\nUid:", uid, 3) != 3 || status_numbers(status, "\nGid:", gid, 3) != 3)
		return false;
	for (int i = 0; i < 3; i++)
		if (uid[i] != client->uid || gid[i] != client->gid)
			return false;
	return is_dumpable(client->uid, pid);
}

/* Field 22, counted after the last ")": the name may contain anything. */
int access_start_ticks(const char *stat, u64 *start_ticks)
{
	const char *at = strrchr(stat, ')');

	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -ESRCH;
	*start_ticks = strtoull(at, NULL, 10);
	return 0;
}

int access_process(const struct client *client, pid_t pid, struct pid_key *key)
{
	char status[8192], stat[1024];
	unsigned int tgid;
	int err;

	*key = (struct pid_key){ .tgid = (u32)pid };
	err = read_proc(pid, "status", status, sizeof(status));
	if (!err)
		err = read_proc(pid, "stat", stat, sizeof(stat));
	if (err)
		return -ESRCH;
	if (status_numbers(status, "\nTgid:", &tgid, 1) != 1 || (pid_t)tgid != pid)
		return -EINVAL;
	err = access_start_ticks(stat, &key->start_ticks);
	if (!err && !client->sees_all && !is_own(client, pid, status))
		err = -EACCES;
	return err;
}

/* Where it still lives after the check, it is the one that was checked. */
int access_open_process(const struct client *client, pid_t pid)
{
	int fd = pidfd_open(pid, 0), err = fd < 0 ? -ESRCH : 0;
	struct pollfd end = { .fd = fd, .events = POLLIN };
	struct pid_key key;

	if (!err)
		err = access_process(client, pid, &key);
	if (!err && poll(&end, 1, 0) != 0)
		err = -ESRCH;
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	return err;
}

int access_process_key(pid_t pid, struct pid_key *key)
{
	char stat[1024];
	int err = read_proc(pid, "stat", stat, sizeof(stat));

	*key = (struct pid_key){ .tgid = (u32)pid };
	return err ? -ESRCH : access_start_ticks(stat, &key->start_ticks);
}
