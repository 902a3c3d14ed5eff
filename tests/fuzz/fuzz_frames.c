/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the other side sends, from bytes to rows: the framing, protobuf, the catalogue, the columns and explanations. The first byte says
 * into how large pieces the stream is cut.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../reporter/why.h"
#include "calls.h"
#include "frame.h"
#include "wire.h"

static struct wire_catalogue catalogue;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return freopen("/dev/null", "w", stdout) ? 0 : -1; /* what is printed for people; what went wrong is on stderr */
}

static void read_rows(const Taskmon__Rows *rows)
{
	struct rows_reader reader;
	struct sample sample;
	size_t count = 0;

	if (!rows || rows_reader_init(&reader, rows, &catalogue))
		return;
	for (; rows_reader_next(&reader, &sample); count++)
		assert(sample.comm.len == 0 || sample.comm.data);
	assert(count == rows->count);
}

static void read_calls(const Taskmon__Syscalls *message)
{
	static struct call calls[CALLS_MAX];
	int count = calls_read(message, calls);

	for (int i = 0; i < count; i++)
		assert(calls[i].task < message->n_tid &&
		       (message->comm[calls[i].task].len == 0 || message->comm[calls[i].task].data));
}

static int on_frame(const Taskmon__Frame *message, void *context)
{
	struct frame *again = frame_encode(message);

	(void)context;
	assert(again);
	frame_unref(again);
	if (message->body_case == TASKMON__FRAME__BODY_WELCOME)
		wire_read_catalogue(message->welcome, &catalogue);
	else if (message->body_case == TASKMON__FRAME__BODY_SAMPLES)
		read_rows(message->samples->rows);
	else if (message->body_case == TASKMON__FRAME__BODY_ENDED)
		read_rows(message->ended->rows);
	else if (message->body_case == TASKMON__FRAME__BODY_EXPLAINED)
		why_print(message->explained);
	else if (message->body_case == TASKMON__FRAME__BODY_SYSCALLS)
		read_calls(message->syscalls);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_reader reader;
	size_t piece;

	if (size == 0)
		return 0;
	piece = 1 + data[0] * 4u;
	data++, size--;
	for (int id = 0; id < WIRE_METRIC_IDS; id++)
		catalogue.id_to_metric[id] = id < METRIC_TOTAL ? id : -1;
	frame_reader_init(&reader, WIRE_CLIENT_FRAME_MAX);
	while (size > 0) {
		size_t now = size < piece ? size : piece;

		if (frame_reader_feed(&reader, data, now, on_frame, NULL))
			break;
		data += now, size -= now;
	}
	frame_reader_free(&reader);
	return 0;
}
