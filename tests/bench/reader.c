// SPDX-License-Identifier: BSD-2-Clause
/*
 * reader proc|taskstats PID...: reads once what the kernel tells of every thread of these processes, as a program would that is written for
 * nothing else: from /proc (stat, schedstat, io and status of each), or by taskstats over netlink, a request for each. Prints threads=N. Root.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/taskstats.h>

struct message {
	struct nlmsghdr head;
	struct genlmsghdr generic;
	char attributes[1024];
};

static int fail(const char *what)
{
	perror(what);
	exit(2);
}

static void read_proc(const char *pid, const char *tid)
{
	static const char *const files[] = { "stat", "schedstat", "io", "status" };
	char path[600], text[4096];

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/task/%s/%s", pid, tid, files[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, text, sizeof(text)) <= 0)
			fail(path);
		close(fd);
	}
}

/* One request with one attribute; what came is in `message`, its attributes from the first on. */
static struct nlattr *ask(int fd, struct message *message, int family, int command, int type, const void *value, size_t size)
{
	struct nlattr *attribute = (struct nlattr *)message->attributes;

	memset(message, 0, sizeof(*message));
	attribute->nla_type = (unsigned short)type;
	attribute->nla_len = (unsigned short)(NLA_HDRLEN + size);
	memcpy((char *)attribute + NLA_HDRLEN, value, size);
	message->head.nlmsg_type = (unsigned short)family;
	message->head.nlmsg_flags = NLM_F_REQUEST;
	message->head.nlmsg_len = (unsigned int)(NLMSG_LENGTH(GENL_HDRLEN) + NLA_ALIGN(attribute->nla_len));
	message->generic.cmd = (unsigned char)command;
	message->generic.version = 1;
	if (send(fd, message, message->head.nlmsg_len, 0) < 0 || recv(fd, message, sizeof(*message), 0) < 0)
		fail("netlink");
	if (message->head.nlmsg_type == NLMSG_ERROR) {
		fprintf(stderr, "reader: taskstats: %s\n", strerror(-*(int *)message->attributes));
		exit(2);
	}
	return attribute;
}

static int family_of(int fd, const char *name)
{
	struct message message;
	struct nlattr *attribute =
		ask(fd, &message, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, name, strlen(name) + 1);

	while (attribute->nla_type != CTRL_ATTR_FAMILY_ID)
		attribute = (struct nlattr *)((char *)attribute + NLA_ALIGN(attribute->nla_len));
	return *(unsigned short *)((char *)attribute + NLA_HDRLEN);
}

int main(int argc, char **argv)
{
	bool by_proc = argc > 2 && strcmp(argv[1], "proc") == 0;
	int fd = -1, family = 0;
	unsigned long threads = 0;

	if (argc < 3)
		return fprintf(stderr, "usage: reader proc|taskstats PID...\n"), 2;
	if (!by_proc) {
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
		family = fd < 0 ? fail("netlink") : family_of(fd, TASKSTATS_GENL_NAME);
	}
	for (int i = 2; i < argc; i++) {
		char path[64];
		struct dirent *entry;
		DIR *tasks;

		snprintf(path, sizeof(path), "/proc/%s/task", argv[i]);
		tasks = opendir(path);
		while (tasks && (entry = readdir(tasks))) {
			struct message message;
			unsigned int tid = (unsigned int)atoi(entry->d_name);

			if (!tid)
				continue;
			threads++;
			if (by_proc)
				read_proc(argv[i], entry->d_name);
			else
				ask(fd, &message, family, TASKSTATS_CMD_GET, TASKSTATS_CMD_ATTR_PID, &tid, sizeof(tid));
		}
		if (tasks)
			closedir(tasks);
	}
	printf("threads=%lu\n", threads);
	return 0;
}
