/* SPDX-License-Identifier: BSD-2-Clause */
#include "csv_calls.h"

#include <string.h>

#include "calls.h"
#include "str.h"

enum {
	NS_PER_S = 1000000000,
	DECIMALS = 6,
	COMM_CELL_BYTES = 2 * ROW_COMM_BYTES + 2, /* quoted, each of its characters doubled */
	NAME_BYTES = 32 + COMM_CELL_BYTES,
	TID_BYTES = 16,
	ROW_BYTES = 320,
};
_Static_assert(NAME_BYTES + TID_BYTES + 90 <= ROW_BYTES, "a row has room for its cells");

/* What the rows of a thread have in common: ",PID,COMM," and ",TID,". */
struct cells {
	size_t name_length, tid_length;
	char name[NAME_BYTES];
	char tid[TID_BYTES];
};

/* The second of the last row: neighbours share it. */
struct second {
	uint64_t begin_ns; /* since the epoch */
	size_t length;
	char text[24];
};

static void make_cells(struct cells *cells, const struct call_task *task)
{
	size_t length = 0;

	cells->name[length++] = ',';
	length += str_u64(cells->name + length, task->tgid);
	cells->name[length++] = ',';
	length += str_csv(cells->name + length, task->comm);
	cells->name[length++] = ',';
	cells->name_length = length;
	length = 0;
	cells->tid[length++] = ',';
	length += str_u64(cells->tid + length, task->tid);
	cells->tid[length++] = ',';
	cells->tid_length = length;
}

static char *put(char *out, const void *bytes, size_t size)
{
	memcpy(out, bytes, size);
	return out + size;
}

static char *put_s64(char *out, int64_t value)
{
	if (value < 0)
		*out++ = '-';
	return out + str_u64(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

/* Seconds with six decimals, cut off: what comes later never has an earlier time. */
static char *put_ticks(char *out, struct second *second, uint64_t wall_ns)
{
	unsigned int us;

	if (wall_ns - second->begin_ns >= NS_PER_S) {
		second->begin_ns = wall_ns - wall_ns % NS_PER_S;
		second->length = str_u64(second->text, wall_ns / NS_PER_S);
		second->text[second->length++] = '.';
	}
	out = put(out, second->text, second->length);
	us = (unsigned int)(wall_ns - second->begin_ns) / 1000;
	for (int i = DECIMALS - 1; i >= 0; i--, us /= 10)
		out[i] = (char)('0' + us % 10);
	return out + DECIMALS;
}

static char *put_call(char *out, const struct call *call, const struct cells *cells)
{
	out = put(out, cells->name, cells->name_length);
	*out++ = call->leave ? '1' : '0';
	*out++ = ',';
	out = put_s64(out, (int32_t)call->number);
	*out++ = ',';
	if (!call->leave)
		out += str_u64(out, call->value);
	out = put(out, cells->tid, cells->tid_length);
	if (call->leave)
		out = put_s64(out, (int64_t)call->value);
	*out++ = ',';
	*out++ = call->compat ? '1' : '0';
	return out;
}

int csv_put_calls(struct output *output, const struct calls *calls)
{
	struct cells cells[CALLS_TASKS_MAX];
	struct second second = { 0 };
	int err = 0;

	for (size_t i = 0; i < calls->task_count; i++)
		make_cells(&cells[i], &calls->tasks[i]);
	for (size_t i = 0; !err && i < calls->count; i++) {
		const struct call *call = &calls->list[i];
		char *room, *end;

		if (!calls->tasks[call->task].selected)
			continue;
		room = output_room(output, ROW_BYTES);
		end = put_ticks(room, &second, call->time_ns + (uint64_t)calls->wall_offset_ns);
		end = put_call(end, call, &cells[call->task]);
		output_advance(output, (size_t)(end - room));
		err = output_line_end(output);
	}
	return err;
}
