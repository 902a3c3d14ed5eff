/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memleak.csv: a row per call (ACTION 0) and return (1) of a probed function.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "csv_tables.h"
#include "hit.h"
#include "log.h"
#include "modules.h"
#include "output.h"
#include "writer.h"

static const char fixed_columns[] = "Ticks,Size,Times,PID,TID,FUNC,ACTION,DEPTH,SIZE_CHANGE,TIMES_CHANGE";

struct memleak_writer {
	struct writer writer; /* first: the functions below get this and know the rest */
	const struct probe_set *probes;
	struct output *output;
};

static struct output *output_of(struct writer *writer)
{
	return ((struct memleak_writer *)writer)->output;
}

static void put_s64(struct output *output, int64_t value)
{
	if (value < 0)
		output_char(output, '-');
	output_u64(output, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static void put_hex(struct output *output, uint64_t value)
{
	char text[20];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
	output_text(output, text);
}

static void put_argument(struct output *output, const struct hit *hit, size_t i)
{
	switch (hit->probe->declaration.arguments[i].kind) {
	case DECLARED_TEXT:
		output_csv_text(output, hit->texts[i]);
		break;
	case DECLARED_POINTER:
		put_hex(output, hit->values[i]);
		break;
	case DECLARED_BOOL:
		output_text(output, hit->values[i] ? "true" : "false");
		break;
	case DECLARED_SIGNED:
		put_s64(output, (int64_t)hit->values[i]);
		break;
	case DECLARED_UNSIGNED:
		output_u64(output, hit->values[i]);
		break;
	}
}

static void put_arguments(struct output *output, const struct hit *hit, size_t column_count)
{
	const struct probe *probe = hit->probe;

	for (size_t column = 0; column < column_count; column++) {
		output_char(output, ',');
		for (size_t i = 0; i < probe->declaration.count; i++)
			if (probe->column[i] == column && hit->present >> i & 1)
				put_argument(output, hit, i);
	}
}

static int memleak_hit(struct writer *writer, const struct hit *hit)
{
	struct memleak_writer *memleak = (struct memleak_writer *)writer;
	struct output *output = memleak->output;

	output_fixed(output, hit->wall_ns, 9, 6);
	output_char(output, ',');
	if (hit->has_totals)
		output_u64(output, hit->heap_bytes);
	output_char(output, ',');
	if (hit->has_totals)
		output_u64(output, hit->heap_times);
	output_char(output, ',');
	output_u64(output, hit->tgid);
	output_char(output, ',');
	output_u64(output, hit->tid);
	output_char(output, ',');
	output_csv_text(output, hit->function);
	output_text(output, hit->is_return ? ",1," : ",0,");
	if (hit->depth)
		output_u64(output, hit->depth);
	output_char(output, ',');
	if (hit->has_change)
		put_s64(output, hit->bytes_change);
	output_char(output, ',');
	if (hit->has_change)
		put_s64(output, hit->times_change);
	put_arguments(output, hit, memleak->probes->column_count);
	return output_line_end(output);
}

static int memleak_row(struct writer *writer, const struct row *row)
{
	struct memleak_writer *memleak = (struct memleak_writer *)writer;
	struct output *output = memleak->output;

	if (!row->ended)
		return 0;
	output_text(output, "END,");
	if (row_has(row, M_task_heap_size))
		output_u64(output, row->value[M_task_heap_size]);
	output_char(output, ',');
	if (row_has(row, M_task_heap_times))
		output_u64(output, row->value[M_task_heap_times]);
	output_char(output, ',');
	output_u64(output, row->tgid);
	output_char(output, ',');
	output_u64(output, row->tid);
	output_text(output, ",,,,,");
	for (size_t i = 0; i < memleak->probes->column_count; i++)
		output_char(output, ',');
	return output_line_end(output);
}

static int memleak_event(struct writer *writer, const struct event *event)
{
	(void)writer, (void)event;
	return 0;
}

static int memleak_loss(struct writer *writer, const struct loss *loss)
{
	(void)writer, (void)loss; /* event.csv tells it */
	return 0;
}

static int memleak_gap(struct writer *writer, const struct gap *gap)
{
	(void)writer, (void)gap;
	return 0;
}

static int memleak_begin(struct writer *writer)
{
	return output_begin(output_of(writer));
}

static int memleak_end(struct writer *writer, enum writer_end how)
{
	int err;

	if (how == WRITER_DONE) {
		err = output_close(output_of(writer));
		free(writer);
		return err;
	}
	err = how == WRITER_REOPEN ? output_reopen(output_of(writer)) : output_flush(output_of(writer));
	writer->written_bytes = output_total_bytes(output_of(writer));
	return err;
}

static char *header_of(const struct probe_set *probes)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	if (!stream)
		return NULL;
	fputs(fixed_columns, stream);
	for (size_t i = 0; i < probes->column_count; i++)
		fprintf(stream, ",%s", probes->columns[i]);
	fputc('\n', stream);
	if (fclose(stream) == 0)
		return text;
	free(text);
	return NULL;
}

struct writer *writer_memleak_new(const char *directory, const char *file, const struct probe_set *probes,
				  const struct output_policy *policy)
{
	struct memleak_writer *memleak = calloc(1, sizeof(*memleak));
	char *header;
	int err;

	if (!memleak) {
		log_error(NULL, "out of memory");
		return NULL;
	}
	header = header_of(probes);
	memleak->output = csv_open(directory, file, header, policy);
	err = errno;
	free(header);
	if (!memleak->output) {
		free(memleak);
		errno = err;
		return NULL;
	}
	memleak->probes = probes;
	memleak->writer.name = "memleak";
	memleak->writer.needs = modules[MODULE_MEMLEAK].needs;
	memleak->writer.begin = memleak_begin;
	memleak->writer.row = memleak_row;
	memleak->writer.event = memleak_event;
	memleak->writer.loss = memleak_loss;
	memleak->writer.gap = memleak_gap;
	memleak->writer.hit = memleak_hit;
	memleak->writer.end = memleak_end;
	return &memleak->writer;
}
