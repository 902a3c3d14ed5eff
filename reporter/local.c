/* SPDX-License-Identifier: BSD-2-Clause */
#include "local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "exit_status.h"
#include "log.h"
#include "metric.h"
#include "proc_figures.h"
#include "report_state.h"
#include "source_proc.h"

enum {
	ENDS_MAX = 256, /* processes whose end is noticed at once; that of others at the next tick */
	NS_PER_MS = 1000000,
};

/* The end of a process that was named. */
struct end_watch {
	uv_poll_t poll;
	struct local *local;
	uint32_t pid;
	int fd;
};

struct local {
	struct report *report;
	struct pipeline *pipeline;
	struct source_proc *source;
	struct top *top; /* NULL: none is needed */
	uv_timer_t timer;
	uint64_t began_ms, ticks;
	bool has_baseline, stopped;
	struct end_watch ends[ENDS_MAX];
	size_t end_count;
};

struct local *local_new(struct report *report, struct pipeline *pipeline, struct top *top)
{
	const struct options *options = report->options;
	const struct source_proc_settings settings = {
		.all = options->all,
		.children = options_follow_children(options),
		.threads = options->threads,
	};
	struct local *local = calloc(1, sizeof(*local));

	if (!local)
		return NULL;
	local->report = report;
	local->pipeline = pipeline;
	local->top = top;
	local->source = source_proc_new(&settings, pipeline);
	if (local->source)
		return local;
	free(local);
	return NULL;
}

void local_free(struct local *local)
{
	if (!local)
		return;
	for (size_t i = 0; i < local->end_count; i++)
		close(local->ends[i].fd);
	source_proc_free(local->source);
	free(local);
}

bool local_has_baseline(const struct local *local)
{
	return local->has_baseline;
}

static void settle(struct local *local, int err)
{
	if (err)
		report_be_over(local->report, STATUS_FAILED);
	else
		report_close_if_finished(local->report);
}

/* --- ticks */

static int tick(struct local *local, const struct top_figures *figures)
{
	int err = source_proc_tick(local->source, figures);

	if (err || local->has_baseline)
		return err;
	local->has_baseline = true;
	return report_has_baseline(local->report);
}

/* At multiples of the interval from the first one; those that are past already are left out. */
static void on_timer(uv_timer_t *timer);

static void wait_for_tick(struct local *local)
{
	uint64_t interval_ms = local->report->options->interval_ns / NS_PER_MS;
	uint64_t passed_ms = uv_now(&local->report->loop) - local->began_ms, due_ms;

	local->ticks = local->ticks + 1 > passed_ms / interval_ms ? local->ticks + 1 : passed_ms / interval_ms + 1;
	due_ms = local->ticks * interval_ms;
	uv_timer_start(&local->timer, on_timer, due_ms - passed_ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct local *local = timer->data;
	int err = tick(local, NULL);

	settle(local, err);
	uv_update_time(&local->report->loop);
	if (!local->stopped)
		wait_for_tick(local);
}

static int on_picture(void *context, struct top_figures *figures)
{
	struct local *local = context;
	int err = local->stopped ? -ECANCELED : tick(local, figures);

	if (!local->stopped)
		settle(local, err);
	return err;
}

static void on_top_lost(void *context)
{
	struct local *local = context;

	report_be_over(local->report, STATUS_FAILED);
}

/* --- ends */

static void process_ended(struct local *local, uint32_t pid)
{
	if (!local->stopped && local->has_baseline)
		settle(local, source_proc_end(local->source, pid));
}

static void on_end(uv_poll_t *poll, int status, int events)
{
	struct end_watch *end = poll->data;

	(void)status, (void)events;
	uv_poll_stop(poll);
	process_ended(end->local, end->pid);
}

void local_command_ended(struct local *local)
{
	process_ended(local, (uint32_t)local->report->launch->pid);
}

static void watch_end(struct local *local, uint32_t pid)
{
	struct end_watch *end = &local->ends[local->end_count];

	if (local->end_count == ENDS_MAX)
		return;
	end->fd = pidfd_open((pid_t)pid, 0);
	if (end->fd < 0)
		return;
	end->local = local;
	end->pid = pid;
	end->poll.data = end;
	local->end_count++;
	if (uv_poll_init(&local->report->loop, &end->poll, end->fd) == 0)
		uv_poll_start(&end->poll, UV_READABLE, on_end);
}

/* --- from begin to end */

static int name_process(struct local *local, uint32_t pid)
{
	int err = source_proc_name(local->source, pid);

	if (err == -ENOENT)
		log_error(NULL, "no process %u", pid);
	else if (err)
		log_error(NULL, "process %u: %s", pid, strerror(-err));
	return err;
}

/* Metrics that --metrics or a threshold asks for by name, and that there is nobody to tell of. */
static void warn_of_missing(const struct local *local)
{
	const struct options *options = local->report->options;
	uint64_t alarming = threshold_rules_needs(&options->thresholds) & ~PROC_METRICS;
	uint64_t written = options->csv_dir || options->json_path ? options->metrics : 0;

	if (!(options->modules & MODULE_BIT(MODULE_TASK)))
		written = 0;
	written &= ~(local->top ? PROC_METRICS & ~METRIC_BIT(M_task_on_cpu_ns) : PROC_METRICS);
	for (int id = 0; id < METRIC_TOTAL; id++) {
		if (alarming & METRIC_BIT(id))
			log_warning(NULL, "%s raises no alarm: without a collector it is not known", metrics[id].name);
		if (written & METRIC_BIT(id))
			log_warning(NULL, "%s stays empty: without a collector it is not known", metrics[id].name);
	}
}

static int name_processes(struct local *local)
{
	const struct report *report = local->report;
	int err = 0;

	for (size_t i = 0; !err && i < report->options->pid_count; i++)
		err = name_process(local, report->options->pids[i]);
	return !err && report->launch->pid ? name_process(local, (uint32_t)report->launch->pid) : err;
}

static int begin_ticks(struct local *local)
{
	static const struct top_callbacks callbacks = { on_picture, on_top_lost };

	if (local->top)
		return top_start(local->top, &local->report->loop, &callbacks, local);
	local->began_ms = uv_now(&local->report->loop);
	wait_for_tick(local);
	return tick(local, NULL);
}

void local_begin(struct local *local)
{
	struct report *report = local->report;
	int err;

	uv_timer_init(&report->loop, &local->timer);
	local->timer.data = local;
	if (report->alone)
		warn_of_missing(local);
	err = name_processes(local);
	if (!err)
		err = pipeline_begin(local->pipeline);
	if (!err)
		err = begin_ticks(local);
	if (err) {
		report_be_over(report, STATUS_FAILED);
		return;
	}
	for (size_t i = 0; i < report->options->pid_count; i++)
		watch_end(local, report->options->pids[i]);
	report_close_if_finished(report);
}

int local_close(struct local *local)
{
	/* top tells no share between two of its pictures */
	return local->top || !local->has_baseline ? 0 : source_proc_tick(local->source, NULL);
}

int local_reopen(struct local *local)
{
	return local->report->alone ? 0 : pipeline_reopen(local->pipeline);
}

void local_stop(struct local *local)
{
	if (local->stopped)
		return;
	local->stopped = true;
	uv_timer_stop(&local->timer);
	if (local->top)
		top_stop(local->top);
}
