/* SPDX-License-Identifier: BSD-2-Clause */
#include "csv_tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "derive.h"
#include "log.h"
#include "metric.h"

/* --- cells that several files have */

static void put_tid(struct output *output, const struct row *row)
{
	output_u64(output, row->tid);
}

static void put_tgid(struct output *output, const struct row *row)
{
	output_u64(output, row->tgid);
}

static void put_comm(struct output *output, const struct row *row)
{
	output_csv_text(output, row->comm);
}

/* Seconds since the epoch; the last row of a task has a word instead. */
static void put_ticks(struct output *output, const struct row *row)
{
	if (row->ended)
		output_text(output, "END");
	else
		output_fixed(output, row->tick_wall_ns, 9, 6);
}

/* --- cpu.csv */

/* -1 where the source tells no times, but only a share (top). */
static void put_milliseconds(struct output *output, const struct row *row, enum metric_id id)
{
	if (row->hidden & METRIC_BIT(M_task_on_cpu_ns))
		output_text(output, "-1");
	else if (row_has_delta(row, id))
		output_fixed(output, row->delta[id], 6, 3);
}

static void put_on_cpu(struct output *output, const struct row *row)
{
	put_milliseconds(output, row, M_task_on_cpu_ns);
}

static void put_off_cpu(struct output *output, const struct row *row)
{
	put_milliseconds(output, row, M_task_off_cpu_ns);
}

static void put_cpu_percent(struct output *output, const struct row *row)
{
	uint64_t hundredths;

	if (derive_cpu_percent(row, &hundredths))
		output_fixed(output, hundredths, 2, 2);
}

static const struct csv_column cpu_columns[] = {
	{ "Ticks", put_ticks },     { "PID", put_tgid },         { "COMM", put_comm }, { "ON CPU", put_on_cpu },
	{ "OFF CPU", put_off_cpu }, { "CPU%", put_cpu_percent }, { "TID", put_tid },   { NULL, NULL },
};

/* --- net.csv */

/* Bytes in units of 1024, as thousandths. */
static void put_kilobytes(struct output *output, const struct row *row, enum metric_id id)
{
	uint64_t bytes;

	if (!row_has_delta(row, id))
		return;
	bytes = row->delta[id];
	output_fixed(output, bytes / 1024 * 1000 + (bytes % 1024 * 1000 + 512) / 1024, 3, 3);
}

static void put_rx_kilobytes(struct output *output, const struct row *row)
{
	put_kilobytes(output, row, M_task_link_rx_bytes);
}

static void put_tx_kilobytes(struct output *output, const struct row *row)
{
	put_kilobytes(output, row, M_task_link_tx_bytes);
}

static const struct csv_column net_columns[] = {
	{ "Ticks", put_ticks },        { "PID", put_tgid },           { "COMM", put_comm },
	{ "RX_KB", put_rx_kilobytes }, { "TX_KB", put_tx_kilobytes }, { NULL, NULL },
};

/* --- syscall.csv: csv_calls.c writes the rows of calls */

static void put_nothing(struct output *output, const struct row *row)
{
	(void)output, (void)row;
}

static const struct csv_column syscall_columns[] = {
	{ "Ticks", put_ticks },   { "PID", put_tgid }, { "COMM", put_comm }, { "ACTION", put_nothing }, { "SYSCALL_ID", put_nothing },
	{ "PARM1", put_nothing }, { "TID", put_tid },  { "RET", put_nothing }, { "COMPAT", put_nothing }, { NULL, NULL },
};

/* --- mem.csv */

static void put_gauge(struct output *output, const struct row *row, enum metric_id id)
{
	if (row_has(row, id))
		output_u64(output, row->value[id]);
}

static void put_heap_size(struct output *output, const struct row *row)
{
	put_gauge(output, row, M_task_heap_size);
}

static void put_heap_times(struct output *output, const struct row *row)
{
	put_gauge(output, row, M_task_heap_times);
}

static const struct csv_column mem_columns[] = {
	{ "Ticks", put_ticks },       { "PID", put_tgid },          { "COMM", put_comm },
	{ "Size(B)", put_heap_size }, { "Times", put_heap_times }, { NULL, NULL },
};

/* --- task.csv */

static void put_time(struct output *output, const struct row *row)
{
	output_time(output, row->wall_ns);
}

static void put_ppid(struct output *output, const struct row *row)
{
	output_u64(output, row->ppid);
}

static void put_start_time(struct output *output, const struct row *row)
{
	output_u64(output, row->start_time_ns);
}

static void put_uid(struct output *output, const struct row *row)
{
	output_u64(output, row->uid);
}

static void put_cgroup(struct output *output, const struct row *row)
{
	output_csv_text(output, row->cgroup);
}

/* No rule selects anything yet. */
static void put_rules(struct output *output, const struct row *row)
{
	output_csv_text(output, row->rules);
}

static const struct csv_column task_columns[] = {
	{ "time", put_time }, { "tid", put_tid },
	{ "tgid", put_tgid }, { "ppid", put_ppid },
	{ "comm", put_comm }, { "start_time", put_start_time },
	{ "uid", put_uid },   { "cgroup", put_cgroup },
	{ "rules", put_rules }, { NULL, NULL },
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

struct output *csv_open(const char *directory, const char *file, const char *header,
			const struct output_policy *policy)
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

static void put_metric(struct output *output, const struct row *row, enum metric_id id)
{
	if (!row_tells(row, id))
		return;
	if (metrics[id].unit == METRIC_LETTER)
		output_char(output, (char)row->value[id]);
	else
		output_u64(output, row->value[id]);
}

void csv_put_row(struct output *output, const struct csv_table *table, uint64_t metric_set, const struct row *row)
{
	if (table->windows_only && row->window_ns == 0 && !row->ended)
		return;
	if (table->ends_only && !row->ended)
		return;
	if (table->measured_only && !(row->present & (table->deltas | table->gauges)))
		return;
	for (const struct csv_column *column = table->columns; column->name; column++) {
		if (column != table->columns)
			output_char(output, ',');
		column->put(output, row);
	}
	for (int id = 0; table->all_metrics && id < METRIC_TOTAL; id++) {
		if (!(metric_set & METRIC_BIT(id)))
			continue;
		output_char(output, ',');
		put_metric(output, row, (enum metric_id)id);
	}
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
