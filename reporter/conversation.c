/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The report's conversation with the collector: Hello, Welcome, Subscribe, Subscribed, rows, Unsubscribe. Once there
 * has been a baseline, a collector that goes away is waited for: the writers are told of the gap, and it begins anew.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "exit_status.h"
#include "log.h"
#include "report_state.h"
#include "str.h"
#include "why.h"

enum {
	GREETING_MS = 10000, /* the collector must greet within this time, */
	ARMING_MS = 60000,   /* arm within this, where it may have to load programs and to probe hundreds of processes, */
	CLOSING_MS = 10000,  /* and close the last window within this */
	RETRY_MIN_MS = 100,
	RETRY_MAX_MS = 5000,
	NS_PER_S = 1000000000,
};

static const struct link_callbacks link_callbacks;

/* --- gaps */

static void on_guard(uv_timer_t *timer);

static void connect_link(struct report *report)
{
	report->greeted = false;
	link_open(&report->link, &report->loop, report->options->socket_path, &link_callbacks, report);
	uv_timer_start(&report->guard, on_guard, GREETING_MS, 0);
}

/* What ended meanwhile may have been the last that was watched. */
static bool is_over_in_gap(struct report *report)
{
	pipeline_forget_gone(report->pipeline);
	if (report_is_finished(report))
		report_be_over(report, STATUS_DONE);
	return report->phase == PHASE_OVER;
}

static void on_retry(uv_timer_t *timer)
{
	struct report *report = timer->data;

	if (!is_over_in_gap(report))
		connect_link(report);
}

static int write_gap(struct report *report, const char *cause)
{
	struct timespec now;
	struct gap gap = { .cause = cause, .since_wall_ns = report->source.tick_wall_ns };

	clock_gettime(CLOCK_REALTIME, &now);
	gap.wall_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
	report->in_gap = true;
	report->gap_began_ns = uv_hrtime();
	report->retry_ms = RETRY_MIN_MS;
	return pipeline_gap(report->pipeline, &gap);
}

/* The connection is of no use any more. `cause` has no line end and lives for ever. */
static void lose_link(struct report *report, const char *cause)
{
	bool closing = report->phase == PHASE_CLOSING;

	if (report->phase == PHASE_OVER)
		return;
	if (!report->had_baseline) {
		log_error(NULL, "%s", cause);
		report_be_over(report, STATUS_FAILED);
		return;
	}
	link_close(&report->link);
	uv_timer_stop(&report->guard);
	report->phase = PHASE_CONNECTING;
	if (!report->in_gap) {
		log_warning(NULL, "%s: %s", cause, closing ? "the last window is missing" : "waiting for it to come back");
		if (write_gap(report, cause)) {
			report_be_over(report, STATUS_FAILED);
			return;
		}
	}
	if (closing)
		report_be_over(report, STATUS_DONE);
	else if (!is_over_in_gap(report))
		uv_timer_start(&report->retry, on_retry, report->retry_ms, 0);
	report->retry_ms = report->retry_ms * 2 < RETRY_MAX_MS ? report->retry_ms * 2 : RETRY_MAX_MS;
}

static void end_gap(struct report *report)
{
	if (report->in_gap)
		log_info(NULL, "the collector is back after %.1f s", (double)(uv_hrtime() - report->gap_began_ns) / NS_PER_S);
	report->in_gap = false;
}

static void on_guard(uv_timer_t *timer)
{
	struct report *report = timer->data;

	if (report->phase != PHASE_CLOSING) {
		lose_link(report, "the collector does not answer");
		return;
	}
	log_error(NULL, "the collector did not close the last window in time: it is missing");
	report_be_over(report, STATUS_FAILED);
}

/* --- frames */

static int subscribe(struct report *report)
{
	struct subscribe_targets *targets = &report->targets;
	int err = 0;

	if (!report->in_gap) {
		err = subscribe_targets_of(targets, report->options, report->launch->pid);
	} else if (!report->options->all) {
		targets->count = pipeline_roots(report->pipeline, targets->pids, targets->start_times_ns, SUBSCRIBE_PIDS_MAX);
		if (targets->count > SUBSCRIBE_PIDS_MAX) {
			log_warning(NULL, "of %zu processes only %d are watched on", targets->count, SUBSCRIBE_PIDS_MAX);
			targets->count = SUBSCRIBE_PIDS_MAX;
		}
	}
	return err ? err :
		     subscribe_begin(&report->link, report->options, targets, pipeline_needs(report->pipeline),
				     &report->source.catalogue);
}

static int on_welcome(struct report *report, const Taskmon__Frame *message)
{
	int err = 0;

	report->greeted = true;
	uv_timer_start(&report->guard, on_guard, ARMING_MS, 0);
	source_init(&report->source, message->welcome, report->pipeline, report->options->probe_set);
	if (!report->in_gap) {
		subscribe_warn(message->welcome, report->options);
		err = pipeline_begin(report->pipeline);
	}
	return err ? err : subscribe(report);
}

static int on_subscribed(struct report *report, const Taskmon__Frame *message)
{
	report->phase = PHASE_ARMED;
	report->feed = message->subscribed->feed;
	pipeline_arm(report->pipeline, message->subscribed->armed_ns);
	if (!report->had_baseline)
		report_start_duration(report);
	return 0;
}

/* Why the rules select each process that was named, one after the other. */
static int explain_next(struct report *report)
{
	if (report->explained == report->options->pid_count)
		return 0;
	return subscribe_explain(&report->link, report->options->pids[report->explained]);
}

/* The command waits for the baseline: what it does from its first instruction on is within the first window. */
static int on_samples(struct report *report, const Taskmon__Frame *message)
{
	bool had_baseline = report->source.has_baseline;
	int err = source_samples(&report->source, message->samples);

	if (!err && subscribe_explains(report->options) && message->samples->tick == 1 && message->samples->last)
		err = explain_next(report);
	if (err || had_baseline || !report->source.has_baseline)
		return err;
	if (report->phase == PHASE_ARMED)
		uv_timer_stop(&report->guard);
	end_gap(report);
	if (report->local && !report->had_baseline)
		local_begin(report->local);
	report->had_baseline = true;
	return report->phase == PHASE_OVER ? -ECANCELED : report_has_baseline(report);
}

static int on_explained(struct report *report, const Taskmon__Frame *message)
{
	int err = why_print(message->explained);

	report->explained++;
	return err ? err : explain_next(report);
}

static int on_ended(struct report *report, const Taskmon__Frame *message)
{
	return source_ended(&report->source, message->ended);
}

static int on_events(struct report *report, const Taskmon__Frame *message)
{
	return source_events(&report->source, message->events);
}

static int on_syscalls(struct report *report, const Taskmon__Frame *message)
{
	return source_syscalls(&report->source, message->syscalls);
}

static int on_probe_hits(struct report *report, const Taskmon__Frame *message)
{
	return source_hits(&report->source, message->probe_hits);
}

static int on_loss(struct report *report, const Taskmon__Frame *message)
{
	return source_loss(&report->source, message->loss);
}

/* Was it named by the user, rather than by following somebody's children? */
static bool is_named(const struct report *report, uint32_t pid)
{
	for (size_t i = 0; i < report->options->pid_count; i++)
		if (report->options->pids[i] == pid)
			return true;
	return report->launch->pid && pid == (uint32_t)report->launch->pid;
}

/* After a gap: who ended in it is left out. One that was only followed may not be ours to name. */
static bool is_left_out(struct report *report, const Taskmon__Error *error)
{
	bool gone = error->code == TASKMON__ERROR__CODE__NO_SUCH_PROCESS ||
		    (error->code == TASKMON__ERROR__CODE__DENIED && !is_named(report, error->process));

	return report->in_gap && gone && error->process && pipeline_forget(report->pipeline, error->process);
}

static int on_error(struct report *report, const Taskmon__Frame *message)
{
	const char *text = message->error->message;
	char line[512];

	if (is_left_out(report, message->error)) {
		if (pipeline_live(report->pipeline) > 0)
			return subscribe(report);
		/* a command that is about to be reaped is waited for */
		report_be_over(report, STATUS_DONE);
		return -ECANCELED;
	}
	str_sanitize(line, sizeof(line), text, strlen(text));
	log_error(NULL, "%s", line);
	report_be_over(report,
		       report->in_gap || message->error->code == TASKMON__ERROR__CODE__DENIED ? STATUS_REFUSED : STATUS_FAILED);
	return -ECANCELED;
}

static int on_unsubscribed(struct report *report, const Taskmon__Frame *message)
{
	(void)message;
	report_be_over(report, STATUS_DONE);
	return -ECANCELED;
}

static int (*const on_frames[])(struct report *report, const Taskmon__Frame *message) = {
	[TASKMON__FRAME__BODY_WELCOME] = on_welcome,       [TASKMON__FRAME__BODY_SUBSCRIBED] = on_subscribed,
	[TASKMON__FRAME__BODY_SAMPLES] = on_samples,       [TASKMON__FRAME__BODY_ENDED] = on_ended,
	[TASKMON__FRAME__BODY_EVENTS] = on_events,         [TASKMON__FRAME__BODY_SYSCALLS] = on_syscalls,
	[TASKMON__FRAME__BODY_PROBE_HITS] = on_probe_hits, [TASKMON__FRAME__BODY_LOSS] = on_loss,
	[TASKMON__FRAME__BODY_ERROR] = on_error,           [TASKMON__FRAME__BODY_UNSUBSCRIBED] = on_unsubscribed,
	[TASKMON__FRAME__BODY_EXPLAINED] = on_explained,
};

/* --- the link */

/* The Welcome comes first, and once: without it, rows mean nothing. */
static bool in_order(const struct report *report, size_t body)
{
	return body == TASKMON__FRAME__BODY_ERROR || report->greeted == (body != TASKMON__FRAME__BODY_WELCOME);
}

static int on_link_frame(struct link *link, const Taskmon__Frame *message)
{
	struct report *report = link->context;
	size_t body = (size_t)message->body_case;
	int err;

	if (body >= sizeof(on_frames) / sizeof(on_frames[0]) || !on_frames[body] || !in_order(report, body))
		return -EPROTO;
	err = on_frames[body](report, message);
	if (err && err != -EPROTO)
		report_be_over(report, STATUS_FAILED); /* what failed has been logged */
	return err;
}

static void on_link_connected(struct link *link, int err)
{
	struct report *report = link->context;
	const char *path = report->options->socket_path;

	if (!err)
		return;
	if (report->in_gap) {
		lose_link(report, "no collector");
	} else if (err == -EACCES || err == -EPERM) {
		log_error(NULL, "the collector at %s may not be asked: %s", path, strerror(-err));
		report_be_over(report, STATUS_REFUSED);
	} else {
		log_error(NULL, "no collector at %s (%s): start one with: sudo taskmon-collector &", path, strerror(-err));
		report_be_over(report, STATUS_NO_COLLECTOR);
	}
}

static void on_link_settled(struct link *link)
{
	report_close_if_finished(link->context);
}

static void on_link_lost(struct link *link, int err)
{
	if (err == -EPROTO || err == -EMSGSIZE) {
		log_error(NULL, "the collector sent what is not a frame of this protocol");
		report_be_over(link->context, STATUS_FAILED);
	} else {
		lose_link(link->context, err ? "the connection to the collector failed" : "the collector closed the connection");
	}
}

static const struct link_callbacks link_callbacks = {
	.connected = on_link_connected,
	.frame = on_link_frame,
	.settled = on_link_settled,
	.lost = on_link_lost,
};

void conversation_begin(struct report *report)
{
	uv_timer_init(&report->loop, &report->guard);
	uv_timer_init(&report->loop, &report->retry);
	report->guard.data = report->retry.data = report;
	connect_link(report);
}

int conversation_close(struct report *report)
{
	int err = subscribe_end(&report->link, report->feed);

	if (!err)
		uv_timer_start(&report->guard, on_guard, CLOSING_MS, 0);
	return err;
}
