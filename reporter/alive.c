/* SPDX-License-Identifier: BSD-2-Clause */
#include "alive.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* PROC_PID_INIT_INO of include/linux/proc_ns.h: the first namespace, whose numbers BPF programs see */
#define FIRST_PID_NAMESPACE 0xEFFFFFFCu

bool alive_can_tell(void)
{
	struct stat stat_of;

	return stat("/proc/self/ns/pid", &stat_of) == 0 && stat_of.st_ino == FIRST_PID_NAMESPACE;
}

struct stat_line {
	char state;           /* field 3 */
	uint64_t threads;     /* field 20 */
	uint64_t start_ticks; /* field 22, in USER_HZ */
};

/* /proc/PID/stat; false if it cannot be read. The name in it may contain anything. */
static bool read_stat(uint32_t tgid, struct stat_line *line)
{
	char path[32], text[1024], *at;
	ssize_t size = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/stat", tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		size = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (size <= 0)
		return false;
	text[size] = '\0';
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22;) {
		at = strchr(at + 1, ' ');
		field++;
		if (at && field == 3)
			line->state = at[1];
		if (at && field == 20)
			line->threads = strtoull(at, NULL, 10);
	}
	if (at)
		line->start_ticks = strtoull(at, NULL, 10);
	return at;
}

/* kill(2) tells of any process, /proc with hidepid does not. */
bool alive_is_gone(uint32_t tgid, uint64_t start_time_ns)
{
	uint64_t ns_per_tick = 1000000000 / (uint64_t)sysconf(_SC_CLK_TCK);
	struct stat_line line;

	if (kill((pid_t)tgid, 0) < 0 && errno == ESRCH)
		return true;
	if (!read_stat(tgid, &line))
		return false;
	if (start_time_ns && line.start_ticks != start_time_ns / ns_per_tick)
		return true;
	return line.state == 'Z' && line.threads <= 1; /* ended, but nobody has waited for it yet */
}
