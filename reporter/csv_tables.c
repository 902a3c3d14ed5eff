/* SPDX-License-Identifier: BSD-2-Clause */
#include "csv_tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "derive.h"
#include "log.h"
#include "metric.h"
#include "source.h"
#include "str.h"

enum {
	TIME_ROOM = 31,   /* of str_rfc3339() */
	NUMBER_ROOM = 24, /* with its comma */
	/* names of tasks and rules, and a cgroup, each of their characters doubled and quoted; of whatever source, they are not longer */
	TEXT_ROOM = 2 * (2 * ROW_COMM_BYTES + 3 * RULES_BYTES + 3 * WIRE_CGROUP_MAX + 8),
	ROW_ROOM = TEXT_ROOM + TIME_ROOM + NUMBER_ROOM * (METRIC_TOTAL + 16),
};
_Static_assert(ROW_ROOM <= OUTPUT_ROOM_MAX, "a row is written in one piece");

/* --- cells that several files have */

static char *put_tid(char *at, const struct row *row)
{
	return at + str_u64(at, row->tid);
}

static char *put_tgid(char *at, const struct row *row)
{
	return at + str_u64(at, row->tgid);
}

static char *put_comm(char *at, const struct row *row)
{
	return at + str_csv(at, row->comm);
}

/* Seconds since the epoch; the last row of a task has a word instead. */
static char *put_ticks(char *at, const struct row *row)
{
	return row->ended ? stpcpy(at, "END") : at + str_fixed(at, row->tick_wall_ns, 9, 6);
}

/* --- cpu.csv */

/* -1 where the source tells no times, but only a share (top). */
static char *put_milliseconds(char *at, const struct row *row, enum metric_id id)
{
	if (row->hidden & METRIC_BIT(M_task_on_cpu_ns))
		return stpcpy(at, "-1");
	return row_has_delta(row, id) ? at + str_fixed(at, row->delta[id], 6, 3) : at;
}

static char *put_on_cpu(char *at, const struct row *row)
{
	return put_milliseconds(at, row, M_task_on_cpu_ns);
}

static char *put_off_cpu(char *at, const struct row *row)
{
	return put_milliseconds(at, row, M_task_off_cpu_ns);
}

static char *put_cpu_percent(char *at, const struct row *row)
{
	uint64_t hundredths;

	return derive_cpu_percent(row, &hundredths) ? at + str_fixed(at, hundredths, 2, 2) : at;
}

static const struct csv_column cpu_columns[] = {
	{ "Ticks", put_ticks },     { "PID", put_tgid },         { "COMM", put_comm }, { "ON CPU", put_on_cpu },
	{ "OFF CPU", put_off_cpu }, { "CPU%", put_cpu_percent }, { "TID", put_tid },   { NULL, NULL },
};

/* --- net.csv */

/* Bytes in units of 1024, as thousandths. */
static char *put_kilobytes(char *at, const struct row *row, enum metric_id id)
{
	uint64_t bytes;

	if (!row_has_delta(row, id))
		return at;
	bytes = row->delta[id];
	return at + str_fixed(at, bytes / 1024 * 1000 + (bytes % 1024 * 1000 + 512) / 1024, 3, 3);
}

static char *put_rx_kilobytes(char *at, const struct row *row)
{
	return put_kilobytes(at, row, M_task_link_rx_bytes);
}

static char *put_tx_kilobytes(char *at, const struct row *row)
{
	return put_kilobytes(at, row, M_task_link_tx_bytes);
}

static const struct csv_column net_columns[] = {
	{ "Ticks", put_ticks },        { "PID", put_tgid },           { "COMM", put_comm },
	{ "RX_KB", put_rx_kilobytes }, { "TX_KB", put_tx_kilobytes }, { NULL, NULL },
};

/* --- syscall.csv: csv_calls.c writes the rows of calls */

static char *put_nothing(char *at, const struct row *row)
{
	(void)row;
	return at;
}

static const struct csv_column syscall_columns[] = {
	{ "Ticks", put_ticks },        { "PID", put_tgid },      { "COMM", put_comm }, { "ACTION", put_nothing },
	{ "SYSCALL_ID", put_nothing }, { "PARM1", put_nothing }, { "TID", put_tid },   { "RET", put_nothing },
	{ "COMPAT", put_nothing },     { NULL, NULL },
};

/* --- mem.csv */

static char *put_gauge(char *at, const struct row *row, enum metric_id id)
{
	return row_has(row, id) ? at + str_u64(at, row->value[id]) : at;
}

static char *put_heap_size(char *at, const struct row *row)
{
	return put_gauge(at, row, M_task_heap_size);
}

static char *put_heap_times(char *at, const struct row *row)
{
	return put_gauge(at, row, M_task_heap_times);
}

static const struct csv_column mem_columns[] = {
	{ "Ticks", put_ticks },       { "PID", put_tgid },         { "COMM", put_comm },
	{ "Size(B)", put_heap_size }, { "Times", put_heap_times }, { NULL, NULL },
};

/* --- task.csv */

static char *put_time(char *at, const struct row *row)
{
	return at + str_rfc3339(at, TIME_ROOM, row->wall_ns);
}

static char *put_ppid(char *at, const struct row *row)
{
	return at + str_u64(at, row->ppid);
}

static char *put_start_time(char *at, const struct row *row)
{
	return at + str_u64(at, row->start_time_ns);
}

static char *put_uid(char *at, const struct row *row)
{
	return at + str_u64(at, row->uid);
}

static char *put_cgroup(char *at, const struct row *row)
{
	return at + str_csv(at, row->cgroup);
}

static char *put_rules(char *at, const struct row *row)
{
	return at + str_csv(at, row->rules);
}

static const struct csv_column task_columns[] = {
	{ "time", put_time }, { "tid", put_tid },       { "tgid", put_tgid },
	{ "ppid", put_ppid }, { "comm", put_comm },     { "start_time", put_start_time },
	{ "uid", put_uid },   { "cgroup", put_cgroup }, { "rules", put_rules },
	{ NULL, NULL },
};

const struct csv_table csv_tables[] = {
	{
		.module = MODULE_CPU,
		.columns = cpu_columns,
		.windows_only = true,
		.deltas = METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_off_cpu_ns),
	},
	{
		.module = MODULE_MEM,
		.columns = mem_columns,
		.windows_only = true,
		.measured_only = true,
		.gauges = METRIC_BIT(M_task_heap_size) | METRIC_BIT(M_task_heap_times),
	},
	{
		.module = MODULE_NET,
		.columns = net_columns,
		.windows_only = true,
		.measured_only = true,
		.deltas = METRIC_BIT(M_task_link_rx_bytes) | METRIC_BIT(M_task_link_tx_bytes),
	},
	{
		.module = MODULE_SYSCALL,
		.columns = syscall_columns,
		.ends_only = true,
	},
	{
		.module = MODULE_TASK,
		.columns = task_columns,
		.all_metrics = true,
	},
};
const unsigned int csv_table_count = sizeof(csv_tables) / sizeof(csv_tables[0]);

/* --- files */

struct output *csv_open(const char *directory, const char *file, const char *header, const struct output_policy *policy)
{
	struct output *output = NULL;
	char *path = NULL;
	int err = ENOMEM;

	if (!header || asprintf(&path, "%s%s%s", file[0] == '/' ? "" : directory, file[0] == '/' ? "" : "/", file) < 0) {
		log_error(NULL, "out of memory");
	} else {
		output = output_open(path, header, policy);
		err = errno;
		free(path);
	}
	errno = err;
	return output;
}

/* --- lines */

char *csv_header(const struct csv_table *table, uint64_t metric_set)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return NULL;
	for (const struct csv_column *column = table->columns; column->name; column++)
		fprintf(stream, "%s%s", column == table->columns ? "" : ",", column->name);
	for (int id = 0; table->all_metrics && id < METRIC_TOTAL; id++)
		if (metric_set & METRIC_BIT(id))
			fprintf(stream, ",%s", metrics[id].name);
	fputc('\n', stream);
	if (fclose(stream) == 0)
		return text;
	free(text);
	return NULL;
}

static char *put_metric(char *at, const struct row *row, int id)
{
	if (!row_tells(row, id))
		return at;
	if (metrics[id].unit == METRIC_LETTER) {
		*at = (char)row->value[id];
		return at + 1;
	}
	return at + str_u64(at, row->value[id]);
}

void csv_put_row(struct output *output, const struct csv_table *table, uint64_t metric_set, const struct row *row)
{
	char *room, *at;

	if (table->windows_only && row->window_ns == 0 && !row->ended)
		return;
	if (table->ends_only && !row->ended)
		return;
	if (table->measured_only && !(row->present & (table->deltas | table->gauges)))
		return;
	room = at = output_room(output, ROW_ROOM);
	for (const struct csv_column *column = table->columns; column->name; column++) {
		at = column->put(at, row);
		*at++ = ',';
	}
	for (uint64_t left = table->all_metrics ? metric_set : 0; left; left &= left - 1) {
		at = put_metric(at, row, __builtin_ctzll(left));
		*at++ = ',';
	}
	output_advance(output, (size_t)(at - 1 - room)); /* without the last comma */
	output_line_end(output);
}

/* --- event.csv */

void csv_put_event(struct output *output, const struct event *event)
{
	output_time(output, event->wall_ns);
	output_char(output, ',');
	output_text(output, event->name);
	output_char(output, ',');
	output_u64(output, event->tid);
	output_char(output, ',');
	output_u64(output, event->tgid);
	output_char(output, ',');
	output_csv_text(output, event->comm);
	output_char(output, ',');
	output_csv_text(output, event->detail);
	output_line_end(output);
}

void csv_put_loss(struct output *output, const struct loss *loss)
{
	output_time(output, loss->wall_ns);
	output_text(output, ",loss,,,,");
	output_text(output, loss->cause);
	output_char(output, '=');
	output_u64(output, loss->count);
	output_line_end(output);
}

void csv_put_gap(struct output *output, const struct gap *gap)
{
	output_time(output, gap->wall_ns);
	output_text(output, ",gap,,,,since=");
	output_time(output, gap->since_wall_ns);
	output_text(output, " (");
	output_text(output, gap->cause);
	output_char(output, ')');
	output_line_end(output);
}
