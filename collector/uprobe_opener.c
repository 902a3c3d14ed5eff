/* SPDX-License-Identifier: BSD-2-Clause */
#include "uprobe_opener.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

struct order {
	uint64_t offset, config;
	uint32_t pmu_type;
	int32_t tid;
};

static int opener = -1; /* the socket to it */
static pthread_mutex_t opener_lock = PTHREAD_MUTEX_INITIALIZER;

/* One descriptor with so many bytes; a negative descriptor is none. */
static int send_with(int socket, const void *bytes, size_t size, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec part = { (void *)bytes, size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.room);
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -EPIPE;
}

static int receive_with(int socket, void *bytes, size_t size, int *fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { bytes, size };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.room)
	};
	struct cmsghdr *header;
	ssize_t got;

	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	*fd = -1;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return got == (ssize_t)size ? 0 : -EPIPE;
}

static int open_event(int file_fd, const struct order *order)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .type = order->pmu_type, .config = order->config };
	char path[40];
	int fd;

	/* the kernel takes a name: this one means the file whatever the mount namespaces are */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file_fd);
	attr.uprobe_path = (uint64_t)(uintptr_t)path;
	attr.probe_offset = order->offset;
	fd = (int)syscall(SYS_perf_event_open, &attr, order->tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Whoever is on the other side can have uprobes and nothing else: there are no other calls, and no other type of event. */
static int confine(uint32_t *uprobe_type)
{
	static const char *const calls[] = { "recvmsg", "sendmsg", "perf_event_open", "close", "exit_group", "restart_syscall" };
	cap_value_t needed = CAP_SYS_ADMIN;
	FILE *type = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	cap_t caps = cap_init();
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err = type && fscanf(type, "%u", uprobe_type) == 1 && caps && filter ? 0 : -ENOTSUP;

	if (type)
		fclose(type);
	if (!err && (cap_set_flag(caps, CAP_PERMITTED, 1, &needed, CAP_SET) ||
		     cap_set_flag(caps, CAP_EFFECTIVE, 1, &needed, CAP_SET) || cap_reset_ambient() || cap_set_proc(caps) ||
		     prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)))
		err = -errno;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && !err; i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(calls[i]), 0);
	err = err ? err : seccomp_load(filter);
	return err;
}

static _Noreturn void serve(int socket)
{
	uint32_t uprobe_type = 0;
	struct order order;
	int file;

	prctl(PR_SET_NAME, "taskmon-uprobes");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN); /* a terminal sends it to all: this one ends with the collector */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (confine(&uprobe_type))
		_exit(1);
	while (receive_with(socket, &order, sizeof(order), &file) == 0) {
		int event = file >= 0 && order.pmu_type == uprobe_type && order.tid > 0 ? open_event(file, &order) : -EINVAL;
		int err = event < 0 ? event : 0;

		if (send_with(socket, &err, sizeof(err), event))
			break;
		if (event >= 0)
			close(event);
		if (file >= 0)
			close(file);
	}
	_exit(0);
}

static bool may(cap_value_t capability)
{
	cap_t have = cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;

	if (have)
		cap_get_flag(have, capability, CAP_PERMITTED, &value);
	cap_free(have);
	return value == CAP_SET;
}

int uprobe_opener_start(void)
{
	int ends[2], err;
	pid_t child;

	if (!may(CAP_SYS_ADMIN))
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	signal(SIGCHLD, SIG_IGN); /* nobody waits for it */
	child = fork();
	err = child < 0 ? -errno : 0;
	if (child == 0) {
		close(ends[0]);
		serve(ends[1]);
	}
	close(ends[1]);
	if (err)
		close(ends[0]);
	else
		opener = ends[0];
	return err;
}

void uprobe_opener_stop(void)
{
	char none;
	int fd;

	if (opener < 0)
		return;
	shutdown(opener, SHUT_WR);
	while (receive_with(opener, &none, sizeof(none), &fd) == 0)
		close(fd);
	close(opener);
	opener = -1;
}

static int ask(int file_fd, const struct order *order)
{
	int err, event = -1;

	pthread_mutex_lock(&opener_lock);
	if (send_with(opener, order, sizeof(*order), file_fd) || receive_with(opener, &err, sizeof(err), &event))
		err = -EPIPE;
	pthread_mutex_unlock(&opener_lock);
	return err ? err : event;
}

int uprobe_opener_open(int file_fd, uint64_t offset, uint32_t pmu_type, uint64_t config, pid_t tid)
{
	const struct order order = { offset, config, pmu_type, tid };
	int event = open_event(file_fd, &order);

	return event == -EACCES && opener >= 0 ? ask(file_fd, &order) : event;
}
