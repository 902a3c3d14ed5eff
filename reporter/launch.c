/* SPDX-License-Identifier: BSD-2-Clause */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exit_status.h"

static const int no_error; /* what a child says that is ready to be let go */
static const struct launch no_launch = { .go_fd = -1, .error_fd = -1, .exit_fd = -1 };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static ssize_t read_retrying(int fd, void *out, size_t size)
{
	ssize_t got;

	do
		got = read(fd, out, size);
	while (got < 0 && errno == EINTR);
	return got;
}

static bool map_beginning(const char *path)
{
	int fd = access(path, X_OK) == 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
	bool mapped = fd >= 0 && mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED;

	close_fd(&fd);
	return mapped;
}

/*
 * The program that will be executed, as execvp() finds it. While it is mapped the collector can see which program and libraries
 * these will be, and probe their allocators before the first instruction; it opens nothing that this user could not.
 */
static void map_program(const char *name)
{
	const char *at = getenv("PATH");
	char path[PATH_MAX];

	if (strchr(name, '/')) {
		map_beginning(name);
		return;
	}
	for (at = at ? at : "/bin:/usr/bin"; *at; at += *at == ':') {
		size_t length = strcspn(at, ":");
		int size = snprintf(path, sizeof(path), "%.*s%s%s", (int)length, at, length ? "/" : "", name);

		at += length;
		if (size < (int)sizeof(path) && map_beginning(path))
			return;
	}
}

/* The end of `go_fd` without a byte: the reporter is gone or has given up. */
static _Noreturn void be_child(int go_fd, int error_fd, char **command)
{
	char go;
	int err;

	map_program(command[0]);
	if (write(error_fd, &no_error, sizeof(no_error)) != sizeof(no_error))
		_exit(STATUS_FAILED);
	if (read_retrying(go_fd, &go, 1) != 1)
		_exit(STATUS_FAILED);
	execvp(command[0], command);
	err = errno;
	if (write(error_fd, &err, sizeof(err)) != sizeof(err))
		_exit(STATUS_FAILED);
	_exit(STATUS_NOT_FOUND);
}

int launch_prepare(struct launch *launch, char **command)
{
	int go[2] = { -1, -1 }, error[2] = { -1, -1 }, err = 0, ready;

	*launch = no_launch;
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(error, O_CLOEXEC) < 0) {
		err = -errno;
		goto out;
	}
	launch->pid = fork();
	if (launch->pid == 0) {
		close(go[1]); /* else it would never see the end of it */
		be_child(go[0], error[1], command);
	}
	if (launch->pid < 0) {
		err = -errno;
		launch->pid = 0;
		goto out;
	}
	launch->go_fd = go[1];
	launch->error_fd = error[0];
	go[1] = error[0] = -1;
	if (read_retrying(launch->error_fd, &ready, sizeof(ready)) != sizeof(ready))
		ready = 0; /* it was killed, which its exit status will tell */
	launch->exit_fd = pidfd_open(launch->pid, 0);
	if (launch->exit_fd < 0) {
		err = -errno;
		launch_free(launch);
	}
out:
	close_fd(&go[0]);
	close_fd(&go[1]);
	close_fd(&error[0]);
	close_fd(&error[1]);
	return err;
}

int launch_release(struct launch *launch)
{
	int err = 0;

	/* EPIPE: it was killed while it waited, which its exit status tells */
	if (write(launch->go_fd, "", 1) != 1 && errno != EPIPE)
		err = -errno;
	close_fd(&launch->go_fd);
	/* a successful exec closes the other end */
	if (!err && read_retrying(launch->error_fd, &err, sizeof(err)) == sizeof(err))
		err = -err;
	close_fd(&launch->error_fd);
	launch->released = !err;
	return err;
}

void launch_reap(struct launch *launch)
{
	if (launch->pid && !launch->reaped && waitpid(launch->pid, &launch->wait_status, WNOHANG) == launch->pid)
		launch->reaped = true;
}

int launch_exit_status(const struct launch *launch)
{
	if (WIFSIGNALED(launch->wait_status))
		return STATUS_SIGNAL_BASE + WTERMSIG(launch->wait_status);
	return WEXITSTATUS(launch->wait_status);
}

int launch_failure_status(int err)
{
	return err == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

void launch_free(struct launch *launch)
{
	if (!launch || !launch->pid)
		return;
	close_fd(&launch->go_fd);
	close_fd(&launch->error_fd);
	close_fd(&launch->exit_fd);
	if (!launch->released && !launch->reaped)
		while (waitpid(launch->pid, &launch->wait_status, 0) < 0 && errno == EINTR)
			;
	*launch = no_launch;
}
