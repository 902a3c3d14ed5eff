/* SPDX-License-Identifier: BSD-2-Clause */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exit_status.h"

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

/* The end of `go_fd` without a byte: the reporter is gone or has given up. */
static _Noreturn void be_child(int go_fd, int error_fd, char **command, int prepared)
{
	int err = -prepared;
	char go;

	if (read_retrying(go_fd, &go, 1) != 1)
		_exit(STATUS_FAILED);
	if (!err) {
		execvp(command[0], command);
		err = errno;
	}
	if (write(error_fd, &err, sizeof(err)) != sizeof(err))
		_exit(STATUS_FAILED);
	_exit(STATUS_NOT_FOUND);
}

int launch_prepare(struct launch *launch, char **command, int (*prepare)(const void *context), const void *context)
{
	int go[2] = { -1, -1 }, error[2] = { -1, -1 }, err = 0;

	*launch = no_launch;
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(error, O_CLOEXEC) < 0) {
		err = -errno;
		goto out;
	}
	launch->pid = fork();
	if (launch->pid == 0) {
		close(go[1]); /* else it would never see the end of it */
		be_child(go[0], error[1], command, prepare ? prepare(context) : 0);
	}
	if (launch->pid < 0) {
		err = -errno;
		launch->pid = 0;
		goto out;
	}
	launch->go_fd = go[1];
	launch->error_fd = error[0];
	go[1] = error[0] = -1;
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
