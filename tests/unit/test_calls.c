/* SPDX-License-Identifier: BSD-2-Clause */
#include "calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "unit.h"
#include "wire.h"

/* Call `i` of threads that take turns; values and numbers of all sizes. */
static struct syscall_record record(unsigned int i, unsigned int threads)
{
	static const uint64_t values[] = {
		0, 1, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX, (uint64_t)-4095, 1ULL << 63, 0x7ffdeadbeef0
	};
	static const uint32_t numbers[] = { 0, 39, 511, UINT32_MAX, 0x40000000u + 513 };
	struct syscall_record record = {
		.value = values[i % 8],
		.tid = 4190000 + i % threads,
		.tgid = 4190000 + i % threads / 3,
		.number = numbers[i % 5],
		.flags = i % 4,
	};

	record.time_ns = 77000000000ULL + (uint64_t)i * i; /* never back */
	if (i % threads % 2)
		memcpy(record.comm, "sixteen-bytes-xy", TASK_COMM_BYTES); /* no NUL */
	else
		snprintf(record.comm, sizeof(record.comm), "t%u", i % threads);
	return record;
}

struct trip {
	unsigned int calls, threads;
};

static struct call read_back[CALLS_MAX];

static int check_frame(const Taskmon__Frame *message, void *context)
{
	const struct trip *trip = context;
	const Taskmon__Syscalls *syscalls = message->syscalls;

	assert_int_equal(calls_read(syscalls, read_back), trip->calls);
	assert_int_equal(syscalls->n_tid, trip->calls < trip->threads ? trip->calls : trip->threads);
	for (unsigned int i = 0; i < trip->calls; i++) {
		const struct syscall_record want = record(i, trip->threads);
		const struct call *call = &read_back[i];

		assert_int_equal(call->time_ns, want.time_ns);
		assert_int_equal(call->value, want.value);
		assert_int_equal(call->number, want.number);
		assert_int_equal(call->leave, !!(want.flags & SYSCALL_LEAVE));
		assert_int_equal(call->compat, !!(want.flags & SYSCALL_COMPAT));
		assert_int_equal(syscalls->tid[call->task], want.tid);
		assert_int_equal(syscalls->tgid[call->task], want.tgid);
		assert_int_equal(syscalls->comm[call->task].len, strnlen(want.comm, TASK_COMM_BYTES));
		assert_memory_equal(syscalls->comm[call->task].data, want.comm, syscalls->comm[call->task].len);
	}
	return 0;
}

static void round_trip(unsigned int calls, unsigned int threads)
{
	struct trip trip = { calls, threads };
	struct calls_builder *builder = calls_builder_new();
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	struct frame_reader reader;

	assert_non_null(builder);
	frame_reader_init(&reader, WIRE_SERVER_FRAME_MAX);
	message.body_case = TASKMON__FRAME__BODY_SYSCALLS;
	for (int turn = 0; turn < 2; turn++) { /* builders are reused */
		struct frame *frame;

		for (unsigned int i = 0; i < calls; i++) {
			struct syscall_record call = record(i, threads);

			assert_int_equal(calls_builder_add(builder, &call), 0);
		}
		assert_int_equal(calls_builder_count(builder), calls);
		message.syscalls = calls_builder_message(builder);
		frame = frame_encode(&message);
		assert_int_equal(frame_reader_feed(&reader, frame->bytes, frame->size, check_frame, &trip), 0);
		frame_unref(frame);
		calls_builder_reset(builder);
	}
	frame_reader_free(&reader);
	calls_builder_free(builder);
}

static void calls_survive_the_wire(void **state)
{
	(void)state;
	round_trip(0, 1);
	round_trip(1, 1);
	round_trip(997, 1);
	round_trip(CALLS_MAX, 3);
	round_trip(CALLS_MAX, CALLS_TASKS_MAX);
}

static void a_full_builder_says_so(void **state)
{
	struct calls_builder *builder = calls_builder_new();
	struct syscall_record call = { .tid = 1 };

	(void)state;
	for (unsigned int i = 0; i < CALLS_MAX; i++)
		assert_int_equal(calls_builder_add(builder, &call), 0);
	assert_int_equal(calls_builder_add(builder, &call), -ENOSPC);
	calls_builder_reset(builder);
	for (call.tid = 0; call.tid < CALLS_TASKS_MAX; call.tid++)
		assert_int_equal(calls_builder_add(builder, &call), 0);
	assert_int_equal(calls_builder_add(builder, &call), -ENOSPC);
	assert_int_equal(calls_builder_count(builder), CALLS_TASKS_MAX);
	call.tid = 5;
	assert_int_equal(calls_builder_add(builder, &call), 0);
	calls_builder_free(builder);
}

static void a_thread_with_a_new_name_is_told_again(void **state)
{
	struct calls_builder *builder = calls_builder_new();
	struct syscall_record call = { .tid = 7, .tgid = 7, .comm = "before" };
	const Taskmon__Syscalls *message;

	(void)state;
	calls_builder_add(builder, &call);
	strcpy(call.comm, "after");
	calls_builder_add(builder, &call);
	strcpy(call.comm, "before");
	calls_builder_add(builder, &call);
	message = calls_builder_message(builder);
	assert_int_equal(message->n_tid, 2);
	assert_int_equal(message->task[1], 1);
	assert_int_equal(message->task[2], 0);
	assert_memory_equal(message->comm[1].data, "after", 5);
	calls_builder_free(builder);
}

static void contradictions_are_found(void **state)
{
	static uint32_t tid[CALLS_TASKS_MAX + 1], task[CALLS_MAX + 1];
	static uint64_t time[CALLS_MAX + 1], call[CALLS_MAX + 1];
	static int64_t value[CALLS_MAX + 1];
	static ProtobufCBinaryData comm[CALLS_TASKS_MAX + 1];
	Taskmon__Syscalls good = TASKMON__SYSCALLS__INIT, bad;

	(void)state;
	good.tid = good.tgid = tid, good.n_tid = good.n_tgid = 1;
	good.comm = comm, good.n_comm = 1;
	good.task = task, good.time = time, good.call = call, good.value = value;
	good.n_task = good.n_time = good.n_call = good.n_value = 2;
	assert_int_equal(calls_read(&good, read_back), 2);
#define REFUSED(change)                                                 \
	do {                                                            \
		bad = good;                                             \
		change;                                                 \
		assert_int_equal(calls_read(&bad, read_back), -EPROTO); \
	} while (0)
	REFUSED(bad.n_task = 1);
	REFUSED(bad.n_time = 3);
	REFUSED(bad.n_call = 0);
	REFUSED(bad.n_value = 1);
	REFUSED(bad.n_tgid = 0);
	REFUSED(bad.n_comm = 2);
	REFUSED(bad.n_tid = bad.n_tgid = bad.n_comm = 0);
	REFUSED(bad.n_tid = bad.n_tgid = bad.n_comm = CALLS_TASKS_MAX + 1);
	REFUSED(bad.n_task = bad.n_time = bad.n_call = bad.n_value = CALLS_MAX + 1);
	task[1] = 1;
	REFUSED((void)bad);
	task[1] = 0;
	call[1] = 4ULL << 32;
	REFUSED((void)bad);
	call[1] = (4ULL << 32) - 1;
	assert_int_equal(calls_read(&good, read_back), 2);
	assert_int_equal(read_back[1].number, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_survive_the_wire),
		cmocka_unit_test(a_full_builder_says_so),
		cmocka_unit_test(a_thread_with_a_new_name_is_told_again),
		cmocka_unit_test(contradictions_are_found),
	};

	return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
