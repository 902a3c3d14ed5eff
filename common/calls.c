/* SPDX-License-Identifier: BSD-2-Clause */
#include "calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	TASK_SLOTS = 4096, /* power of two, more than twice CALLS_TASKS_MAX */
	CALL_LEAVE = 1,    /* bits of a call; its number is above them */
	CALL_COMPAT = 2,
	CALL_NUMBER_SHIFT = 2,
};
_Static_assert((int)CALL_LEAVE == (int)SYSCALL_LEAVE && (int)CALL_COMPAT == (int)SYSCALL_COMPAT,
	       "flags go to the wire as they are");

struct calls_builder {
	Taskmon__Syscalls message;
	uint64_t last_ns;
	uint32_t last_task;
	size_t task_count;
	uint16_t slot[TASK_SLOTS]; /* index + 1; 0: free */
	uint32_t tid[CALLS_TASKS_MAX], tgid[CALLS_TASKS_MAX];
	char comm[CALLS_TASKS_MAX][TASK_COMM_BYTES];
	ProtobufCBinaryData comms[CALLS_TASKS_MAX];
	size_t count;
	uint32_t task[CALLS_MAX];
	uint64_t time[CALLS_MAX];
	uint64_t call[CALLS_MAX];
	int64_t value[CALLS_MAX];
};

struct calls_builder *calls_builder_new(void)
{
	struct calls_builder *builder = malloc(sizeof(*builder));

	if (builder)
		calls_builder_reset(builder);
	return builder;
}

void calls_builder_free(struct calls_builder *builder)
{
	free(builder);
}

void calls_builder_reset(struct calls_builder *builder)
{
	memset(builder->slot, 0, sizeof(builder->slot));
	builder->task_count = builder->count = 0;
	builder->last_task = 0;
}

size_t calls_builder_count(const struct calls_builder *builder)
{
	return builder->count;
}

static bool is_task(const struct calls_builder *builder, size_t task, const struct syscall_record *record)
{
	return builder->tid[task] == record->tid && builder->tgid[task] == record->tgid &&
	       memcmp(builder->comm[task], record->comm, TASK_COMM_BYTES) == 0;
}

static int add_task(struct calls_builder *builder, const struct syscall_record *record)
{
	size_t task = builder->task_count;

	if (task == CALLS_TASKS_MAX)
		return -ENOSPC;
	builder->tid[task] = record->tid;
	builder->tgid[task] = record->tgid;
	memcpy(builder->comm[task], record->comm, TASK_COMM_BYTES);
	builder->comms[task].data = (uint8_t *)builder->comm[task];
	builder->comms[task].len = strnlen(record->comm, TASK_COMM_BYTES);
	return (int)builder->task_count++;
}

/* Its index among the threads of the frame: a thread that has got another name is another one. */
static int find_task(struct calls_builder *builder, const struct syscall_record *record)
{
	size_t at = record->tid % TASK_SLOTS;
	int task;

	for (; builder->slot[at]; at = (at + 1) % TASK_SLOTS)
		if (is_task(builder, builder->slot[at] - 1u, record))
			return builder->slot[at] - 1;
	task = add_task(builder, record);
	if (task >= 0)
		builder->slot[at] = (uint16_t)(task + 1);
	return task;
}

int calls_builder_add(struct calls_builder *builder, const struct syscall_record *record)
{
	size_t row = builder->count;
	int task = (int)builder->last_task;

	if (row == CALLS_MAX)
		return -ENOSPC;
	if (row == 0)
		builder->message.base_ns = builder->last_ns = record->time_ns;
	if (!builder->task_count || !is_task(builder, builder->last_task, record))
		task = find_task(builder, record);
	if (task < 0)
		return task;
	builder->last_task = (uint32_t)task;
	builder->task[row] = (uint32_t)task;
	builder->time[row] = record->time_ns - builder->last_ns;
	builder->call[row] = (uint64_t)record->number << CALL_NUMBER_SHIFT | record->flags;
	builder->value[row] = (int64_t)record->value;
	builder->last_ns = record->time_ns;
	builder->count++;
	return 0;
}

Taskmon__Syscalls *calls_builder_message(struct calls_builder *builder)
{
	Taskmon__Syscalls *message = &builder->message;
	uint64_t base_ns = message->base_ns;

	taskmon__syscalls__init(message);
	message->base_ns = base_ns;
#define SET_COLUMN(name, from, count) (message->name = builder->from, message->n_##name = (count))
	SET_COLUMN(tid, tid, builder->task_count);
	SET_COLUMN(tgid, tgid, builder->task_count);
	SET_COLUMN(comm, comms, builder->task_count);
	SET_COLUMN(task, task, builder->count);
	SET_COLUMN(time, time, builder->count);
	SET_COLUMN(call, call, builder->count);
	SET_COLUMN(value, value, builder->count);
#undef SET_COLUMN
	return message;
}

int calls_read(const Taskmon__Syscalls *message, struct call *calls)
{
	size_t count = message->n_task, tasks = message->n_tid;
	uint64_t time_ns = message->base_ns;

	if (count > CALLS_MAX || tasks > CALLS_TASKS_MAX || message->n_time != count || message->n_call != count ||
	    message->n_value != count || message->n_tgid != tasks || message->n_comm != tasks)
		return -EPROTO;
	for (size_t i = 0; i < count; i++) {
		uint64_t call = message->call[i];

		if (message->task[i] >= tasks || call >> CALL_NUMBER_SHIFT > UINT32_MAX)
			return -EPROTO;
		time_ns += message->time[i];
		calls[i] = (struct call){
			.time_ns = time_ns,
			.value = (uint64_t)message->value[i],
			.number = (uint32_t)(call >> CALL_NUMBER_SHIFT),
			.task = message->task[i],
			.leave = call & CALL_LEAVE,
			.compat = call & CALL_COMPAT,
		};
	}
	return (int)count;
}
