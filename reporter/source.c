/* SPDX-License-Identifier: BSD-2-Clause */
#include "source.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "log.h"
#include "str.h"

enum { DETAIL_BYTES = 2 * ROW_COMM_BYTES + 64 };

void source_init(struct source *source, const Taskmon__Welcome *welcome, struct pipeline *pipeline, const struct probe_set *probes)
{
	uint64_t tick_wall_ns = source->tick_wall_ns; /* of an earlier connection */

	memset(source, 0, sizeof(*source));
	source->tick_wall_ns = tick_wall_ns;
	source->pipeline = pipeline;
	source->probes = probes;
	wire_read_catalogue(welcome, &source->catalogue);
	/* these point into the frame and are told already */
	memset(source->catalogue.unavailable, 0, sizeof(source->catalogue.unavailable));
}

/* A catalogue of names kept by protobuf, as users see them: "QUEUE_SAMPLES" is queue_samples. */
static void lower_name(const ProtobufCEnumDescriptor *descriptor, int value, char *out, size_t size)
{
	const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(descriptor, value);

	if (known)
		snprintf(out, size, "%s", known->name);
	else
		snprintf(out, size, "unknown_%d", value);
	for (; *out; out++)
		*out = (char)tolower((unsigned char)*out);
}

static uint64_t wall_time(uint64_t boot_ns, int64_t offset_ns)
{
	return boot_ns + (uint64_t)offset_ns;
}

static void read_row(struct source *source, const struct sample *sample, int64_t offset_ns, struct row *row)
{
	row->time_ns = sample->time_ns;
	row->start_time_ns = sample->start_time_ns;
	row->wall_ns = wall_time(sample->time_ns, offset_ns);
	row->tid = sample->tid;
	row->tgid = sample->tgid;
	row->ppid = sample->ppid;
	row->uid = sample->uid;
	row->exit_status = sample->exit_status;
	row->process_ended = sample->process_ended;
	row->present = sample->present;
	row->value = sample->value;
	str_sanitize(source->comm, sizeof(source->comm), sample->comm.data, sample->comm.len);
	row->comm = row->process_comm = source->comm;
	if (sample->process_comm.data != sample->comm.data) {
		str_sanitize(source->process_comm, sizeof(source->process_comm), sample->process_comm.data,
			     sample->process_comm.len);
		row->process_comm = source->process_comm;
	}
	/* neighbours share theirs: one string of the frame */
	if (sample->cgroup.data != source->cgroup_bytes || !source->cgroup_bytes)
		str_sanitize(source->cgroup, sizeof(source->cgroup), sample->cgroup.data, sample->cgroup.len);
	source->cgroup_bytes = sample->cgroup.data;
	row->cgroup = source->cgroup;
	str_sanitize(source->rules, sizeof(source->rules), sample->rules.data, sample->rules.len);
	row->rules = source->rules;
}

/* Rows of one frame; `row` has what they share. */
static int read_rows(struct source *source, const Taskmon__Rows *rows, int64_t offset_ns, struct row *row)
{
	struct rows_reader reader;
	struct sample sample;
	int err = rows ? rows_reader_init(&reader, rows, &source->catalogue) : 0;

	source->cgroup_bytes = NULL;
	while (!err && rows && rows_reader_next(&reader, &sample)) {
		read_row(source, &sample, offset_ns, row);
		err = pipeline_row(source->pipeline, row);
	}
	return err;
}

int source_samples(struct source *source, const Taskmon__Samples *samples)
{
	struct row row = {
		.baseline = samples->tick == 0,
		.tick_wall_ns = wall_time(samples->tick_ns, samples->wall_offset_ns),
	};
	int err = read_rows(source, samples->rows, samples->wall_offset_ns, &row);

	if (!err && samples->last) {
		source->has_baseline = true;
		source->tick_wall_ns = row.tick_wall_ns;
		err = pipeline_tick_complete(source->pipeline, samples->tick_ns);
	}
	return err;
}

int source_ended(struct source *source, const Taskmon__Ended *ended)
{
	struct row row = { .ended = true };

	return read_rows(source, ended->rows, ended->wall_offset_ns, &row);
}

/* --- events: how each type is told */

static void detail_of_fork(const Taskmon__Event *event, const char *old_comm, char *out, size_t size)
{
	snprintf(out, size, "by=%u (%s)", event->other_tid, old_comm);
}

static void detail_of_exec(const Taskmon__Event *event, const char *old_comm, char *out, size_t size)
{
	if (event->other_tid == event->tid)
		snprintf(out, size, "from=%s", old_comm);
	else
		snprintf(out, size, "from=%s tid=%u", old_comm, event->other_tid);
}

static void detail_of_exit(const Taskmon__Event *event, const char *old_comm, char *out, size_t size)
{
	int status = (int)event->exit_status;

	(void)old_comm;
	if (WIFSIGNALED(status))
		snprintf(out, size, "signal=%d%s", WTERMSIG(status), WCOREDUMP(status) ? " core" : "");
	else
		snprintf(out, size, "status=%d", WEXITSTATUS(status));
}

static void detail_of_rename(const Taskmon__Event *event, const char *old_comm, char *out, size_t size)
{
	(void)event;
	snprintf(out, size, "from=%s", old_comm);
}

static const struct {
	void (*put_detail)(const Taskmon__Event *event, const char *old_comm, char *out, size_t size);
	bool started, renamed;
} event_types[] = {
	[TASKMON__EVENT__TYPE__FORK] = { detail_of_fork, .started = true },
	[TASKMON__EVENT__TYPE__EXEC] = { detail_of_exec, .renamed = true },
	[TASKMON__EVENT__TYPE__EXIT] = { detail_of_exit },
	[TASKMON__EVENT__TYPE__RENAME] = { detail_of_rename, .renamed = true },
};

static int read_event(struct source *source, const Taskmon__Event *message, int64_t offset_ns)
{
	char name[32], comm[ROW_COMM_BYTES], old_comm[ROW_COMM_BYTES], detail[DETAIL_BYTES];
	unsigned int type = (unsigned int)message->type;
	struct event event;

	if (type >= sizeof(event_types) / sizeof(event_types[0]) || !event_types[type].put_detail)
		return 0; /* a newer collector's */
	lower_name(&taskmon__event__type__descriptor, message->type, name, sizeof(name));
	str_sanitize(comm, sizeof(comm), message->comm.data, message->comm.len);
	str_sanitize(old_comm, sizeof(old_comm), message->old_comm.data, message->old_comm.len);
	event_types[type].put_detail(message, old_comm, detail, sizeof(detail));
	event = (struct event){
		.name = name,
		.time_ns = message->time_ns,
		.wall_ns = wall_time(message->time_ns, offset_ns),
		.start_time_ns = message->start_time,
		.tid = message->tid,
		.tgid = message->tgid,
		.uid = message->uid,
		.started = event_types[type].started,
		.renamed = event_types[type].renamed,
		.other_tid = message->other_tid,
		.comm = comm,
		.old_comm = old_comm,
		.detail = detail,
	};
	return pipeline_event(source->pipeline, &event);
}

int source_events(struct source *source, const Taskmon__Events *events)
{
	int err = 0;

	for (size_t i = 0; !err && i < events->n_events; i++)
		err = read_event(source, events->events[i], events->wall_offset_ns);
	return err;
}

int source_syscalls(struct source *source, const Taskmon__Syscalls *message)
{
	struct calls calls = {
		.list = source->calls,
		.tasks = source->call_tasks,
		.wall_offset_ns = message->wall_offset_ns,
	};
	int count = calls_read(message, source->calls);

	if (count < 0)
		return count;
	calls.count = (size_t)count;
	calls.task_count = message->n_tid;
	for (size_t i = 0; i < message->n_tid; i++) {
		struct call_task *task = &source->call_tasks[i];

		task->tid = message->tid[i];
		task->tgid = message->tgid[i];
		task->selected = pipeline_selects_calls(source->pipeline, task->tgid);
		str_sanitize(task->comm, sizeof(task->comm), message->comm[i].data, message->comm[i].len);
	}
	return pipeline_calls(source->pipeline, &calls);
}

int source_loss(struct source *source, const Taskmon__Loss *message)
{
	struct timespec now;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; !err && i < message->n_counts; i++) {
		struct loss loss = {
			.count = message->counts[i]->count,
			.wall_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
		};

		lower_name(&taskmon__loss__cause__descriptor, (int)message->counts[i]->cause, loss.cause, sizeof(loss.cause));
		err = pipeline_loss(source->pipeline, &loss);
	}
	return err;
}
