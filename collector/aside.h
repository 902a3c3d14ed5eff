/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What can take as long as a client likes is done aside, in threads, and nobody else waits for it. Reading a file that a client has
 * opened is that, and so is closing what it has a hand in: close(2) waits for the other side if it is the last one of a socket that
 * lingers (SO_LINGER), and for a program of the client's if the file is in a file system that this one serves (FUSE).
 */
#ifndef TASKMON_ASIDE_H
#define TASKMON_ASIDE_H

#include <stddef.h>

#include <uv.h>

int aside_start(uv_loop_t *loop);

/** The loop is to end: it waits for what is not done yet, but for a second only. The rest goes with the process. */
void aside_hurry(void);

/** When the loop has ended. */
void aside_stop(void);

/**
 * Call work(context) in a thread of its own, and then done(context) in that of the loop; never within this call, and not after the
 * loop has ended. Returns 0, or a negative errno and neither is called. The caller sees to it that no client has many of these.
 */
int aside_run(void (*work)(void *context), void (*done)(void *context), void *context);

/**
 * Close these descriptors; then done(context) is called as above. Without `done`, they wait for a thread that all such
 * descriptors share. Returns 0; or a negative errno, and they have been closed in this thread, there being no other.
 */
int aside_close(const int *fds, size_t count, void (*done)(void *context), void *context);

#endif
