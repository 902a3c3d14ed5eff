/* SPDX-License-Identifier: BSD-2-Clause */
#include "alive.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

#include "proc_stat.h"

/* PROC_PID_INIT_INO of include/linux/proc_ns.h: the first namespace, whose numbers BPF programs see */
#define FIRST_PID_NAMESPACE 0xEFFFFFFCu

bool alive_can_tell(void)
{
	struct stat stat_of;

	return stat("/proc/self/ns/pid", &stat_of) == 0 && stat_of.st_ino == FIRST_PID_NAMESPACE;
}

/* kill(2) tells of any process, /proc with hidepid does not. */
bool alive_is_gone(uint32_t tgid, uint64_t start_time_ns)
{
	struct proc_stat stat;

	if (kill((pid_t)tgid, 0) < 0 && errno == ESRCH)
		return true;
	if (proc_stat_read(tgid, 0, &stat))
		return false;
	if (start_time_ns && stat.start_ticks != start_time_ns / proc_ticks_to_ns(1))
		return true;
	return proc_stat_is_over(&stat);
}
