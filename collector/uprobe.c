/* SPDX-License-Identifier: BSD-2-Clause */
#include "uprobe.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "uprobe_opener.h"

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

static void name_file(char *path, size_t size, int fd)
{
	/* the kernel takes a name: this one means the file whatever the mount namespaces are */
	snprintf(path, size, "/proc/self/fd/%d", fd);
}

int uprobe_attach(const struct uprobe *uprobe)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .perf_event.bpf_cookie = uprobe->cookie);
	int event, link;

	if (pmu_type() < 0)
		return -EOPNOTSUPP;
	event = uprobe_opener_open(uprobe->file_fd, uprobe->offset, (uint32_t)pmu_type(),
				   uprobe->at_return ? 1ULL << return_bit() : 0, uprobe->tid);
	if (event < 0)
		return event;
	link = bpf_link_create(uprobe->program_fd, event, BPF_PERF_EVENT, &options);
	close(event); /* the link keeps it */
	return link;
}

/* Up to 6.9 it probes only the thread that it is attached to, and not its process; stable versions differ. */
bool uprobe_has_multi(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 12));
}

int uprobe_attach_multi(const struct uprobe *common, const uint64_t *offsets, const uint64_t *cookies, size_t count)
{
	/* union bpf_attr, link_create.uprobe_multi: newer than our headers */
	struct {
		uint32_t program_fd, target_fd, attach_type, flags;
		uint64_t path, offsets, ref_ctr_offsets, cookies;
		uint32_t count, multi_flags, pid, pad;
	} attr;
	char path[40];
	int link;

	name_file(path, sizeof(path), common->file_fd);
	memset(&attr, 0, sizeof(attr));
	attr.program_fd = (uint32_t)common->program_fd;
	attr.attach_type = UPROBE_MULTI_TYPE;
	attr.path = (uint64_t)(uintptr_t)path;
	attr.offsets = (uint64_t)(uintptr_t)offsets;
	attr.cookies = (uint64_t)(uintptr_t)cookies;
	attr.count = (uint32_t)count;
	attr.multi_flags = common->at_return; /* BPF_F_UPROBE_MULTI_RETURN */
	attr.pid = (uint32_t)common->tid;
	link = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return link < 0 ? -errno : link;
}
