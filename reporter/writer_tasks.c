/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --list tasks: what the selection meets right now. The pipeline hands it the rows of the baseline.
 */
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "output.h"
#include "people.h"
#include "writer.h"

struct tasks_writer {
	struct writer writer;
	struct output *output;
	bool threads;
	struct people_users *users;
};

static void put_line(struct tasks_writer *tasks, const char *line, const char *rest)
{
	output_text(tasks->output, line);
	output_text(tasks->output, rest);
	output_line_end(tasks->output);
}

static int tasks_begin(struct writer *writer)
{
	struct tasks_writer *tasks = (struct tasks_writer *)writer;
	char line[128];
	int err = output_begin(tasks->output);

	snprintf(line, sizeof(line), "%7s %s%7s %-12s %-15s S   RSS  THR ", "PID", tasks->threads ? "    TID " : "", "PPID", "USER",
		 "COMM");
	put_line(tasks, line, "CGROUP  RULES");
	return err;
}

static int tasks_row(struct writer *writer, const struct row *row)
{
	struct tasks_writer *tasks = (struct tasks_writer *)writer;
	char line[256], tid[16] = "", threads[24] = "-", rss[PEOPLE_BYTES_ROOM] = "-";

	if (!row->baseline)
		return 0;
	if (tasks->threads)
		snprintf(tid, sizeof(tid), "%7u ", row->tid);
	if (row_has(row, M_task_thread_count))
		snprintf(threads, sizeof(threads), "%llu", (unsigned long long)row->value[M_task_thread_count]);
	if (row_has(row, M_task_pm_size))
		people_bytes(rss, row->value[M_task_pm_size]);
	snprintf(line, sizeof(line), "%7u %s%7u %-12.12s %-15s %c %5s %4s ", row->tgid, tid, row->ppid,
		 people_user(&tasks->users, row->uid), row->comm, row_has(row, M_task_state) ? (char)row->value[M_task_state] : '?',
		 rss, threads);
	output_text(tasks->output, line);
	output_text(tasks->output, row->cgroup);
	put_line(tasks, row->rules[0] ? "  " : "", row->rules);
	return 0;
}

static int tasks_event(struct writer *writer, const struct event *event)
{
	(void)writer, (void)event;
	return 0;
}

static int tasks_loss(struct writer *writer, const struct loss *loss)
{
	(void)writer;
	log_warning(NULL, "the list is incomplete: %s=%llu", loss->cause, (unsigned long long)loss->count);
	return 0;
}

/* Its report ends with the baseline, and without one it has failed. */
static int tasks_gap(struct writer *writer, const struct gap *gap)
{
	(void)writer, (void)gap;
	return 0;
}

static int tasks_end(struct writer *writer, enum writer_end how)
{
	struct tasks_writer *tasks = (struct tasks_writer *)writer;
	int err;

	if (how != WRITER_DONE)
		return output_flush(tasks->output);
	err = output_close(tasks->output);
	people_users_free(tasks->users);
	free(tasks);
	return err;
}

struct writer *writer_tasks_new(bool threads)
{
	struct tasks_writer *tasks = calloc(1, sizeof(*tasks));

	if (!tasks) {
		log_error(NULL, "out of memory");
		return NULL;
	}
	tasks->threads = threads;
	tasks->writer = (struct writer){
		.name = "tasks",
		.needs = METRIC_BIT(M_task_state) | METRIC_BIT(M_task_pm_size) | METRIC_BIT(M_task_thread_count),
		.begin = tasks_begin,
		.row = tasks_row,
		.event = tasks_event,
		.loss = tasks_loss,
		.gap = tasks_gap,
		.end = tasks_end,
	};
	tasks->output = output_open("-", NULL, NULL);
	if (!tasks->output) {
		free(tasks);
		return NULL;
	}
	return &tasks->writer;
}
