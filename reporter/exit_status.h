/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_EXIT_STATUS_H
#define TASKMON_EXIT_STATUS_H

/** What taskmon-report exits with when it has no COMMAND whose status it could pass on. */
enum exit_status {
	STATUS_DONE = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_NO_COLLECTOR = 3,
	STATUS_REFUSED = 4,
	STATUS_NOT_EXECUTABLE = 126, /* as a shell */
	STATUS_NOT_FOUND = 127,      /* as a shell */
	STATUS_SIGNAL_BASE = 128,    /* + the signal, as a shell */
};

#endif
