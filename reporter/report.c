/* SPDX-License-Identifier: BSD-2-Clause */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exit_status.h"
#include "log.h"
#include "report_state.h"

enum { PROGRESS_MS = 1000 };

static void show_progress(uv_timer_t *timer);

/* --- the end */

static void close_handle(uv_handle_t *handle, void *report)
{
	if (handle == (uv_handle_t *)&((struct report *)report)->link.pipe)
		link_close(&((struct report *)report)->link);
	else if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static bool command_runs(const struct report *report)
{
	return report->launch->pid && report->launch->released && !report->launch->reaped;
}

static void leave_unless_command_runs(struct report *report)
{
	if (!command_runs(report) || report->leaves_command)
		uv_walk(&report->loop, close_handle, report);
}

void report_be_over(struct report *report, int status)
{
	if (report->phase == PHASE_OVER)
		return;
	report->phase = PHASE_OVER;
	report->status = status;
	if (!report->alone)
		link_close(&report->link);
	if (report->local)
		local_stop(report->local);
	uv_timer_stop(&report->guard);
	uv_timer_stop(&report->retry);
	uv_timer_stop(&report->duration);
	if (uv_is_active((uv_handle_t *)&report->progress))
		show_progress(&report->progress);
	uv_timer_stop(&report->progress);
	progress_end();
	leave_unless_command_runs(report);
}

/* End with a last sample of what still lives. */
static void close_report(struct report *report)
{
	int err = 0;

	if (report->phase == PHASE_CONNECTING) {
		report_be_over(report, STATUS_DONE);
	} else if (report->phase == PHASE_ARMED) {
		report->phase = PHASE_CLOSING;
		if (report->local) {
			err = local_close(report->local);
			local_stop(report->local);
		}
		if (!err && !report->alone)
			err = conversation_close(report);
		if (err || report->alone)
			report_be_over(report, err ? STATUS_FAILED : STATUS_DONE);
	}
}

static void on_duration(uv_timer_t *timer)
{
	struct report *report = timer->data;

	report->leaves_command = true;
	close_report(report);
}

void report_start_duration(struct report *report)
{
	uint64_t duration_ms = subscribe_duration_ms(report->options);

	if (duration_ms)
		uv_timer_start(&report->duration, on_duration, duration_ms, 0);
	report->began_ns = uv_hrtime();
	if (progress_is_wanted(report->options))
		uv_timer_start(&report->progress, show_progress, 0, PROGRESS_MS);
}

/* In a gap, processes are those of before it, less those that are seen to be gone. */
bool report_is_finished(const struct report *report)
{
	bool known = report->phase == PHASE_ARMED ? report->alone || report->source.has_baseline : report->in_gap;

	if (!known || command_runs(report))
		return false;
	if (report->options->action == ACTION_LIST_TASKS)
		return report->explained == report->options->pid_count;
	return report->options->all ? report->launch->pid != 0 : pipeline_live(report->pipeline) == 0;
}

void report_close_if_finished(struct report *report)
{
	if (report->phase != PHASE_ARMED || !report_is_finished(report))
		return;
	if (report->options->action == ACTION_LIST_TASKS)
		report_be_over(report, STATUS_DONE); /* it has no last window */
	else
		close_report(report);
}

/* --- the command */

/* Nobody else will say so, but what it has started may go on. */
static void command_ended_in_gap(struct report *report)
{
	pipeline_forget(report->pipeline, (uint32_t)report->launch->pid);
	pipeline_forget_gone(report->pipeline);
	if (report->phase == PHASE_CONNECTING && report_is_finished(report))
		report_be_over(report, STATUS_DONE);
}

static void on_command_ended(uv_poll_t *poll, int status, int events)
{
	struct report *report = poll->data;

	(void)status, (void)events;
	if (report->local && report->launch->released)
		local_command_ended(report->local);
	launch_reap(report->launch);
	if (!report->launch->reaped)
		return;
	uv_poll_stop(poll);
	if (!report->launch->released)
		report_be_over(report, launch_exit_status(report->launch)); /* killed while it waited */
	else if (report->phase == PHASE_OVER)
		leave_unless_command_runs(report);
	else if (report->in_gap)
		command_ended_in_gap(report);
	else
		report_close_if_finished(report);
}

int report_release_command(struct report *report)
{
	int err = launch_release(report->launch);

	if (err) {
		log_error(NULL, "%s: %s", report->options->command[0], strerror(-err));
		report_be_over(report, launch_failure_status(err));
	}
	return err;
}

int report_has_baseline(struct report *report)
{
	if (report->alone && report->phase == PHASE_CONNECTING) {
		report->phase = PHASE_ARMED;
		report_start_duration(report);
	}
	if ((!report->alone && !report->had_baseline) || (report->local && !local_has_baseline(report->local)))
		return 0;
	return report->launch->pid && !report->launch->released ? report_release_command(report) : 0;
}

/* --- how far it is */

static void show_progress(uv_timer_t *timer)
{
	struct report *report = timer->data;
	struct progress progress;

	pipeline_progress(report->pipeline, &progress);
	progress.elapsed_ns = uv_hrtime() - report->began_ns;
	progress.duration_ns = report->options->duration_ns;
	progress_show(&progress);
}

/* --- signals */

static bool has_terminal(void)
{
	int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* SIGHUP of logrotate and the like, unless it means that the terminal has gone. */
static bool is_for_files(const struct report *report, int number)
{
	const struct options *options = report->options;
	bool has_files = options->csv_dir || (options->json_path && strcmp(options->json_path, "-") != 0);

	return number == SIGHUP && has_files && !(report->had_terminal && !has_terminal());
}

static void on_resized(uv_signal_t *handle, int number)
{
	struct report *report = handle->data;

	(void)number;
	if (report->phase != PHASE_OVER && pipeline_resized(report->pipeline))
		report_be_over(report, STATUS_FAILED);
}

/*
 * SIGHUP is for the files, if there are any. With a command that runs, SIGINT is its matter: the terminal sends it to
 * both. The others are passed on once, and the report ends with the command. A second one ends it at once.
 */
static void on_signal(uv_signal_t *handle, int number)
{
	struct report *report = handle->data;
	bool again = report->told_to_end;

	if (is_for_files(report, number)) {
		if (pipeline_reopen(report->pipeline) || (report->local && local_reopen(report->local)))
			report_be_over(report, STATUS_FAILED);
		return;
	}
	if (command_runs(report) && number == SIGINT)
		return;
	report->told_to_end = true;
	if (command_runs(report) && !again) {
		kill(report->launch->pid, number);
		return;
	}
	report->leaves_command = true;
	if (report->launch->pid && (again || !report->launch->released))
		report_be_over(report, STATUS_SIGNAL_BASE + number); /* there is no status of the command to pass on */
	else if (again)
		report_be_over(report, STATUS_DONE);
	else
		close_report(report);
	if (report->phase == PHASE_OVER)
		leave_unless_command_runs(report);
}

/* nohup(1) ignores SIGHUP for a reason. A background job's SIGINT is ignored, too, but it is to be ended by one. */
static bool is_ignored(int number)
{
	struct sigaction action;

	return number == SIGHUP && sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void watch_signals(struct report *report)
{
	static const int numbers[REPORT_SIGNALS] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH };

	for (int i = 0; i < REPORT_SIGNALS; i++) {
		uv_signal_init(&report->loop, &report->signals[i]);
		report->signals[i].data = report;
		if (!is_ignored(numbers[i]))
			uv_signal_start(&report->signals[i], numbers[i] == SIGWINCH ? on_resized : on_signal, numbers[i]);
	}
}

static void start(struct report *report)
{
	uv_timer_init(&report->loop, &report->duration);
	uv_timer_init(&report->loop, &report->progress);
	report->duration.data = report->progress.data = report->command.data = report;
	report->had_terminal = has_terminal();
	watch_signals(report);
	if (report->launch->pid && uv_poll_init(&report->loop, &report->command, report->launch->exit_fd) == 0)
		uv_poll_start(&report->command, UV_READABLE, on_command_ended);
	if (report->alone)
		local_begin(report->local);
	else
		conversation_begin(report);
}

int report_run(const struct options *options, struct pipeline *pipeline, struct pipeline *cpu, struct launch *launch,
	       struct top *top)
{
	struct report *report = calloc(1, sizeof(*report));
	int status = STATUS_FAILED;

	if (!report || uv_loop_init(&report->loop)) {
		log_error(NULL, "out of memory");
		free(report);
		return STATUS_FAILED;
	}
	report->options = options;
	report->pipeline = pipeline;
	report->launch = launch;
	report->alone = !options_need_collector(options);
	if (options_cpu_is_local(options)) {
		report->local = local_new(report, cpu, options->cpu == CPU_TOP ? top : NULL);
		if (!report->local) {
			log_error(NULL, "out of memory");
			goto out;
		}
	}
	start(report);
	uv_run(&report->loop, UV_RUN_DEFAULT);
	status = launch->released && launch->reaped ? launch_exit_status(launch) : report->status;
out:
	uv_loop_close(&report->loop);
	local_free(report->local);
	free(report);
	return status;
}
