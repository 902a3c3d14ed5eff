/* SPDX-License-Identifier: BSD-2-Clause */
#include "pipeline.h"

#include <errno.h>
#include <stdlib.h>

#include "alive.h"
#include "derive.h"
#include "log.h"
#include "processes.h"
#include "select.h"
#include "threshold.h"

enum {
	WRITERS_MAX = 3,
	TABLE_ROWS_OF_ALL = 40, /* of --all, the terminal shows the busiest */
};

struct pipeline {
	const struct select *select;
	bool follows_children;
	bool shows_baseline;
	bool knows_processes; /* whose end is waited for, or by which threads are judged */
	struct processes *processes;
	struct derive *derive;
	const struct threshold_rules *rules;
	struct thresholds *thresholds;
	struct writer *writers[WRITERS_MAX];
	size_t writer_count;
	struct progress progress; /* less what the writers know */
};

static int add_writer(struct pipeline *pipeline, struct writer *writer)
{
	if (!writer)
		return -errno;
	pipeline->writers[pipeline->writer_count++] = writer;
	return 0;
}

static struct writer *new_table(const struct options *options)
{
	const struct table_options table = {
		.threads = options->threads,
		.shares_terminal = options->command,
		.sort = options->sort,
		.top = options->top,
		.busy_only = options->all ? TABLE_ROWS_OF_ALL : 0,
	};

	return writer_table_new(&table);
}

/* With CPU time from elsewhere, the module has a pipeline of its own. */
static unsigned int modules_of(const struct options *options)
{
	bool split = options_cpu_is_local(options) && options_need_collector(options);

	return split ? options->modules & ~MODULE_BIT(MODULE_CPU) : options->modules;
}

static struct writer *new_memleak(const struct options *options)
{
	const char *file = options->files[MODULE_MEMLEAK];

	return writer_memleak_new(options->csv_dir, file ? file : modules[MODULE_MEMLEAK].file, options->probe_set,
				  &options->output);
}

static int add_writers(struct pipeline *pipeline, const struct options *options)
{
	unsigned int module_set = modules_of(options);
	int err = 0;

	if (options->action == ACTION_LIST_TASKS)
		return add_writer(pipeline, writer_tasks_new(options->threads));
	if (!options->csv_dir && !options->json_path)
		return add_writer(pipeline, new_table(options));
	if (options->csv_dir)
		err = add_writer(pipeline,
				 writer_csv_new(options->csv_dir, options->files, module_set, options->metrics, &options->output));
	if (!err && options->csv_dir && options->modules & MODULE_BIT(MODULE_MEMLEAK))
		err = add_writer(pipeline, new_memleak(options));
	if (!err && options->json_path)
		err = add_writer(pipeline, writer_json_new(options->json_path, module_set, options->metrics, &options->output));
	return err;
}

static int add_writers_beside(struct pipeline *pipeline, const struct options *options, const struct pipeline *other)
{
	const unsigned int cpu = MODULE_BIT(MODULE_CPU);
	int err = 0;

	if (options->csv_dir)
		err = add_writer(pipeline, writer_csv_beside(options->csv_dir, options->files, cpu, &options->output));
	if (!err && options->json_path)
		err = add_writer(pipeline, writer_json_beside(other->writers[other->writer_count - 1],
							      options->cpu == CPU_TOP ? "top" : "stat", cpu));
	return err;
}

static uint64_t wanted_deltas(const struct pipeline *pipeline)
{
	uint64_t deltas = threshold_rules_deltas(pipeline->rules);

	for (size_t i = 0; i < pipeline->writer_count; i++)
		deltas |= pipeline->writers[i]->deltas;
	return deltas;
}

static int write_event(void *context, const struct event *event)
{
	struct pipeline *pipeline = context;
	int err = 0;

	for (size_t i = 0; !err && i < pipeline->writer_count; i++)
		err = pipeline->writers[i]->event(pipeline->writers[i], event);
	return err;
}

struct pipeline *pipeline_new(const struct options *options, const struct pipeline *other)
{
	static const struct threshold_rules no_rules;
	struct pipeline *pipeline = calloc(1, sizeof(*pipeline));
	int err;

	if (!pipeline)
		goto no_memory;
	pipeline->select = &options->select;
	pipeline->rules = other ? &no_rules : &options->thresholds;
	pipeline->follows_children = options->all || options_follow_children(options);
	pipeline->knows_processes = !options->all || select_narrows(&options->select);
	pipeline->shows_baseline = options->action == ACTION_LIST_TASKS;
	err = other ? add_writers_beside(pipeline, options, other) : add_writers(pipeline, options);
	if (err) {
		pipeline_free(pipeline);
		errno = -err;
		return NULL;
	}
	pipeline->processes = processes_new();
	pipeline->derive = derive_new(wanted_deltas(pipeline), options->threads);
	pipeline->thresholds = thresholds_new(pipeline->rules, options->interval_ns, write_event, pipeline);
	if (pipeline->processes && pipeline->derive && pipeline->thresholds)
		return pipeline;

no_memory:
	log_error(NULL, "out of memory");
	pipeline_free(pipeline);
	errno = ENOMEM;
	return NULL;
}

int pipeline_free(struct pipeline *pipeline)
{
	int err = 0;

	if (!pipeline)
		return 0;
	for (size_t i = 0; i < pipeline->writer_count; i++) {
		struct writer *writer = pipeline->writers[i];
		int ended = writer->end(writer, WRITER_DONE);

		err = err ? err : ended;
	}
	thresholds_free(pipeline->thresholds);
	derive_free(pipeline->derive);
	processes_free(pipeline->processes);
	free(pipeline);
	return err;
}

uint64_t pipeline_needs(const struct pipeline *pipeline)
{
	uint64_t needs = wanted_deltas(pipeline) | threshold_rules_needs(pipeline->rules);

	for (size_t i = 0; i < pipeline->writer_count; i++)
		needs |= pipeline->writers[i]->needs;
	return needs;
}

int pipeline_begin(struct pipeline *pipeline)
{
	int err = 0;

	for (size_t i = 0; !err && i < pipeline->writer_count; i++)
		err = pipeline->writers[i]->begin(pipeline->writers[i]);
	return err;
}

void pipeline_arm(struct pipeline *pipeline, uint64_t armed_ns)
{
	derive_arm(pipeline->derive, armed_ns);
}

static int out_of_memory(int err)
{
	log_error(NULL, "out of memory");
	return err;
}

static int note_process(struct pipeline *pipeline, const struct row *row, bool selected)
{
	if (!pipeline->knows_processes)
		return 0;
	if (!row->ended) {
		int err = processes_seen(pipeline->processes, row->tgid, row->time_ns, selected);

		if (!err && pipeline->select->cgroup_count)
			processes_set_cgroup(pipeline->processes, row->tgid, select_cgroup(pipeline->select, row->cgroup));
		if (!err && row->tid == row->tgid)
			processes_identify(pipeline->processes, row->tgid, row->start_time_ns, row->ppid);
		return err;
	}
	if (row->process_ended)
		processes_ended(pipeline->processes, row->tgid, row->time_ns);
	return 0;
}

int pipeline_row(struct pipeline *pipeline, struct row *row)
{
	bool selected = select_row(pipeline->select, row), passes = true;
	/* of all rows: a process that takes a selected name has a window then */
	int err = derive_row(pipeline->derive, row);

	if (!err)
		err = note_process(pipeline, row, selected);
	if (err)
		return out_of_memory(err);
	if (!selected)
		return 0;
	err = thresholds_row(pipeline->thresholds, row, &passes);
	if (err == -ENOMEM)
		return out_of_memory(err);
	if (!passes || (row->baseline && !pipeline->shows_baseline))
		return err;
	pipeline->progress.rows++;
	for (size_t i = 0; !err && i < pipeline->writer_count; i++)
		err = pipeline->writers[i]->row(pipeline->writers[i], row);
	return err;
}

/* Is the event's process selected? Keeps count of processes on the way. */
static int judge_event(struct pipeline *pipeline, const struct event *event, bool *selected)
{
	if (event->tid != event->tgid) {
		*selected = !select_narrows(pipeline->select) || processes_selected(pipeline->processes, event->tgid);
		return 0;
	}
	*selected = select_process(pipeline->select, event->comm, event->uid);
	if (event->started && pipeline->follows_children && pipeline->knows_processes) {
		int err = processes_started(pipeline->processes, event->tgid, event->time_ns, *selected);

		if (err)
			return err;
		processes_identify(pipeline->processes, event->tgid, event->start_time_ns, 0);
		/* it begins where its creator is; threads of that are not known here, and then its first row decides */
		processes_set_cgroup(pipeline->processes, event->tgid, processes_in_cgroup(pipeline->processes, event->other_tid));
		return 0;
	}
	if (event->renamed)
		processes_judged(pipeline->processes, event->tgid, *selected);
	return 0;
}

static bool shows_event(const struct pipeline *pipeline, const struct event *event, bool selected)
{
	if (!select_event(pipeline->select, event, selected))
		return false;
	return !pipeline->select->cgroup_count || processes_in_cgroup(pipeline->processes, event->tgid);
}

int pipeline_event(struct pipeline *pipeline, const struct event *event)
{
	bool selected = false;
	int err = judge_event(pipeline, event, &selected);

	if (!err)
		err = derive_event(pipeline->derive, event);
	if (!err)
		err = thresholds_event(pipeline->thresholds, event);
	if (err)
		return out_of_memory(err);
	return shows_event(pipeline, event, selected) ? write_event(pipeline, event) : 0;
}

bool pipeline_selects_calls(const struct pipeline *pipeline, uint32_t tgid)
{
	return !select_narrows(pipeline->select) || processes_selected(pipeline->processes, tgid);
}

int pipeline_calls(struct pipeline *pipeline, const struct calls *calls)
{
	int err = 0;

	pipeline->progress.rows += calls->count;
	for (size_t i = 0; !err && i < pipeline->writer_count; i++)
		if (pipeline->writers[i]->calls)
			err = pipeline->writers[i]->calls(pipeline->writers[i], calls);
	return err;
}

int pipeline_hit(struct pipeline *pipeline, const struct hit *hit)
{
	int err = 0;

	if (!pipeline_selects_calls(pipeline, hit->tgid))
		return 0;
	pipeline->progress.rows++;
	for (size_t i = 0; !err && i < pipeline->writer_count; i++)
		if (pipeline->writers[i]->hit)
			err = pipeline->writers[i]->hit(pipeline->writers[i], hit);
	return err;
}

int pipeline_loss(struct pipeline *pipeline, const struct loss *loss)
{
	int err = 0;

	pipeline->progress.lost += loss->count;
	for (size_t i = 0; !err && i < pipeline->writer_count; i++)
		err = pipeline->writers[i]->loss(pipeline->writers[i], loss);
	return err;
}

static int end_writers(struct pipeline *pipeline, enum writer_end how)
{
	int err = 0;

	for (size_t i = 0; !err && i < pipeline->writer_count; i++)
		err = pipeline->writers[i]->end(pipeline->writers[i], how);
	return err;
}

int pipeline_reopen(struct pipeline *pipeline)
{
	return end_writers(pipeline, WRITER_REOPEN);
}

int pipeline_resized(struct pipeline *pipeline)
{
	return end_writers(pipeline, WRITER_RESIZED);
}

void pipeline_progress(const struct pipeline *pipeline, struct progress *progress)
{
	*progress = pipeline->progress;
	for (size_t i = 0; i < pipeline->writer_count; i++)
		progress->written_bytes += pipeline->writers[i]->written_bytes;
}

int pipeline_gap(struct pipeline *pipeline, const struct gap *gap)
{
	int err = thresholds_gap(pipeline->thresholds);

	pipeline->progress.gaps++;
	derive_restart(pipeline->derive);
	processes_restart(pipeline->processes);
	for (size_t i = 0; !err && i < pipeline->writer_count; i++)
		err = pipeline->writers[i]->gap(pipeline->writers[i], gap);
	return err ? err : end_writers(pipeline, WRITER_TICK);
}

int pipeline_tick_complete(struct pipeline *pipeline, uint64_t tick_ns)
{
	int err;

	derive_tick_complete(pipeline->derive, tick_ns);
	processes_tick_complete(pipeline->processes);
	err = thresholds_tick_complete(pipeline->thresholds);
	return err ? err : end_writers(pipeline, WRITER_TICK);
}

size_t pipeline_live(const struct pipeline *pipeline)
{
	return processes_count(pipeline->processes);
}

bool pipeline_forget(struct pipeline *pipeline, uint32_t tgid)
{
	return processes_forget(pipeline->processes, tgid);
}

void pipeline_forget_gone(struct pipeline *pipeline)
{
	if (alive_can_tell())
		processes_prune(pipeline->processes, alive_is_gone);
}

size_t pipeline_roots(const struct pipeline *pipeline, uint32_t *tgids, uint64_t *start_times_ns, size_t room)
{
	return processes_roots(pipeline->processes, tgids, start_times_ns, room);
}
