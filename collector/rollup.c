/* SPDX-License-Identifier: BSD-2-Clause */
#include "rollup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"

enum {
	TEXT_BYTES = 4096, /* the kernel's is some 900 bytes long */
	BYTES_PER_KB = 1024,
	NS_PER_SECOND = 1000000000,
};

static const struct {
	const char *key;
	enum metric_id metric;
} keys[ROLLUP_KEYS] = {
	{ "Shared_Dirty", M_task_shared_dirty_size },
	{ "Shared_Clean", M_task_shared_clean_size },
	{ "Private_Dirty", M_task_private_dirty_size },
	{ "Private_Clean", M_task_private_clean_size },
	{ "Referenced", M_task_referenced_size },
	{ "LazyFree", M_task_lazyfree_size },
	{ "Swap", M_task_swap_data_size },
	{ "SwapPss", M_task_swap_data_pss_size },
	{ "Pss", M_task_pss_size },
};

/* "    1748 kB", with nothing behind it. */
static bool parse_kb(const char *at, const char *end, u64 *bytes)
{
	u64 kb = 0;
	bool any = false;

	while (at < end && *at == ' ')
		at++;
	for (; at < end && *at >= '0' && *at <= '9'; at++, any = true) {
		if (kb > (UINT64_MAX / BYTES_PER_KB - 9) / 10)
			return false;
		kb = kb * 10 + (u64)(*at - '0');
	}
	*bytes = kb * BYTES_PER_KB;
	return any && end - at == 3 && memcmp(at, " kB", 3) == 0;
}

static void parse_line(const char *line, const char *end, struct rollup *rollup)
{
	const char *colon = memchr(line, ':', (size_t)(end - line));

	for (size_t i = 0; colon && i < ROLLUP_KEYS; i++)
		if (strlen(keys[i].key) == (size_t)(colon - line) && memcmp(keys[i].key, line, (size_t)(colon - line)) == 0 &&
		    parse_kb(colon + 1, end, &rollup->bytes[i]))
			rollup->present |= 1U << i;
}

void rollup_parse(const char *text, size_t size, struct rollup *rollup)
{
	const char *end = text + size;

	*rollup = (struct rollup){ 0 };
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline ? newline : end;

		parse_line(text, line_end, rollup);
		text = newline ? newline + 1 : end;
	}
}

void rollup_put(const struct rollup *rollup, struct task_record *record)
{
	for (size_t i = 0; i < ROLLUP_KEYS; i++) {
		if (!(rollup->present >> i & 1))
			continue;
		record->value[keys[i].metric] = rollup->bytes[i];
		record->present |= METRIC_BIT(keys[i].metric);
	}
}

/* The length of what was read, or what the kernel said; terminated. */
static ssize_t read_at(int dir, const char *name, char *text, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t got = 0;
	int err = 0;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno; /* these files are there as long as the process is */
	while (length < size - 1 && (got = read(fd, text + length, size - 1 - length)) != 0) {
		if (got < 0 && errno != EINTR) {
			err = -errno;
			break;
		}
		length += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	text[length] = '\0';
	return err ? err : (ssize_t)length;
}

static int check_identity(int dir, u64 start_time_ns)
{
	const u64 ns_per_tick = NS_PER_SECOND / (u64)sysconf(_SC_CLK_TCK);
	char stat[1024];
	u64 start_ticks = 0;
	ssize_t length = read_at(dir, "stat", stat, sizeof(stat));
	int err = length < 0 ? (int)length : access_start_ticks(stat, &start_ticks);

	return err ? err : start_ticks == start_time_ns / ns_per_tick ? 0 : -ESRCH;
}

/* The second number of statm is in pages. */
static int check_size(int dir, u64 max_rss)
{
	char statm[256];
	ssize_t length = read_at(dir, "statm", statm, sizeof(statm));
	u64 pages;

	if (length < 0)
		return (int)length;
	if (sscanf(statm, "%*u %" SCNu64, &pages) != 1)
		return -ENODATA;
	return pages > max_rss / (u64)sysconf(_SC_PAGESIZE) ? -EFBIG : 0;
}

/* A main thread that has ended has no memory any more, but the threads that live on have. */
static ssize_t read_of_thread(int dir, char *text, size_t size)
{
	int fd = openat(dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *threads = fd < 0 ? NULL : fdopendir(fd);
	ssize_t length = -ESRCH;
	struct dirent *entry;
	char name[300];

	while (threads && length == -ESRCH && (entry = readdir(threads))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/smaps_rollup", entry->d_name);
		length = read_at(dirfd(threads), name, text, size);
	}
	if (threads)
		closedir(threads);
	else if (fd >= 0)
		close(fd);
	return length;
}

/*
 * An open directory of /proc stands for one process and never for another one of the same number: all that is opened
 * through it is of the process whose start it shows.
 */
int rollup_read(u32 tgid, u64 start_time_ns, u64 max_rss, struct rollup *rollup)
{
	char path[32], text[TEXT_BYTES];
	ssize_t length;
	int dir, err;

	snprintf(path, sizeof(path), "/proc/%" PRIu32, tgid);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	err = check_identity(dir, start_time_ns);
	if (!err)
		err = check_size(dir, max_rss);
	if (err)
		goto out;
	length = read_at(dir, "smaps_rollup", text, sizeof(text));
	if (length == -ESRCH)
		length = read_of_thread(dir, text, sizeof(text));
	if (length < 0) {
		err = (int)length;
		goto out;
	}
	rollup_parse(text, (size_t)length, rollup);
	err = rollup->present ? 0 : -ENODATA;
out:
	close(dir);
	return err;
}

const char *rollup_unavailable(void)
{
	char text[TEXT_BYTES];

	if (access("/proc/self/smaps_rollup", F_OK))
		return "the kernel has no /proc/PID/smaps_rollup (CONFIG_PROC_PAGE_MONITOR)";
	return read_at(AT_FDCWD, "/proc/self/smaps_rollup", text, sizeof(text)) < 0 ? "/proc/self/smaps_rollup cannot be read" :
										      NULL;
}
