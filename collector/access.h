/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may see what. Decided from what the kernel says of the peer (SO_PEERCRED, SO_PEERGROUPS), never from what the
 * peer says. The kernel side applies the same rule to every record: visible_to() in bpf/watch.bpf.h.
 */
#ifndef TASKMON_ACCESS_H
#define TASKMON_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "record.h"

struct config;

struct client {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	bool sees_all; /* root or a member of the group: the tasks of every user; else its own */
	bool refused;  /* may not see anything */
};

/** Find out who is at the other end of a Unix socket. */
int access_identify(int fd, const struct config *config, struct client *client);

/**
 * May the client watch this process? Fills `key` if there is such a process. Returns 0, -ESRCH if there is none, -EINVAL if `pid` is a thread of
 * another process, -EACCES if it is not theirs to see.
 */
int access_process(const struct client *client, pid_t pid, struct pid_key *key);

/**
 * May the client see this process? Returns a file descriptor of it (pidfd_open(2)), which means the same process for ever, or -ESRCH, -EINVAL
 * and -EACCES as access_process().
 */
int access_open_process(const struct client *client, pid_t pid);

/** The identity of a process, whoever asks; -ESRCH if there is none. */
int access_process_key(pid_t pid, struct pid_key *key);

/** When a process began, from the text of /proc/PID/stat; -ESRCH if it is not whole. */
int access_start_ticks(const char *stat, u64 *start_ticks);

#endif
