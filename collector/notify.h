/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_NOTIFY_H
#define TASKMON_NOTIFY_H

/** The socket of the service manager, if one wants to be told; else -1. To be called before privilege_drop(). */
int notify_open(void);

/** Tell it that clients are served from now on: sd_notify(3), "READY=1". Closes the socket; -1: nobody to be told. */
void notify_ready(int fd);

#endif
