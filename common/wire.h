/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of proto/taskmon.proto as this program uses them. frame.h has the framing.
 */
#ifndef TASKMON_WIRE_H
#define TASKMON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "taskmon.pb-c.h"

#define WIRE_PROTOCOL 1
#define WIRE_CLIENT_FRAME_MAX (64u << 10) /* largest frame that a client may send */
#define WIRE_SERVER_FRAME_MAX (1u << 20)  /* largest frame that the collector sends */
#define WIRE_ROWS_MAX 1000                /* rows in one frame */
#define WIRE_CGROUP_MAX 4096              /* longest cgroup path */
#define WIRE_METRIC_IDS 256               /* catalogue ids are below this */

/** One row of Samples or Ended as its reader gets it. The strings live as long as the frame. */
struct sample {
	uint64_t time_ns;       /* CLOCK_BOOTTIME */
	uint64_t start_time_ns; /* CLOCK_BOOTTIME */
	uint64_t present;       /* bit per enum metric_id */
	uint32_t tid, tgid, ppid, uid;
	uint32_t exit_status;                                  /* Ended: as wait(2) gives it */
	bool process_ended;                                    /* Ended: no thread of the process is left */
	ProtobufCBinaryData comm, process_comm, cgroup, rules; /* bytes as the kernel has them, not terminated */
	uint64_t value[METRIC_TOTAL];
};

/** Gathers rows column by column. Reused from frame to frame. */
struct rows_builder;

/**
 * A builder for rows with the metrics of the bit set `metrics`; `threads`: rows are threads; `ended`: final rows.
 * NULL when out of memory.
 */
struct rows_builder *rows_builder_new(uint64_t metrics, bool threads, bool ended);
void rows_builder_free(struct rows_builder *builder);

/** Add a row. -ENOSPC when WIRE_ROWS_MAX rows are in (or the strings would not fit): finish it and add again. */
int rows_builder_add(struct rows_builder *builder, const struct task_record *record, const char *cgroup, const char *rules);
size_t rows_builder_count(const struct rows_builder *builder);

/** The rows as a message, valid until the next call; rows_builder_reset() makes room for the next frame. */
Taskmon__Rows *rows_builder_message(struct rows_builder *builder);
void rows_builder_reset(struct rows_builder *builder);

/**
 * Which metric a catalogue id of the other side means here: id_to_metric[id], -1 for none.
 * Filled from Welcome by wire_read_catalogue().
 */
struct wire_catalogue {
	int id_to_metric[WIRE_METRIC_IDS];
	int metric_to_id[METRIC_TOTAL];        /* -1: the collector does not know it */
	const char *unavailable[METRIC_TOTAL]; /* reason, in the frame's memory; NULL: available */
};
void wire_read_catalogue(const Taskmon__Welcome *welcome, struct wire_catalogue *catalogue);

/** Walks the rows of a message; all checks are made at the start. */
struct rows_reader {
	const Taskmon__Rows *rows;
	size_t next;
	size_t column_count;
	struct {
		int metric;
		const Taskmon__Column *column;
		size_t next; /* of its values */
	} columns[METRIC_TOTAL];
};

/** -EPROTO if the message contradicts itself (column lengths, two columns of a metric, string indices, bitmaps). */
int rows_reader_init(struct rows_reader *reader, const Taskmon__Rows *rows, const struct wire_catalogue *catalogue);

/** The next row into `sample`; false at the end. */
bool rows_reader_next(struct rows_reader *reader, struct sample *sample);

#endif
