/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -- COMMAND: forked early, so that it inherits nothing of this program, and held back until everything is armed, so
 * that nothing of its life is missed.
 */
#ifndef TASKMON_LAUNCH_H
#define TASKMON_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

struct launch {
	pid_t pid;     /* 0: no command */
	int go_fd;     /* a byte into it lets the child go on, its end makes it end */
	int error_fd;  /* an errno comes out of it if the exec failed */
	int exit_fd;   /* pidfd: readable when the child has ended */
	bool released; /* exec was successful */
	bool reaped;
	int wait_status; /* once reaped, as wait(2) gives it */
};

/**
 * Fork a child that will execute `command` as it is now: with this process's user, signals, directory, environment
 * and standard files. `prepare` (NULL: nothing) is called in the child before it waits, and returns 0 or a negative
 * errno that ends it. Returns 0 or a negative errno.
 */
int launch_prepare(struct launch *launch, char **command, int (*prepare)(const void *context), const void *context);

/** Let it go. Returns 0 once it executes the command, or the negative errno with which that failed. */
int launch_release(struct launch *launch);

/** Collect it if it has ended; `reaped` tells. */
void launch_reap(struct launch *launch);

/** As a shell would tell it: 128+N after signal N. Only once reaped. */
int launch_exit_status(const struct launch *launch);

/** Exit status after exec failed with `err` (negative errno), as a shell. */
int launch_failure_status(int err);

/** A child that was not released ends without executing anything; one that was is left alone. */
void launch_free(struct launch *launch);

#endif
