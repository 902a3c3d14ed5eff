/* SPDX-License-Identifier: BSD-2-Clause */
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "exit_status.h"
#include "link.h"
#include "log.h"
#include "metric.h"
#include "source.h"
#include "str.h"
#include "subscribe.h"

enum {
	ANSWER_MS = 10000, /* the collector must greet and arm within this time */
	CLOSING_MS = 2000, /* and close the last window within this */
	SIGNALS = 3,
};

enum phase {
	PHASE_CONNECTING, /* until Subscribed */
	PHASE_ARMED,
	PHASE_CLOSING,    /* Unsubscribe has been sent */
	PHASE_OVER,       /* nothing more is reported; a command may still run */
};

struct report {
	const struct options *options;
	struct pipeline *pipeline;
	struct launch *launch;
	uv_loop_t loop;
	uv_timer_t guard;    /* on the collector's answers */
	uv_timer_t duration;
	uv_signal_t signals[SIGNALS];
	uv_poll_t command;   /* its end */
	struct link link;
	struct source source;
	enum phase phase;
	uint32_t feed;
	bool told_to_end;    /* by a signal */
	bool leaves_command; /* running */
	int status;
};

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

/* Nothing more is reported. A command that runs is waited for, unless it shall be left. */
static void be_over(struct report *report, int status)
{
	if (report->phase == PHASE_OVER)
		return;
	report->phase = PHASE_OVER;
	report->status = status;
	link_close(&report->link);
	uv_timer_stop(&report->guard);
	uv_timer_stop(&report->duration);
	leave_unless_command_runs(report);
}

static void on_guard(uv_timer_t *timer)
{
	struct report *report = timer->data;

	log_error(NULL, report->phase == PHASE_CLOSING ?
				"the collector did not close the last window in time: it is missing" :
				"the collector does not answer");
	be_over(report, STATUS_FAILED);
}

/* End with a last sample of what still lives. */
static void close_report(struct report *report)
{
	if (report->phase == PHASE_CONNECTING) {
		be_over(report, STATUS_DONE);
	} else if (report->phase == PHASE_ARMED) {
		report->phase = PHASE_CLOSING;
		if (subscribe_end(&report->link, report->feed))
			be_over(report, STATUS_FAILED);
		else
			uv_timer_start(&report->guard, on_guard, CLOSING_MS, 0);
	}
}

static void on_duration(uv_timer_t *timer)
{
	struct report *report = timer->data;

	report->leaves_command = true;
	close_report(report);
}

/* Has what is watched ended? A report on everything ends with its command, if it has one. */
static bool is_finished(const struct report *report)
{
	if (!report->source.has_baseline || command_runs(report))
		return false;
	if (report->options->action == ACTION_LIST_TASKS)
		return true;
	return report->options->all ? report->launch->pid != 0 : pipeline_live(report->pipeline) == 0;
}

static void close_if_finished(struct report *report)
{
	if (report->phase != PHASE_ARMED || !is_finished(report))
		return;
	if (report->options->action == ACTION_LIST_TASKS)
		be_over(report, STATUS_DONE); /* it has no last window */
	else
		close_report(report);
}

/* --- the command */

static void on_command_ended(uv_poll_t *poll, int status, int events)
{
	struct report *report = poll->data;

	(void)status, (void)events;
	launch_reap(report->launch);
	if (!report->launch->reaped)
		return;
	uv_poll_stop(poll);
	if (!report->launch->released)
		be_over(report, launch_exit_status(report->launch)); /* killed while it waited */
	else if (report->phase == PHASE_OVER)
		leave_unless_command_runs(report);
	else
		close_if_finished(report);
}

static int release_command(struct report *report)
{
	int err = launch_release(report->launch);

	if (err) {
		log_error(NULL, "%s: %s", report->options->command[0], strerror(-err));
		be_over(report, launch_failure_status(err));
	}
	return err;
}

/* --- signals */

/*
 * With a command that runs, SIGINT is its matter: the terminal sends it to both. The others are passed on once, and
 * the report ends with the command. A second one ends it at once.
 */
static void on_signal(uv_signal_t *handle, int number)
{
	struct report *report = handle->data;
	bool again = report->told_to_end;

	if (command_runs(report) && number == SIGINT)
		return;
	report->told_to_end = true;
	if (command_runs(report) && !again) {
		kill(report->launch->pid, number);
		return;
	}
	report->leaves_command = true;
	if (report->launch->pid && (again || !report->launch->released))
		be_over(report, STATUS_SIGNAL_BASE + number); /* there is no status of the command to pass on */
	else if (again)
		be_over(report, STATUS_DONE);
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
	static const int numbers[SIGNALS] = { SIGINT, SIGTERM, SIGHUP };

	for (int i = 0; i < SIGNALS; i++) {
		uv_signal_init(&report->loop, &report->signals[i]);
		report->signals[i].data = report;
		if (!is_ignored(numbers[i]))
			uv_signal_start(&report->signals[i], on_signal, numbers[i]);
	}
}

/* --- frames */

static int on_welcome(struct report *report, const Taskmon__Frame *message)
{
	int err;

	source_init(&report->source, message->welcome, report->pipeline);
	subscribe_warn(message->welcome, report->options);
	err = pipeline_begin(report->pipeline);
	if (!err)
		err = subscribe_begin(&report->link, report->options, report->launch->pid,
				      pipeline_needs(report->pipeline), &report->source.catalogue);
	return err;
}

static int on_subscribed(struct report *report, const Taskmon__Frame *message)
{
	uint64_t duration_ms = subscribe_duration_ms(report->options);

	report->phase = PHASE_ARMED;
	report->feed = message->subscribed->feed;
	pipeline_arm(report->pipeline, message->subscribed->armed_ns);
	if (duration_ms)
		uv_timer_start(&report->duration, on_duration, duration_ms, 0);
	return 0;
}

/* The command waits for the baseline: what it does from its first instruction on is within the first window. */
static int on_samples(struct report *report, const Taskmon__Frame *message)
{
	bool had_baseline = report->source.has_baseline;
	int err = source_samples(&report->source, message->samples);

	if (err || had_baseline || !report->source.has_baseline)
		return err;
	uv_timer_stop(&report->guard);
	return report->launch->pid ? release_command(report) : 0;
}

static int on_ended(struct report *report, const Taskmon__Frame *message)
{
	return source_ended(&report->source, message->ended);
}

static int on_events(struct report *report, const Taskmon__Frame *message)
{
	return source_events(&report->source, message->events);
}

static int on_loss(struct report *report, const Taskmon__Frame *message)
{
	return source_loss(&report->source, message->loss);
}

static int on_error(struct report *report, const Taskmon__Frame *message)
{
	const char *text = message->error->message;
	char line[512];

	str_sanitize(line, sizeof(line), text, strlen(text));
	log_error(NULL, "%s", line);
	be_over(report, message->error->code == TASKMON__ERROR__CODE__DENIED ? STATUS_REFUSED : STATUS_FAILED);
	return -ECANCELED;
}

static int on_unsubscribed(struct report *report, const Taskmon__Frame *message)
{
	(void)message;
	be_over(report, STATUS_DONE);
	return -ECANCELED;
}

static int (*const on_frames[])(struct report *report, const Taskmon__Frame *message) = {
	[TASKMON__FRAME__BODY_WELCOME] = on_welcome,
	[TASKMON__FRAME__BODY_SUBSCRIBED] = on_subscribed,
	[TASKMON__FRAME__BODY_SAMPLES] = on_samples,
	[TASKMON__FRAME__BODY_ENDED] = on_ended,
	[TASKMON__FRAME__BODY_EVENTS] = on_events,
	[TASKMON__FRAME__BODY_LOSS] = on_loss,
	[TASKMON__FRAME__BODY_ERROR] = on_error,
	[TASKMON__FRAME__BODY_UNSUBSCRIBED] = on_unsubscribed,
};

/* --- the link */

static int on_link_frame(struct link *link, const Taskmon__Frame *message)
{
	struct report *report = link->context;
	size_t body = (size_t)message->body_case;
	int err;

	if (body >= sizeof(on_frames) / sizeof(on_frames[0]) || !on_frames[body])
		return -EPROTO;
	err = on_frames[body](report, message);
	if (err && err != -EPROTO)
		be_over(report, STATUS_FAILED); /* what failed has been logged */
	return err;
}

static void on_link_connected(struct link *link, int err)
{
	struct report *report = link->context;
	const char *path = report->options->socket_path;

	if (!err)
		return;
	if (err == -EACCES || err == -EPERM) {
		log_error(NULL, "the collector at %s may not be asked: %s", path, strerror(-err));
		be_over(report, STATUS_REFUSED);
		return;
	}
	log_error(NULL, "no collector at %s (%s): start one with: sudo taskmon-collector &", path, strerror(-err));
	be_over(report, STATUS_NO_COLLECTOR);
}

static void on_link_settled(struct link *link)
{
	close_if_finished(link->context);
}

static void on_link_lost(struct link *link, int err)
{
	struct report *report = link->context;

	if (err == -EPROTO || err == -EMSGSIZE)
		log_error(NULL, "the collector sent what is not a frame of this protocol");
	else if (err)
		log_error(NULL, "the connection to the collector failed: %s", strerror(-err));
	else
		log_error(NULL, "the collector closed the connection");
	be_over(report, STATUS_FAILED);
}

static const struct link_callbacks link_callbacks = {
	.connected = on_link_connected,
	.frame = on_link_frame,
	.settled = on_link_settled,
	.lost = on_link_lost,
};

static void start(struct report *report)
{
	uv_timer_init(&report->loop, &report->guard);
	uv_timer_init(&report->loop, &report->duration);
	report->guard.data = report->duration.data = report->command.data = report;
	watch_signals(report);
	if (report->launch->pid && uv_poll_init(&report->loop, &report->command, report->launch->exit_fd) == 0)
		uv_poll_start(&report->command, UV_READABLE, on_command_ended);
	link_open(&report->link, &report->loop, report->options->socket_path, &link_callbacks, report);
	uv_timer_start(&report->guard, on_guard, ANSWER_MS, 0);
}

int report_run(const struct options *options, struct pipeline *pipeline, struct launch *launch)
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
	start(report);
	uv_run(&report->loop, UV_RUN_DEFAULT);
	uv_loop_close(&report->loop);
	status = launch->released && launch->reaped ? launch_exit_status(launch) : report->status;
	free(report);
	return status;
}
