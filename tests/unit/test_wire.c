/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "metric.h"
#include "unit.h"

/* A catalogue as a collector of the same version sends it. */
static void own_catalogue(struct wire_catalogue *catalogue)
{
	memset(catalogue, 0, sizeof(*catalogue));
	for (int id = 0; id < WIRE_METRIC_IDS; id++)
		catalogue->id_to_metric[id] = id < METRIC_TOTAL ? id : -1;
	for (int id = 0; id < METRIC_TOTAL; id++)
		catalogue->metric_to_id[id] = id;
}

/* Row `i`: every cell has a value of its own, and every third metric is absent in every second row. */
static struct task_record row(unsigned int i)
{
	struct task_record record = {
		.time_ns = 5000000000ULL + i * 7 - (i == 2 ? 100 : 0),
		.start_time_ns = 1000 + i,
		.tid = 100 + i,
		.tgid = 100,
		.ppid = 1,
		.uid = 4294967294u,
		.exit_status = i * 256,
		.flags = i % 2 ? RECORD_PROCESS_ENDED : 0,
	};

	snprintf(record.comm, sizeof(record.comm), "t%u", i % 5);
	memcpy(record.process_comm, "sixteen-bytes-xy", TASK_COMM_BYTES); /* no NUL */
	for (unsigned int id = 0; id < METRIC_TOTAL; id++) {
		record.value[id] = id == 0 ? UINT64_MAX : (uint64_t)i << id;
		if (i % 2 == 0 || id % 3 != 0)
			record.present |= METRIC_BIT(id);
	}
	return record;
}

static void check_row(const struct sample *sample, unsigned int i, uint64_t metric_set)
{
	const struct task_record want = row(i);
	char cgroup[32];

	snprintf(cgroup, sizeof(cgroup), "/slice/%u", i / 100);
	assert_int_equal(sample->time_ns, want.time_ns);
	assert_int_equal(sample->start_time_ns, want.start_time_ns);
	assert_int_equal(sample->tid, want.tid);
	assert_int_equal(sample->tgid, want.tgid);
	assert_int_equal(sample->ppid, want.ppid);
	assert_int_equal(sample->uid, want.uid);
	assert_int_equal(sample->comm.len, strlen(want.comm));
	assert_memory_equal(sample->comm.data, want.comm, sample->comm.len);
	assert_int_equal(sample->process_comm.len, TASK_COMM_BYTES);
	assert_memory_equal(sample->process_comm.data, want.process_comm, TASK_COMM_BYTES);
	assert_int_equal(sample->cgroup.len, strlen(cgroup));
	assert_memory_equal(sample->cgroup.data, cgroup, sample->cgroup.len);
	assert_int_equal(sample->present, want.present & metric_set);
	for (int id = 0; id < METRIC_TOTAL; id++)
		if (sample->present & METRIC_BIT(id))
			assert_int_equal(sample->value[id], want.value[id]);
}

struct round_trip {
	uint64_t set;
	unsigned int rows;
	bool ended;
};

static int check_frame(const Taskmon__Frame *message, void *context)
{
	const struct round_trip *trip = context;
	struct wire_catalogue catalogue;
	struct rows_reader reader;
	struct sample sample;
	unsigned int i = 0;

	own_catalogue(&catalogue);
	assert_int_equal(rows_reader_init(&reader, message->samples->rows, &catalogue), 0);
	for (; rows_reader_next(&reader, &sample); i++) {
		check_row(&sample, i, trip->set);
		assert_int_equal(sample.exit_status, trip->ended ? i * 256 : 0);
		assert_int_equal(sample.process_ended, trip->ended && i % 2);
	}
	assert_int_equal(i, trip->rows);
	return 0;
}

static void fill(struct rows_builder *builder, unsigned int rows)
{
	for (unsigned int i = 0; i < rows; i++) {
		struct task_record record = row(i);
		char cgroup[32];

		snprintf(cgroup, sizeof(cgroup), "/slice/%u", i / 100);
		assert_int_equal(rows_builder_add(builder, &record, cgroup, ""), 0);
	}
}

static void round_trip(uint64_t set, unsigned int rows, bool ended)
{
	struct round_trip trip = { set, rows, ended };
	struct rows_builder *builder = rows_builder_new(set, true, ended);
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Samples samples = TASKMON__SAMPLES__INIT;
	struct frame_reader reader;
	struct frame *frame;

	assert_non_null(builder);
	message.body_case = TASKMON__FRAME__BODY_SAMPLES;
	message.samples = &samples;
	frame_reader_init(&reader, WIRE_SERVER_FRAME_MAX);
	/* twice, since builders are reused */
	for (int turn = 0; turn < 2; turn++) {
		fill(builder, rows);
		samples.rows = rows_builder_message(builder);
		frame = frame_encode(&message);
		assert_true(frame->size <= WIRE_SERVER_FRAME_MAX);
		assert_int_equal(frame_reader_feed(&reader, frame->bytes, frame->size, check_frame, &trip), 0);
		frame_unref(frame);
		rows_builder_reset(builder);
	}
	frame_reader_free(&reader);
	rows_builder_free(builder);
}

static void rows_survive_the_wire(void **state)
{
	(void)state;
	round_trip(METRIC_ALL_BITS, 0, false);
	round_trip(METRIC_ALL_BITS, 1, false);
	round_trip(METRIC_ALL_BITS, 997, true);
	round_trip(METRIC_ALL_BITS, WIRE_ROWS_MAX, false);
	round_trip(METRIC_BIT(M_task_state) | METRIC_BIT(M_task_fd_count), 53, true);
	round_trip(0, 9, false);
}

static void a_full_builder_says_so(void **state)
{
	struct rows_builder *builder = rows_builder_new(METRIC_BIT(0), false, false);
	struct task_record record = row(1);

	(void)state;
	fill(builder, WIRE_ROWS_MAX);
	assert_int_equal(rows_builder_add(builder, &record, "/", ""), -ENOSPC);
	assert_int_equal(rows_builder_count(builder), WIRE_ROWS_MAX);
	rows_builder_free(builder);
}

static void long_strings_fill_a_frame_early(void **state)
{
	struct rows_builder *builder = rows_builder_new(METRIC_ALL_BITS, false, false);
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Samples samples = TASKMON__SAMPLES__INIT;
	char cgroup[WIRE_CGROUP_MAX + 1];
	struct frame *frame;
	unsigned int i;

	(void)state;
	memset(cgroup, 'c', sizeof(cgroup));
	cgroup[WIRE_CGROUP_MAX] = '\0';
	for (i = 0; i < WIRE_ROWS_MAX; i++) {
		struct task_record record = row(i);

		snprintf(cgroup, 8, "%07u", i);
		cgroup[7] = 'c';
		if (rows_builder_add(builder, &record, cgroup, "") == -ENOSPC)
			break;
	}
	assert_in_range(i, 50, WIRE_ROWS_MAX - 1);
	message.body_case = TASKMON__FRAME__BODY_SAMPLES;
	message.samples = &samples;
	samples.rows = rows_builder_message(builder);
	frame = frame_encode(&message);
	assert_true(frame->size <= WIRE_SERVER_FRAME_MAX);
	frame_unref(frame);
	rows_builder_free(builder);
}

/* What a neighbour has is found without looking far: not if it only begins alike. */
static void neighbours_with_like_names(void **state)
{
	static const char *const names[] = { "worker", "worker", "worker2",          "worker",
					     "work",   "",       "sixteen-bytes-xy", "sixteen-bytes-x" };
	struct rows_builder *builder = rows_builder_new(METRIC_BIT(0) | METRIC_BIT(1), true, false);
	Taskmon__Rows *rows;

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		struct task_record record = row(i);

		memset(record.comm, 0, sizeof(record.comm));
		memcpy(record.comm, names[i], strlen(names[i]));
		record.present = i == 3 ? 0 : METRIC_BIT(0) | METRIC_BIT(1);
		assert_int_equal(rows_builder_add(builder, &record, names[7 - i], names[i]), 0);
	}
	rows = rows_builder_message(builder);
	assert_int_equal(rows->n_strings, 6); /* the name of the process is among them */
	for (unsigned int i = 0; i < 8; i++) {
		const ProtobufCBinaryData *comm = &rows->strings[rows->comm[i]], *cgroup = &rows->strings[rows->cgroup[i]],
					  *rule = &rows->strings[rows->rules[i]];

		assert_int_equal(comm->len, strlen(names[i]));
		assert_memory_equal(comm->data, names[i], comm->len);
		assert_int_equal(cgroup->len, strlen(names[7 - i]));
		assert_memory_equal(cgroup->data, names[7 - i], cgroup->len);
		assert_int_equal(rule->len, strlen(names[i]));
	}
	assert_int_equal(rows->columns[1]->n_values, 7);
	assert_int_equal(rows->columns[1]->present.len, 1);
	assert_int_equal(rows->columns[1]->present.data[0], 0xf7);
	rows_builder_free(builder);
}

/* Bits behind the last row are 0. */
static void no_bits_behind_the_last_row(void **state)
{
	struct rows_builder *builder = rows_builder_new(METRIC_BIT(3), true, false);
	Taskmon__Rows *rows;

	(void)state;
	fill(builder, 11); /* it is absent from every second row */
	rows = rows_builder_message(builder);
	assert_int_equal(rows->columns[0]->present.len, 2);
	assert_int_equal(rows->columns[0]->present.data[0], 0x55);
	assert_int_equal(rows->columns[0]->present.data[1], 0x05);
	rows_builder_free(builder);
}

/* Each mutation makes the message contradict itself. */
static void drop_a_tid(Taskmon__Rows *rows)
{
	rows->n_tid--;
}
static void point_nowhere(Taskmon__Rows *rows)
{
	rows->comm[3] = (uint32_t)rows->n_strings;
}
static void drop_a_value(Taskmon__Rows *rows)
{
	rows->columns[0]->n_values--;
}
static void cut_a_bitmap(Taskmon__Rows *rows)
{
	rows->columns[0]->present.len--;
}
static void claim_more_rows(Taskmon__Rows *rows)
{
	rows->count++;
}
static void claim_too_many_rows(Taskmon__Rows *rows)
{
	rows->count = UINT32_MAX;
}
static void name_a_metric_twice(Taskmon__Rows *rows)
{
	rows->columns[1]->metric = rows->columns[0]->metric;
}

static void contradictions_are_found(void **state)
{
	void (*const mutations[])(Taskmon__Rows * rows) = { drop_a_tid,      point_nowhere,       drop_a_value,       cut_a_bitmap,
							    claim_more_rows, claim_too_many_rows, name_a_metric_twice };
	struct wire_catalogue catalogue;
	struct rows_reader reader;

	(void)state;
	own_catalogue(&catalogue);
	for (size_t i = 0; i < sizeof(mutations) / sizeof(mutations[0]); i++) {
		struct rows_builder *builder = rows_builder_new(METRIC_ALL_BITS, true, true);
		Taskmon__Rows *rows;

		fill(builder, 11);
		rows = rows_builder_message(builder);
		assert_int_equal(rows_reader_init(&reader, rows, &catalogue), 0);
		mutations[i](rows);
		assert_int_equal(rows_reader_init(&reader, rows, &catalogue), -EPROTO);
		rows_builder_free(builder);
	}
}

static void unknown_metrics_of_a_newer_collector_are_passed_over(void **state)
{
	Taskmon__Metric entries[2] = { TASKMON__METRIC__INIT, TASKMON__METRIC__INIT };
	Taskmon__Metric *list[] = { &entries[0], &entries[1] };
	Taskmon__Welcome welcome = TASKMON__WELCOME__INIT;
	struct wire_catalogue catalogue;

	(void)state;
	entries[0].id = 7;
	entries[0].name = "task_of_the_future";
	entries[1].id = 200;
	entries[1].name = "task_state";
	entries[1].unavailable = "why";
	welcome.metrics = list;
	welcome.n_metrics = 2;
	wire_read_catalogue(&welcome, &catalogue);
	assert_int_equal(catalogue.id_to_metric[7], -1);
	assert_int_equal(catalogue.id_to_metric[200], M_task_state);
	assert_int_equal(catalogue.metric_to_id[M_task_state], 200);
	assert_int_equal(catalogue.metric_to_id[M_task_fd_count], -1);
	assert_string_equal(catalogue.unavailable[M_task_state], "why");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_survive_the_wire),
		cmocka_unit_test(a_full_builder_says_so),
		cmocka_unit_test(long_strings_fill_a_frame_early),
		cmocka_unit_test(neighbours_with_like_names),
		cmocka_unit_test(no_bits_behind_the_last_row),
		cmocka_unit_test(contradictions_are_found),
		cmocka_unit_test(unknown_metrics_of_a_newer_collector_are_passed_over),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
