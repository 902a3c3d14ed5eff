/* SPDX-License-Identifier: BSD-2-Clause */
#include "uprobe.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define PMU "/sys/bus/event_source/devices/uprobe/"

/* A number at the end of a line of sysfs: "7" or "config:0". */
static int read_number(const char *path, const char *format)
{
	FILE *file = fopen(path, "re");
	int number = -1;

	if (!file)
		return -1;
	if (fscanf(file, format, &number) != 1)
		number = -1;
	fclose(file);
	return number;
}

static int pmu_type(void)
{
	static int type = -1;

	if (type < 0)
		type = read_number(PMU "type", "%d");
	return type;
}

static int return_bit(void)
{
	static int bit = -1;

	if (bit < 0)
		bit = read_number(PMU "format/retprobe", "config:%d");
	return bit < 0 || bit > 63 ? 0 : bit;
}

const char *uprobe_unavailable(void)
{
	return pmu_type() < 0 ? "the kernel was built without CONFIG_UPROBE_EVENTS" : NULL;
}

int uprobe_attach(const struct uprobe *uprobe)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .type = (uint32_t)pmu_type() };
	LIBBPF_OPTS(bpf_link_create_opts, options, .perf_event.bpf_cookie = uprobe->cookie);
	char path[40]; /* the kernel takes a name: this one means the file whatever the mount namespaces are */
	int event, link;

	if (pmu_type() < 0)
		return -EOPNOTSUPP;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", uprobe->file_fd);
	attr.config = uprobe->at_return ? 1ULL << return_bit() : 0;
	attr.uprobe_path = (uint64_t)(uintptr_t)path;
	attr.probe_offset = uprobe->offset;
	event = (int)syscall(SYS_perf_event_open, &attr, uprobe->tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return -errno;
	link = bpf_link_create(uprobe->program_fd, event, BPF_PERF_EVENT, &options);
	close(event); /* the link keeps it */
	return link;
}
