/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_NOTIFY_H
#define TASKMON_NOTIFY_H

/** Tell the service manager, if one asked, that clients are served from now on: sd_notify(3), "READY=1". */
void notify_ready(void);

#endif
