/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc_stat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TEXT_BYTES = 4096, /* a stat file has some 350, a status file 1500 */
	LAST_FIELD = 24,
	NS_PER_S = 1000000000,
};

/* Which fields are taken, numbered as proc(5) does; those with the same place add up. */
static const struct {
	unsigned int field;
	size_t place;
} fields[] = {
	{ 4, offsetof(struct proc_stat, ppid) },
	{ 10, offsetof(struct proc_stat, minor_faults) },
	{ 12, offsetof(struct proc_stat, major_faults) },
	{ 14, offsetof(struct proc_stat, user_ticks) },
	{ 15, offsetof(struct proc_stat, system_ticks) },
	{ 16, offsetof(struct proc_stat, children_ticks) },
	{ 17, offsetof(struct proc_stat, children_ticks) },
	{ 20, offsetof(struct proc_stat, threads) },
	{ 22, offsetof(struct proc_stat, start_ticks) },
	{ 23, offsetof(struct proc_stat, vm_bytes) },
	{ LAST_FIELD, offsetof(struct proc_stat, rss_pages) },
};

static bool take_number(const char *at, const char *end, unsigned int field, struct proc_stat *stat)
{
	uint64_t number = 0;

	for (; at < end; at++) {
		if (*at < '0' || *at > '9' || number > (UINT64_MAX - 9) / 10)
			return false;
		number = number * 10 + (uint64_t)(*at - '0');
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].field == field)
			*(uint64_t *)((char *)stat + fields[i].place) += number;
	return true;
}

static bool is_wanted(unsigned int field)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].field == field)
			return true;
	return false;
}

/* The name may hold anything, also `) R 1`: it ends at the last `)`, as numbers follow. */
bool proc_stat_parse(const char *text, size_t size, struct proc_stat *stat)
{
	const char *end = text + size, *name = memchr(text, '(', size), *at = memrchr(text, ')', size);
	size_t length;

	memset(stat, 0, sizeof(*stat));
	if (!name || !at || name > at || end - at < 4 || at[1] != ' ' || at[3] != ' ')
		return false;
	length = (size_t)(at - name) - 1;
	if (length >= sizeof(stat->comm))
		length = sizeof(stat->comm) - 1;
	memcpy(stat->comm, name + 1, length);
	stat->state = (unsigned char)at[2];
	if (stat->state < 'A' || stat->state > 'z')
		return false;
	at += 4;
	for (unsigned int field = 4; field <= LAST_FIELD; field++) {
		const char *word = at;

		while (at < end && *at != ' ' && *at != '\n')
			at++;
		if (at == word || at == end)
			return false;
		if (is_wanted(field) && !take_number(word, at, field, stat))
			return false;
		at++;
	}
	return true;
}

/* All of a small file, terminated. Returns its size or a negative errno; -ENOENT: whose file it was has gone. */
static ssize_t read_file(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got;

	if (fd < 0)
		return errno == ESRCH ? -ENOENT : -errno;
	do {
		got = read(fd, out + used, size - 1 - used);
		if (got > 0)
			used += (size_t)got;
	} while (used < size - 1 && (got > 0 || (got < 0 && errno == EINTR)));
	if (got < 0)
		got = errno == ESRCH ? -ENOENT : -errno;
	close(fd);
	out[used] = '\0';
	return got < 0 ? got : (ssize_t)used;
}

int proc_stat_read(uint32_t pid, uint32_t tid, struct proc_stat *stat)
{
	char path[64], text[TEXT_BYTES];
	ssize_t size;

	if (tid)
		snprintf(path, sizeof(path), "/proc/%u/task/%u/stat", pid, tid);
	else
		snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	size = read_file(path, text, sizeof(text));
	if (size < 0)
		return (int)size;
	if (size == 0)
		return -ENOENT;
	return proc_stat_parse(text, (size_t)size, stat) ? 0 : -EPROTO;
}

bool proc_stat_is_over(const struct proc_stat *stat)
{
	return (stat->state == 'Z' || stat->state == 'X') && stat->threads <= 1;
}

uint64_t proc_ticks_to_ns(uint64_t ticks)
{
	static uint64_t ns_per_tick;

	if (!ns_per_tick)
		ns_per_tick = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
	return ticks * ns_per_tick;
}

static bool find_number(const char *text, const char *key, uint32_t *number)
{
	const char *at = strstr(text, key);

	if (!at)
		return false;
	*number = (uint32_t)strtoul(at + strlen(key), NULL, 10);
	return true;
}

/* The name in its first line has no line end: the kernel escapes it. */
int proc_status_read(uint32_t pid, uint32_t *uid, uint32_t *tgid)
{
	char path[64], text[TEXT_BYTES];
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	size = read_file(path, text, sizeof(text));
	if (size < 0)
		return (int)size;
	return find_number(text, "\nTgid:", tgid) && find_number(text, "\nUid:", uid) ? 0 : -ENOENT;
}

void proc_cgroup_read(uint32_t pid, char out[PROC_CGROUP_BYTES])
{
	char path[64], text[PROC_CGROUP_BYTES + TEXT_BYTES], *line;

	out[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%u/cgroup", pid);
	if (read_file(path, text, sizeof(text)) <= 0)
		return;
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!line)
		return;
	line = strstr(line, "::") + 2;
	line[strcspn(line, "\n")] = '\0';
	snprintf(out, PROC_CGROUP_BYTES, "%.*s", PROC_CGROUP_BYTES - 1, line);
}
