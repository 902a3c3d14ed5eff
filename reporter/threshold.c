/* SPDX-License-Identifier: BSD-2-Clause */
#include "threshold.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "select.h"
#include "threshold_judge.h"

enum { MISSED_TICKS = 2, DETAIL_BYTES = 512 }; /* of one tick, the collector's queue may have dropped a part */

/* The task of a tid: a younger one takes the place of its predecessor. */
struct task {
	uint32_t tid;
	UT_hash_handle hh;
	uint64_t start_time_ns;
	uint64_t time_ns, wall_ns; /* of the last row */
	uint32_t tgid, uid;
	unsigned int missed;
	char comm[ROW_COMM_BYTES];
	struct threshold_state *states[]; /* by rule; NULL: the rule has not been about it */
};

struct thresholds {
	const struct threshold_rules *rules;
	uint64_t interval_ns;
	threshold_emit emit;
	void *context;
	struct task *tasks;
};

struct thresholds *thresholds_new(const struct threshold_rules *rules, uint64_t interval_ns, threshold_emit emit, void *context)
{
	struct thresholds *thresholds = calloc(1, sizeof(*thresholds));

	if (!thresholds)
		return NULL;
	thresholds->rules = rules;
	thresholds->interval_ns = interval_ns;
	thresholds->emit = emit;
	thresholds->context = context;
	return thresholds;
}

static void free_task(struct thresholds *thresholds, struct task *task)
{
	HASH_DEL(thresholds->tasks, task);
	for (size_t i = 0; i < thresholds->rules->count; i++)
		threshold_state_free(task->states[i]);
	free(task);
}

void thresholds_free(struct thresholds *thresholds)
{
	struct task *task, *next;

	if (!thresholds)
		return;
	HASH_ITER(hh, thresholds->tasks, task, next)
		free_task(thresholds, task);
	free(thresholds);
}

/* --- events */

/* Whole numbers as they are, others with as many digits as a person reads. */
static const char *put_number(char *out, size_t size, double number)
{
	if (number == floor(number) && fabs(number) < 1e15)
		snprintf(out, size, "%.0f", number);
	else
		snprintf(out, size, fabs(number) < 0.1 ? "%.3g" : "%.2f", number);
	return out;
}

static int emit_verdict(struct thresholds *thresholds, const struct threshold_rule *rule, const struct task *task,
			enum threshold_verdict verdict, const struct threshold_finding *finding)
{
	char metric[THRESHOLD_FIGURE_BYTES], detail[DETAIL_BYTES], value[48], baseline[48], limit[48];
	bool learned = !isnan(finding->baseline);
	const struct alarm alarm = {
		.threshold = rule->name,
		.metric = metric,
		.value = put_number(value, sizeof(value), finding->value),
		.baseline = learned ? put_number(baseline, sizeof(baseline), finding->baseline) : NULL,
		.limit = put_number(limit, sizeof(limit), finding->limit),
		.cause = finding->cause,
	};
	const struct event event = {
		.name = verdict == THRESHOLD_ALARM ? "alarm" : "clear",
		.time_ns = task->time_ns,
		.wall_ns = task->wall_ns,
		.start_time_ns = task->start_time_ns,
		.tid = task->tid,
		.tgid = task->tgid,
		.uid = task->uid,
		.comm = task->comm,
		.detail = detail,
		.alarm = &alarm,
	};

	threshold_figure_name(rule, metric, sizeof(metric));
	snprintf(detail, sizeof(detail), "metric=%s value=%s%s%s limit=%s threshold=%s%s%s", metric, value,
		 learned ? " baseline=" : "", learned ? baseline : "", limit, rule->name, finding->cause ? " cause=" : "",
		 finding->cause ? finding->cause : "");
	return thresholds->emit(thresholds->context, &event);
}

/* Everything about it is learned anew; alarms end. */
static int restart(struct thresholds *thresholds, struct task *task, const char *cause)
{
	int err = 0;

	for (size_t i = 0; !err && i < thresholds->rules->count; i++) {
		const struct threshold_rule *rule = &thresholds->rules->list[i];
		struct threshold_finding finding;

		if (task->states[i] && threshold_restart(task->states[i], cause, &finding) == THRESHOLD_CLEAR)
			err = emit_verdict(thresholds, rule, task, THRESHOLD_CLEAR, &finding);
	}
	return err;
}

static int end_task(struct thresholds *thresholds, struct task *task, const char *cause)
{
	int err = restart(thresholds, task, cause);

	free_task(thresholds, task);
	return err;
}

/* --- rows */

static struct task *find_task(const struct thresholds *thresholds, uint32_t tid)
{
	struct task *task;

	HASH_FIND(hh, thresholds->tasks, &tid, sizeof(tid), task);
	return task;
}

static struct task *add_task(struct thresholds *thresholds, const struct row *row)
{
	struct task *task = calloc(1, sizeof(*task) + thresholds->rules->count * sizeof(task->states[0]));

	if (!task)
		return NULL;
	task->tid = row->tid;
	task->start_time_ns = row->start_time_ns;
	HASH_ADD(hh, thresholds->tasks, tid, sizeof(task->tid), task);
	if (!task->hh.tbl) {
		free(task);
		return NULL;
	}
	return task;
}

static int judge(struct thresholds *thresholds, struct task *task, size_t at, const struct row *row, bool *alarm)
{
	const struct threshold_rule *rule = &thresholds->rules->list[at];
	struct threshold_finding finding;
	enum threshold_verdict verdict;
	double figure;
	int err = 0;

	/* the first window of a task and the last one may be too short to tell anything */
	if (!threshold_figure(rule, row, thresholds->interval_ns / 2, &figure)) {
		*alarm = task->states[at] && threshold_in_alarm(task->states[at]);
		return 0;
	}
	if (!task->states[at])
		task->states[at] = threshold_state_new(rule);
	if (!task->states[at])
		return -ENOMEM;
	verdict = threshold_judge(rule, task->states[at], row->time_ns, figure, thresholds->interval_ns, &finding);
	if (verdict != THRESHOLD_NOTHING)
		err = emit_verdict(thresholds, rule, task, verdict, &finding);
	*alarm = threshold_in_alarm(task->states[at]);
	return err;
}

/* A process that has taken another name, or that its rule has let go, is not what a threshold is about any more. */
static int stop_judging(struct thresholds *thresholds, struct task *task, size_t at, const char *cause)
{
	struct threshold_finding finding;
	int err = 0;

	if (!task->states[at])
		return 0;
	if (threshold_restart(task->states[at], cause, &finding) == THRESHOLD_CLEAR)
		err = emit_verdict(thresholds, &thresholds->rules->list[at], task, THRESHOLD_CLEAR, &finding);
	threshold_state_free(task->states[at]);
	task->states[at] = NULL;
	return err;
}

static int judge_all(struct thresholds *thresholds, struct task *task, const struct row *row, bool *passes)
{
	bool any_alarm = false, wants_alarm = false;
	int err = 0;

	for (size_t i = 0; !err && i < thresholds->rules->count; i++) {
		const struct threshold_rule *rule = &thresholds->rules->list[i];
		bool alarm = false;

		if (!select_row(&rule->match, row)) {
			err = stop_judging(thresholds, task, i,
					   select_process(&rule->match, row->process_comm, row->uid) ? "rule" : "renamed");
			continue;
		}
		/* the final figures come at a moment of their own */
		if (row->ended)
			alarm = task->states[i] && threshold_in_alarm(task->states[i]);
		else
			err = judge(thresholds, task, i, row, &alarm);
		any_alarm |= alarm;
		wants_alarm |= rule->only;
	}
	*passes = any_alarm || !wants_alarm;
	return err;
}

int thresholds_row(struct thresholds *thresholds, const struct row *row, bool *passes)
{
	struct task *task;
	int err = 0;

	*passes = true;
	if (thresholds->rules->count == 0)
		return 0;
	task = find_task(thresholds, row->tid);
	if (task && task->start_time_ns != row->start_time_ns) {
		/* final rows may come after the first ones of a successor */
		if (task->start_time_ns > row->start_time_ns)
			return 0;
		err = end_task(thresholds, task, "ended");
		task = NULL;
	}
	if (!err && !task && !(task = add_task(thresholds, row)))
		err = -ENOMEM;
	if (err)
		return err;
	task->missed = 0;
	task->time_ns = row->time_ns;
	task->wall_ns = row->wall_ns;
	task->tgid = row->tgid;
	task->uid = row->uid;
	snprintf(task->comm, sizeof(task->comm), "%s", row->comm);
	if (row->baseline) /* of a report that begins, or begins again */
		err = restart(thresholds, task, "gap");
	if (!err)
		err = judge_all(thresholds, task, row, passes);
	if (row->ended && !err)
		err = end_task(thresholds, task, "ended");
	return err;
}

/* --- the rest of a task's life */

int thresholds_event(struct thresholds *thresholds, const struct event *event)
{
	struct task *task;

	if (strcmp(event->name, "exec") != 0)
		return 0;
	task = find_task(thresholds, event->tid);
	if (!task || task->start_time_ns != event->start_time_ns || event->time_ns < task->time_ns)
		return 0;
	task->time_ns = event->time_ns;
	task->wall_ns = event->wall_ns;
	return restart(thresholds, task, "exec");
}

int thresholds_tick_complete(struct thresholds *thresholds)
{
	struct task *task, *next;
	int err = 0;

	HASH_ITER(hh, thresholds->tasks, task, next) {
		if (!err && ++task->missed > MISSED_TICKS)
			err = end_task(thresholds, task, "gone");
	}
	return err;
}

int thresholds_gap(struct thresholds *thresholds)
{
	struct task *task, *next;
	int err = 0;

	HASH_ITER(hh, thresholds->tasks, task, next) {
		if (!err)
			err = restart(thresholds, task, "gap");
	}
	return err;
}
