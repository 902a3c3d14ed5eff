/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_OPEN_IN_ROOT_H
#define TASKMON_OPEN_IN_ROOT_H

/**
 * An O_PATH descriptor of what `path` is for a process whose root directory is `root` (a descriptor): links are followed, but neither they nor
 * ".." lead out of it, and those of /proc that are no real links lead nowhere. It is what openat2(2) does with
 * RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS; but that call takes its flags from memory, where no filter of system calls
 * can see whether they are for reading only (privilege.c), so it is not allowed. Relative paths begin at `root`. Returns a
 * negative errno: -ELOOP after 40 links, -ENAMETOOLONG for what is too long or too deep.
 */
int open_in_root(int root, const char *path);

#endif
