/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the collector may do, the whole story: deploy/PRIVILEGES.md has it as a picture.
 */
#ifndef TASKMON_PRIVILEGE_H
#define TASKMON_PRIVILEGE_H

/**
 * Keep what is in the tables of privilege.c and give up everything else, for good: capabilities (ambient and bounding
 * ones too), new privileges, core dumps, and system calls. To be called once, while there is one thread, after
 * what needs more: the mount of cgroups, the lock and the socket. Before any BPF program is loaded, so that nothing that
 * clients can cause runs with more. Returns 0; -EPERM if a capability is missing without which nothing works (which
 * has been told with its name), or what the kernel said.
 */
int privilege_drop(void);

/** What is held, what is not and why, on standard output. */
void privilege_print(void);

#endif
