/* SPDX-License-Identifier: BSD-2-Clause */
#include "top.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exit_status.h"
#include "log.h"
#include "str.h"

enum {
	FIRST_PICTURE_MS = 10000,
	QUIET_MS = 500,
	NS_PER_S = 1000000000,
};

static void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. The files of the user's own settings could take away the columns that we look for. */
static int be_alone(const void *context)
{
	const int *output_fd = context;
	int null_fd = open("/dev/null", O_RDONLY);

	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(*output_fd, STDOUT_FILENO) < 0 ||
	    dup2(*output_fd, STDERR_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	setpgid(0, 0); /* the terminal's signals are not for it */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	reset_signals();
	if (setenv("LC_ALL", "C", 1) || setenv("HOME", "/nonexistent", 1) || setenv("XDG_CONFIG_HOME", "/nonexistent", 1) ||
	    unsetenv("COLUMNS") || unsetenv("LINES"))
		return -errno;
	return 0;
}

int top_prepare(struct top *top, uint64_t interval_ns, bool threads)
{
	char delay[32];
	char *command[] = { "top", "-b", "-w", "512", "-d", delay, threads ? "-H" : NULL, NULL };
	int output[2], err;

	memset(top, 0, sizeof(*top));
	top->output_fd = -1;
	if (pipe2(output, O_CLOEXEC) < 0)
		return -errno;
	delay[str_fixed(delay, interval_ns, 9, 3)] = '\0';
	err = launch_prepare(&top->launch, command, be_alone, &output[1]);
	close(output[1]);
	if (err)
		close(output[0]);
	else
		top->output_fd = output[0];
	return err;
}

/* --- its output */

static void reap(struct top *top)
{
	while (!top->launch.reaped && waitpid(top->launch.pid, &top->launch.wait_status, 0) < 0 && errno == EINTR)
		;
	top->launch.reaped = true;
}

static void lose(struct top *top, const char *how)
{
	char said[3 * sizeof(top->first)];

	kill(top->launch.pid, SIGKILL);
	reap(top);
	uv_read_stop((uv_stream_t *)&top->pipe);
	uv_timer_stop(&top->quiet);
	str_sanitize(said, sizeof(said), top->first, strcspn(top->first, "\n"));
	log_error("top", "%s%s%s", how, !top->has_picture && said[0] ? ": " : "", top->has_picture ? "" : said);
	top->callbacks->lost(top->context);
}

static int on_picture(void *context, struct top_figures *figures)
{
	struct top *top = context;

	top->has_picture = true;
	uv_timer_stop(&top->quiet);
	return top->callbacks->picture(top->context, figures);
}

static void on_quiet(uv_timer_t *timer)
{
	struct top *top = timer->data;

	if (top_output_is_open(&top->output))
		top_output_finish(&top->output, on_picture, top);
	else
		lose(top, "it prints no list of tasks");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct top *top = handle->data;

	(void)suggested;
	*buffer = uv_buf_init(top->bytes, sizeof(top->bytes));
}

static void keep_first(struct top *top, const char *text, size_t size)
{
	size_t room = sizeof(top->first) - 1 - top->first_used;

	if (size > room)
		size = room;
	memcpy(top->first + top->first_used, text, size);
	top->first_used += size;
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
	struct top *top = stream->data;
	int err;

	if (size < 0) {
		lose(top, "it has ended");
		return;
	}
	if (size == 0)
		return;
	keep_first(top, buffer->base, (size_t)size);
	err = top_output_feed(&top->output, buffer->base, (size_t)size, on_picture, top);
	if (err == -ENOMEM)
		lose(top, "out of memory");
	else if (!err && top_output_is_open(&top->output))
		uv_timer_start(&top->quiet, on_quiet, QUIET_MS, 0);
}

int top_start(struct top *top, uv_loop_t *loop, const struct top_callbacks *callbacks, void *context)
{
	int err;

	top->callbacks = callbacks;
	top->context = context;
	uv_pipe_init(loop, &top->pipe, false);
	uv_timer_init(loop, &top->quiet);
	top->pipe.data = top->quiet.data = top;
	err = launch_release(&top->launch);
	if (!err)
		err = uv_pipe_open(&top->pipe, top->output_fd);
	if (!err)
		top->output_fd = -1; /* the pipe's now */
	if (!err)
		err = uv_read_start((uv_stream_t *)&top->pipe, on_alloc, on_read);
	if (err)
		log_error("top", "it cannot be run: %s", strerror(-err));
	else
		uv_timer_start(&top->quiet, on_quiet, FIRST_PICTURE_MS, 0);
	return err;
}

void top_stop(struct top *top)
{
	if (!top->callbacks)
		return;
	uv_read_stop((uv_stream_t *)&top->pipe);
	uv_timer_stop(&top->quiet);
	if (top->launch.released && !top->launch.reaped) {
		kill(top->launch.pid, SIGKILL);
		reap(top);
	}
}

void top_free(struct top *top)
{
	if (!top || !top->launch.pid)
		return;
	if (top->output_fd >= 0)
		close(top->output_fd);
	launch_free(&top->launch);
	top_output_free(&top->output);
}
