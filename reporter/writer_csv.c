/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A directory with a CSV file per module, and event.csv.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "csv_calls.h"
#include "csv_tables.h"
#include "log.h"
#include "output.h"
#include "writer.h"

struct csv_writer {
	struct writer writer; /* first: the functions below get this and know the rest */
	uint64_t metrics;
	struct output *event; /* NULL: somebody else writes them */
	struct output *calls; /* of `files`; NULL: without system calls */
	struct {
		const struct csv_table *table;
		struct output *output;
	} files[MODULE_TOTAL];
	size_t file_count;
};

static int csv_begin(struct writer *writer)
{
	struct csv_writer *csv = (struct csv_writer *)writer;
	int err = csv->event ? output_begin(csv->event) : 0;

	for (size_t i = 0; !err && i < csv->file_count; i++)
		err = output_begin(csv->files[i].output);
	return err;
}

/* Errors of a full disk are told by the flush at the end of the tick. */
static int csv_row(struct writer *writer, const struct row *row)
{
	struct csv_writer *csv = (struct csv_writer *)writer;

	for (size_t i = 0; i < csv->file_count; i++)
		csv_put_row(csv->files[i].output, csv->files[i].table, csv->metrics, row);
	return 0;
}

static int csv_event(struct writer *writer, const struct event *event)
{
	struct csv_writer *csv = (struct csv_writer *)writer;

	if (csv->event)
		csv_put_event(csv->event, event);
	return 0;
}

static int csv_loss(struct writer *writer, const struct loss *loss)
{
	struct csv_writer *csv = (struct csv_writer *)writer;

	if (csv->event)
		csv_put_loss(csv->event, loss);
	return 0;
}

static int csv_gap(struct writer *writer, const struct gap *gap)
{
	struct csv_writer *csv = (struct csv_writer *)writer;

	if (csv->event)
		csv_put_gap(csv->event, gap);
	return 0;
}

static int csv_calls(struct writer *writer, const struct calls *calls)
{
	struct csv_writer *csv = (struct csv_writer *)writer;

	return csv->calls ? csv_put_calls(csv->calls, calls) : 0;
}

static int csv_free(struct csv_writer *csv)
{
	int err = csv->event ? output_close(csv->event) : 0;

	for (size_t i = 0; i < csv->file_count; i++) {
		int closed = output_close(csv->files[i].output);

		err = err ? err : closed;
	}
	free(csv);
	return err;
}

static int csv_end(struct writer *writer, enum writer_end how)
{
	int (*const end)(struct output * output) = how == WRITER_REOPEN ? output_reopen : output_flush;
	struct csv_writer *csv = (struct csv_writer *)writer;
	int err;

	if (how == WRITER_DONE)
		return csv_free(csv);
	err = csv->event ? end(csv->event) : 0;
	writer->written_bytes = csv->event ? output_total_bytes(csv->event) : 0;
	for (size_t i = 0; i < csv->file_count; i++) {
		int ended = end(csv->files[i].output);

		err = err ? err : ended;
		writer->written_bytes += output_total_bytes(csv->files[i].output);
	}
	return err;
}

static struct writer *new_writer(const char *directory, char *const *files, unsigned int module_set, uint64_t metrics, bool events,
				 const struct output_policy *policy)
{
	struct csv_writer *csv;
	int err;

	if (mkdir(directory, 0777) < 0 && errno != EEXIST) {
		log_error(NULL, "%s: cannot create the directory: %s", directory, strerror(errno));
		return NULL;
	}
	csv = calloc(1, sizeof(*csv));
	if (!csv) {
		log_error(NULL, "out of memory");
		return NULL;
	}
	csv->writer = (struct writer){ "csv", 0, 0, csv_begin, csv_row, csv_event, csv_loss, csv_gap, csv_calls, csv_end, 0 };
	csv->metrics = metrics;
	csv->event = events ? csv_open(directory, CSV_EVENT_FILE, CSV_EVENT_HEADER, policy) : NULL;
	if (events && !csv->event)
		goto failed;
	for (unsigned int i = 0; i < csv_table_count; i++) {
		const struct csv_table *table = &csv_tables[i];
		const struct module *module = &modules[table->module];
		const char *file = files && files[table->module] ? files[table->module] : module->file;
		char *header;

		if (!(module_set & MODULE_BIT(table->module)))
			continue;
		csv->files[csv->file_count].table = table;
		header = csv_header(table, metrics);
		csv->files[csv->file_count].output = csv_open(directory, file, header, policy);
		free(header);
		if (!csv->files[csv->file_count].output)
			goto failed;
		if (table->module == MODULE_SYSCALL)
			csv->calls = csv->files[csv->file_count].output;
		csv->file_count++;
		csv->writer.needs |= module->needs | (table->all_metrics ? metrics : 0);
		csv->writer.deltas |= table->deltas;
	}
	return &csv->writer;

failed:
	err = errno;
	csv_free(csv);
	errno = err;
	return NULL;
}

struct writer *writer_csv_new(const char *directory, char *const *files, unsigned int module_set, uint64_t metrics,
			      const struct output_policy *policy)
{
	return new_writer(directory, files, module_set, metrics, true, policy);
}

struct writer *writer_csv_beside(const char *directory, char *const *files, unsigned int module_set,
				 const struct output_policy *policy)
{
	return new_writer(directory, files, module_set, 0, false, policy);
}
