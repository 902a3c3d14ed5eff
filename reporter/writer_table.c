/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a person at a terminal sees: at every tick the tasks, busiest first, within 80 columns. The name comes last:
 * its width on the screen may differ from its bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "derive.h"
#include "log.h"
#include "output.h"
#include "people.h"
#include "writer.h"

enum { LINE_BYTES = 256 };

struct table_row {
	uint32_t tgid, tid, uid;
	char state;
	bool measured; /* cpu and rates are known */
	uint64_t cpu_hundredths, rss_bytes, threads, read_rate, write_rate;
	bool has_rss, has_threads;
	char comm[ROW_COMM_BYTES];
};

struct table_writer {
	struct writer writer;
	struct output *output;
	bool threads;
	unsigned int limit; /* of many tasks, show so many that did something; 0: all there are */
	struct people_users *users;
	uint64_t tick_wall_ns;
	struct table_row *rows;
	size_t count, capacity;
	struct loss *losses; /* of this tick */
	size_t loss_count;
};

static int no_memory(void)
{
	log_error(NULL, "out of memory");
	return -ENOMEM;
}

static uint64_t rate(const struct row *row, enum metric_id id)
{
	return row_has_delta(row, id) ? (uint64_t)((double)row->delta[id] * 1e9 / (double)row->window_ns) : 0;
}

static int make_room(struct table_writer *table)
{
	size_t capacity = table->capacity ? 2 * table->capacity : 64;
	struct table_row *grown;

	if (table->count < table->capacity)
		return 0;
	grown = reallocarray(table->rows, capacity, sizeof(*grown));
	if (!grown)
		return no_memory();
	table->rows = grown;
	table->capacity = capacity;
	return 0;
}

static int table_row(struct writer *writer, const struct row *row)
{
	struct table_writer *table = (struct table_writer *)writer;
	struct table_row *line;
	int err = make_room(table);

	if (err)
		return err;
	line = &table->rows[table->count++];
	*line = (struct table_row){
		.tgid = row->tgid,
		.tid = row->tid,
		.uid = row->uid,
		.state = row->ended ? 'X' : row_has(row, M_task_state) ? (char)row->value[M_task_state] : '?',
		.has_rss = row_has(row, M_task_pm_size),
		.has_threads = row_has(row, M_task_thread_count),
		.read_rate = rate(row, M_task_read_bytes),
		.write_rate = rate(row, M_task_write_bytes),
	};
	line->measured = derive_cpu_percent(row, &line->cpu_hundredths);
	if (line->has_rss)
		line->rss_bytes = row->value[M_task_pm_size];
	if (line->has_threads)
		line->threads = row->value[M_task_thread_count];
	snprintf(line->comm, sizeof(line->comm), "%s", row->comm);
	if (!row->ended)
		table->tick_wall_ns = row->tick_wall_ns;
	return 0;
}

/* The outputs of --csv and --json have the events; here they would tear the table apart. */
static int table_event(struct writer *writer, const struct event *event)
{
	(void)writer, (void)event;
	return 0;
}

static int table_loss(struct writer *writer, const struct loss *loss)
{
	struct table_writer *table = (struct table_writer *)writer;
	struct loss *grown = reallocarray(table->losses, table->loss_count + 1, sizeof(*grown));

	if (!grown)
		return no_memory();
	table->losses = grown;
	table->losses[table->loss_count++] = *loss;
	return 0;
}

static int table_gap(struct writer *writer, const struct gap *gap)
{
	struct table_writer *table = (struct table_writer *)writer;

	output_text(table->output, "gap: ");
	output_text(table->output, gap->cause);
	return output_line_end(table->output);
}

static bool is_active(const struct table_row *row)
{
	return row->cpu_hundredths || row->read_rate || row->write_rate;
}

/* Busy before idle, then by CPU time, then by memory. */
static int compare_rows(const void *a, const void *b)
{
	const struct table_row *left = a, *right = b;

	if (is_active(left) != is_active(right))
		return is_active(left) ? -1 : 1;
	if (left->cpu_hundredths != right->cpu_hundredths)
		return left->cpu_hundredths > right->cpu_hundredths ? -1 : 1;
	if (left->rss_bytes != right->rss_bytes)
		return left->rss_bytes > right->rss_bytes ? -1 : 1;
	return left->tid < right->tid ? -1 : left->tid > right->tid;
}

static void put_title(struct table_writer *table)
{
	time_t now = table->tick_wall_ns ? (time_t)(table->tick_wall_ns / 1000000000) : time(NULL);
	const char *what = table->threads ? "thread" : "process";
	const char *plural = table->count == 1 ? "" : table->threads ? "s" : "es";
	char text[LINE_BYTES], clock[16];
	uint64_t cpu = 0;
	struct tm local;

	for (size_t i = 0; i < table->count; i++)
		cpu += table->rows[i].cpu_hundredths;
	localtime_r(&now, &local);
	strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	snprintf(text, sizeof(text), "%s  %zu %s%s, %.1f%% CPU", clock, table->count, what, plural,
		 (double)cpu / 100);
	output_text(table->output, text);
	output_line_end(table->output);
	snprintf(text, sizeof(text), "%7s %s%-10s S   CPU%%   RSS  THR READ/s WRIT/s COMM", "PID",
		 table->threads ? "    TID " : "", "USER");
	output_text(table->output, text);
	output_line_end(table->output);
}

static void put_row(struct table_writer *table, const struct table_row *row)
{
	char text[LINE_BYTES], tid[16] = "", cpu[16] = "-", threads[24] = "-";
	char rss[PEOPLE_BYTES_ROOM] = "-", reads[PEOPLE_BYTES_ROOM] = "-", writes[PEOPLE_BYTES_ROOM] = "-";

	if (table->threads)
		snprintf(tid, sizeof(tid), "%7u ", row->tid);
	if (row->measured) {
		snprintf(cpu, sizeof(cpu), "%.1f", (double)row->cpu_hundredths / 100);
		people_bytes(reads, row->read_rate);
		people_bytes(writes, row->write_rate);
	}
	if (row->has_rss)
		people_bytes(rss, row->rss_bytes);
	if (row->has_threads)
		snprintf(threads, sizeof(threads), "%llu", (unsigned long long)row->threads);
	snprintf(text, sizeof(text), "%7u %s%-10.10s %c %6s %5s %4s %6s %6s %s", row->tgid, tid,
		 people_user(&table->users, row->uid), row->state, cpu, rss, threads, reads, writes, row->comm);
	output_text(table->output, text);
	output_line_end(table->output);
}

/* Of the rows, which are sorted. */
static size_t count_shown(const struct table_writer *table)
{
	size_t shown = 0;

	if (table->limit == 0 || table->count <= table->limit)
		return table->count;
	while (shown < table->limit && is_active(&table->rows[shown]))
		shown++;
	return shown;
}

static int put_tick(struct table_writer *table)
{
	char text[LINE_BYTES];
	size_t shown;

	if (table->count > 1)
		qsort(table->rows, table->count, sizeof(table->rows[0]), compare_rows);
	shown = count_shown(table);
	put_title(table);
	for (size_t i = 0; i < shown; i++)
		put_row(table, &table->rows[i]);
	if (shown < table->count) {
		snprintf(text, sizeof(text), "… and %zu more that did less or nothing", table->count - shown);
		output_text(table->output, text);
		output_line_end(table->output);
	}
	for (size_t i = 0; i < table->loss_count; i++) {
		snprintf(text, sizeof(text), "lost: %s=%llu", table->losses[i].cause,
			 (unsigned long long)table->losses[i].count);
		output_text(table->output, text);
		output_line_end(table->output);
	}
	output_line_end(table->output);
	table->count = table->loss_count = 0;
	table->tick_wall_ns = 0;
	return output_flush(table->output);
}

static int table_begin(struct writer *writer)
{
	return output_begin(((struct table_writer *)writer)->output);
}

static int table_end(struct writer *writer, enum writer_end how)
{
	struct table_writer *table = (struct table_writer *)writer;
	int err;

	if (how == WRITER_REOPEN || how == WRITER_RESIZED)
		return 0;
	if (how == WRITER_TICK)
		return table->count || table->loss_count ? put_tick(table) : 0;
	/* final rows and losses after the last tick */
	if (table->count || table->loss_count)
		put_tick(table);
	err = output_close(table->output);
	people_users_free(table->users);
	free(table->rows);
	free(table->losses);
	free(table);
	return err;
}

struct writer *writer_table_new(bool threads, unsigned int limit)
{
	struct table_writer *table = calloc(1, sizeof(*table));

	if (!table) {
		no_memory();
		return NULL;
	}
	table->threads = threads;
	table->limit = limit;
	table->writer = (struct writer){
		.name = "table",
		.deltas = METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_read_bytes) | METRIC_BIT(M_task_write_bytes),
		.needs = METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_read_bytes) | METRIC_BIT(M_task_write_bytes) |
			 METRIC_BIT(M_task_state) | METRIC_BIT(M_task_pm_size) | METRIC_BIT(M_task_thread_count),
		.begin = table_begin,
		.row = table_row,
		.event = table_event,
		.loss = table_loss,
		.gap = table_gap,
		.end = table_end,
	};
	table->output = output_open("-", NULL, NULL);
	if (!table->output) {
		free(table);
		return NULL;
	}
	return &table->writer;
}
