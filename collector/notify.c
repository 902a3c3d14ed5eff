/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The protocol is one datagram, documented in sd_notify(3) for programs that do not want the library.
 */
#include "notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (length == 0 || length >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0'; /* the abstract name space */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void notify_ready(int fd)
{
	static const char message[] = "READY=1";

	if (fd < 0)
		return;
	send(fd, message, sizeof(message) - 1, MSG_NOSIGNAL);
	close(fd);
}
