/* SPDX-License-Identifier: BSD-2-Clause */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "files.h"
#include "modules.h"
#include "output.h"
#include "table_format.h"
#include "unit.h"

#define MS 1000000ULL
#define WALL 1795319749711869123ULL
#define TASK MODULE_BIT(MODULE_TASK)
#define CPU MODULE_BIT(MODULE_CPU)
#define FEW_METRICS                                                                                         \
	(METRIC_BIT(M_task_minor_pagefault_count) | METRIC_BIT(M_task_vm_size) | METRIC_BIT(M_task_state) | \
	 METRIC_BIT(M_task_on_cpu_ns))

static uint64_t values[METRIC_TOTAL];

/* Process 4711 in a window of 250 ms, half of it on a CPU. */
static struct row full_row(void)
{
	struct row row = {
		.time_ns = 9000 * MS,
		.start_time_ns = 123456789,
		.wall_ns = WALL,
		.tick_wall_ns = WALL - 869123,
		.tid = 4711,
		.tgid = 4711,
		.ppid = 1,
		.uid = 1000,
		.comm = "plain",
		.process_comm = "plain",
		.rules = "",
		.cgroup = "/a.slice/b",
		.present = FEW_METRICS & ~METRIC_BIT(M_task_vm_size),
		.value = values,
		.window_ns = 250 * MS,
		.delta_present = METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_off_cpu_ns),
	};

	values[M_task_minor_pagefault_count] = UINT64_MAX;
	values[M_task_state] = 'S';
	values[M_task_on_cpu_ns] = 9007199254740993; /* 2^53 + 1: no double has it */
	row.delta[M_task_on_cpu_ns] = 125000500;
	row.delta[M_task_off_cpu_ns] = 124 * MS;
	return row;
}

static void write_row(struct writer *writer, struct row row)
{
	assert_int_equal(writer->row(writer, &row), 0);
}

static void cpu_csv_has_its_bytes(void **state)
{
	struct writer *writer = writer_csv_new(directory, NULL, CPU, FEW_METRICS, NULL);
	struct row row = full_row();

	(void)state;
	assert_non_null(writer);
	assert_int_equal(writer->needs, METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_off_cpu_ns));
	assert_int_equal(writer->deltas, METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_off_cpu_ns));
	assert_int_equal(writer->begin(writer), 0);
	check_file("cpu.csv", "Ticks,PID,COMM,ON CPU,OFF CPU,CPU%,TID\n");
	write_row(writer, row);
	row.tid = 4712;
	row.comm = "a, \"b\"";
	write_row(writer, row);
	assert_int_equal(writer->end(writer, WRITER_TICK), 0);
	check_file("cpu.csv", "Ticks,PID,COMM,ON CPU,OFF CPU,CPU%,TID\n"
			      "1795319749.711000,4711,plain,125.001,124.000,50.00,4711\n"
			      "1795319749.711000,4711,\"a, \"\"b\"\"\",125.001,124.000,50.00,4712\n");

	row.window_ns = 0; /* seen for the first time: no row, unless it is the last, too */
	write_row(writer, row);
	row.ended = true;
	row.comm = "x";
	write_row(writer, row);
	row.window_ns = 250 * MS;
	write_row(writer, row);
	assert_int_equal(writer->end(writer, WRITER_DONE), 0);
	check_file("cpu.csv", "Ticks,PID,COMM,ON CPU,OFF CPU,CPU%,TID\n"
			      "1795319749.711000,4711,plain,125.001,124.000,50.00,4711\n"
			      "1795319749.711000,4711,\"a, \"\"b\"\"\",125.001,124.000,50.00,4712\n"
			      "END,4711,x,,,,4712\n"
			      "END,4711,x,125.001,124.000,50.00,4712\n");
	assert_int_equal(access(path_of("task.csv"), F_OK), -1);
	assert_int_equal(access(path_of("event.csv"), F_OK), 0);
}

static void task_csv_has_its_bytes(void **state)
{
	struct writer *writer = writer_csv_new(directory, NULL, TASK, FEW_METRICS, NULL);
	struct row row = full_row();

	(void)state;
	assert_non_null(writer);
	assert_int_equal(writer->needs, FEW_METRICS);
	assert_int_equal(writer->deltas, 0);
	writer->begin(writer);
	row.window_ns = 0; /* counters are cumulative: no window needed */
	write_row(writer, row);
	assert_int_equal(writer->end(writer, WRITER_DONE), 0);
	check_file("task.csv",
		   "time,tid,tgid,ppid,comm,start_time,uid,cgroup,rules,task_minor_pagefault_count,task_vm_size,"
		   "task_state,task_on_cpu_ns\n"
		   "2026-11-22T03:55:49.711869123Z,4711,4711,1,plain,123456789,1000,/a.slice/b,,18446744073709551615,,S,"
		   "9007199254740993\n");
}

/* KB are 1024 bytes; a file may have a name of its own; rows without figures are those of threads. */
static void net_csv_has_its_bytes(void **state)
{
	char *files[MODULE_TOTAL] = { [MODULE_NET] = "traffic.csv" };
	struct writer *writer = writer_csv_new(directory, files, MODULE_BIT(MODULE_NET), 0, NULL);
	const uint64_t both = METRIC_BIT(M_task_link_rx_bytes) | METRIC_BIT(M_task_link_tx_bytes);
	struct row row = full_row();

	(void)state;
	assert_non_null(writer);
	assert_int_equal(writer->needs, both);
	assert_int_equal(writer->deltas, both);
	writer->begin(writer);
	write_row(writer, row); /* measured neither */
	row.present |= both;
	row.delta_present |= METRIC_BIT(M_task_link_rx_bytes) | METRIC_BIT(M_task_link_tx_bytes);
	row.delta[M_task_link_rx_bytes] = 1536;
	row.delta[M_task_link_tx_bytes] = 1;
	write_row(writer, row);
	row.delta[M_task_link_tx_bytes] = UINT64_MAX / 2;
	write_row(writer, row);
	row.ended = true;
	row.window_ns = 0;
	write_row(writer, row);
	writer->end(writer, WRITER_DONE);
	check_file("traffic.csv", "Ticks,PID,COMM,RX_KB,TX_KB\n"
				  "1795319749.711000,4711,plain,1.500,0.001\n"
				  "1795319749.711000,4711,plain,1.500,9007199254740991.999\n"
				  "END,4711,plain,,\n");
}

static void event_csv_has_its_bytes(void **state)
{
	struct writer *writer = writer_csv_new(directory, NULL, TASK, FEW_METRICS, NULL);
	const struct event event = {
		.name = "fork",
		.wall_ns = WALL,
		.tid = 12,
		.tgid = 12,
		.comm = "c,d",
		.detail = "by=7 (c,d)",
	};
	const struct loss loss = { "queue_samples", 123, WALL };
	const struct gap gap = { "gone", WALL, WALL - 1000 * MS };

	(void)state;
	writer->begin(writer);
	assert_int_equal(writer->event(writer, &event), 0);
	assert_int_equal(writer->loss(writer, &loss), 0);
	assert_int_equal(writer->gap(writer, &gap), 0);
	assert_int_equal(writer->end(writer, WRITER_DONE), 0);
	check_file("event.csv", "time,event,tid,tgid,comm,detail\n"
				"2026-11-22T03:55:49.711869123Z,fork,12,12,\"c,d\",\"by=7 (c,d)\"\n"
				"2026-11-22T03:55:49.711869123Z,loss,,,,queue_samples=123\n"
				"2026-11-22T03:55:49.711869123Z,gap,,,,since=2026-11-22T03:55:48.711869123Z (gone)\n");
}

static void old_outputs_stay_until_the_report_begins(void **state)
{
	struct writer *writer = writer_csv_new(directory, NULL, CPU, 0, NULL);
	int fd;

	(void)state;
	assert_non_null(writer);
	writer->end(writer, WRITER_DONE); /* never begun: nothing is left behind */
	assert_int_equal(access(path_of("cpu.csv"), F_OK), -1);

	fd = open(path_of("cpu.csv"), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "precious\n", 9), 9);
	close(fd);
	writer = writer_csv_new(directory, NULL, CPU, 0, NULL);
	writer->end(writer, WRITER_DONE);
	check_file("cpu.csv", "precious\n");
	writer = writer_csv_new(directory, NULL, CPU, 0, NULL);
	writer->begin(writer);
	writer->end(writer, WRITER_DONE);
	check_file("cpu.csv", "Ticks,PID,COMM,ON CPU,OFF CPU,CPU%,TID\n");
}

/* --- JSON */

static cJSON *last_json_line(void)
{
	char text[8192], *last;
	FILE *stream = fopen(path_of("out.json"), "r");
	size_t used;
	cJSON *object;

	assert_non_null(stream);
	used = fread(text, 1, sizeof(text) - 1, stream);
	fclose(stream);
	assert_true(used > 0 && text[used - 1] == '\n');
	text[used - 1] = '\0';
	last = strrchr(text, '\n');
	object = cJSON_Parse(last ? last + 1 : text);
	assert_non_null(object);
	return object;
}

static void check_string(const cJSON *object, const char *key, const char *want)
{
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(object, key)), want);
}

static void check_number(const cJSON *object, const char *key, double want)
{
	assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(object, key)) == want);
}

static void json_rows_parse_back(void **state)
{
	struct writer *writer = writer_json_new(path_of("out.json"), TASK | CPU, FEW_METRICS, NULL);
	struct row row = full_row();
	cJSON *object;

	(void)state;
	assert_non_null(writer);
	assert_int_equal(writer->needs, FEW_METRICS | METRIC_BIT(M_task_off_cpu_ns));
	writer->begin(writer);
	row.comm = "q\"b\\s\xe7\x9b\x91";
	write_row(writer, row);
	assert_int_equal(writer->end(writer, WRITER_TICK), 0);
	object = last_json_line();
	check_string(object, "type", "sample");
	check_string(object, "time", "2026-11-22T03:55:49.711869123Z");
	check_string(object, "tick", "2026-11-22T03:55:49.711000000Z");
	check_string(object, "comm", "q\"b\\s\xe7\x9b\x91");
	check_string(object, "cgroup", "/a.slice/b");
	check_string(object, "task_state", "S");
	check_number(object, "tid", 4711);
	check_number(object, "uid", 1000);
	check_number(object, "window_ns", 250e6);
	check_number(object, "task_cpu_percent", 50.0);
	assert_true(cJSON_IsArray(cJSON_GetObjectItem(object, "rules")));
	assert_false(cJSON_HasObjectItem(object, "task_vm_size")); /* absent is not zero */
	cJSON_Delete(object);

	row.ended = true;
	row.window_ns = 0;
	write_row(writer, row);
	assert_int_equal(writer->end(writer, WRITER_DONE), 0);
	object = last_json_line();
	check_string(object, "type", "end");
	assert_false(cJSON_HasObjectItem(object, "tick"));
	assert_false(cJSON_HasObjectItem(object, "window_ns"));
	assert_false(cJSON_HasObjectItem(object, "task_cpu_percent"));
	cJSON_Delete(object);
}

static void json_numbers_are_exact(void **state)
{
	struct writer *writer = writer_json_new(path_of("out.json"), TASK, METRIC_BIT(M_task_on_cpu_ns), NULL);

	(void)state;
	writer->begin(writer);
	write_row(writer, full_row());
	writer->end(writer, WRITER_DONE);
	check_file("out.json",
		   "{\"type\":\"sample\",\"time\":\"2026-11-22T03:55:49.711869123Z\","
		   "\"tick\":\"2026-11-22T03:55:49.711000000Z\",\"tid\":4711,\"tgid\":4711,\"ppid\":1,\"comm\":\"plain\","
		   "\"start_time\":123456789,\"uid\":1000,\"cgroup\":\"/a.slice/b\",\"rules\":[],\"window_ns\":250000000,"
		   "\"task_on_cpu_ns\":9007199254740993,\"task_cpu_percent\":50.00}\n");
}

static void json_events_and_losses_parse_back(void **state)
{
	struct writer *writer = writer_json_new(path_of("out.json"), TASK, FEW_METRICS, NULL);
	const struct event event = {
		.name = "exit",
		.wall_ns = WALL,
		.tid = 12,
		.tgid = 11,
		.comm = "c",
		.detail = "signal=11 core",
	};
	const struct loss loss = { "ring_full", UINT32_MAX, WALL };
	const struct gap gap = { "gone", WALL, WALL - 1000 * MS };
	cJSON *object;

	(void)state;
	writer->begin(writer);
	writer->event(writer, &event);
	writer->end(writer, WRITER_TICK);
	object = last_json_line();
	check_string(object, "type", "event");
	check_string(object, "event", "exit");
	check_string(object, "detail", "signal=11 core");
	check_number(object, "tgid", 11);
	cJSON_Delete(object);
	writer->gap(writer, &gap);
	writer->end(writer, WRITER_TICK);
	object = last_json_line();
	check_string(object, "type", "gap");
	check_string(object, "cause", "gone");
	check_string(object, "since", "2026-11-22T03:55:48.711869123Z");
	cJSON_Delete(object);
	writer->loss(writer, &loss);
	writer->end(writer, WRITER_DONE);
	object = last_json_line();
	check_string(object, "type", "loss");
	check_string(object, "cause", "ring_full");
	check_number(object, "count", UINT32_MAX);
	cJSON_Delete(object);
}

/* --- the table */

/* What the table writer prints on standard output goes into a file. */
static void capture_table(bool threads, unsigned int limit, void (*write)(struct writer *writer))
{
	int saved = dup(STDOUT_FILENO), fd = open(path_of("table"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	const struct table_options options = { .threads = threads, .sort = TABLE_SORT_CPU, .busy_only = limit };
	struct writer *writer = writer_table_new(&options);

	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	writer->begin(writer);
	write(writer);
	writer->end(writer, WRITER_DONE);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(fd);
}

static const struct alarm high_cpu = { "t", "task_cpu_percent", "99.50", "30", "12.25", NULL };
static const struct event alarm_event = {
	.name = "alarm",
	.wall_ns = WALL,
	.tid = 7,
	.tgid = 7,
	.comm = "x",
	.detail = "d",
	.alarm = &high_cpu,
};

static void json_alarms_have_their_figures(void **state)
{
	struct writer *writer = writer_json_new(path_of("out.json"), TASK, FEW_METRICS, NULL);
	cJSON *object;

	(void)state;
	writer->begin(writer);
	writer->event(writer, &alarm_event);
	writer->end(writer, WRITER_DONE);
	object = last_json_line();
	check_string(object, "event", "alarm");
	check_string(object, "threshold", "t");
	check_string(object, "metric", "task_cpu_percent");
	check_number(object, "value", 99.5);
	check_number(object, "baseline", 12.25);
	check_number(object, "limit", 30);
	assert_false(cJSON_HasObjectItem(object, "cause"));
	cJSON_Delete(object);
}

static void write_an_alarm(struct writer *writer)
{
	writer->event(writer, &alarm_event);
}

static void the_table_has_alarms_below_it(void **state)
{
	char text[1024];
	FILE *stream;

	(void)state;
	capture_table(false, 0, write_an_alarm);
	stream = fopen(path_of("table"), "r");
	text[fread(text, 1, sizeof(text) - 1, stream)] = '\0';
	fclose(stream);
	assert_non_null(strstr(text, "\nalarm: 7 x: task_cpu_percent 99.50, limit 30, normal 12.25 (t)\n"));
}

static void write_three_rows(struct writer *writer)
{
	struct row row = full_row();
	const struct loss loss = { "queue_samples", 5, WALL };

	row.uid = 4294967294u - 5; /* nobody's */
	row.present |= METRIC_BIT(M_task_pm_size) | METRIC_BIT(M_task_thread_count);
	values[M_task_pm_size] = 1500000;
	values[M_task_thread_count] = 3;
	row.delta_present |= METRIC_BIT(M_task_read_bytes);
	row.delta[M_task_read_bytes] = 256; /* in 250 ms */
	row.comm = "slow";
	row.delta[M_task_on_cpu_ns] = MS;
	write_row(writer, row);
	row.comm = "fast";
	row.delta[M_task_on_cpu_ns] = 250 * MS;
	write_row(writer, row);
	row.comm = "gone";
	row.ended = true;
	row.window_ns = 0;
	write_row(writer, row);
	writer->loss(writer, &loss);
	writer->end(writer, WRITER_TICK);
}

static void the_table_is_sorted_and_says_what_it_left_out(void **state)
{
	char text[2048], *line, *rest = text;
	FILE *stream;

	(void)state;
	setenv("TZ", "UTC", 1);
	capture_table(false, 0, write_three_rows);
	check_file("table", "03:55:49  3 processes, 100.4% CPU\n"
			    "    PID USER       S   CPU%   RSS  THR READ/s WRIT/s COMM\n"
			    "   4711 4294967289 S  100.0  1.4M    3   1.0K      - fast\n"
			    "   4711 4294967289 S    0.4  1.4M    3   1.0K      - slow\n"
			    "   4711 4294967289 X      -  1.4M    3      -      - gone\n"
			    "lost: queue_samples=5\n"
			    "\n");
	capture_table(true, 1, write_three_rows);
	stream = fopen(path_of("table"), "r");
	text[fread(text, 1, sizeof(text) - 1, stream)] = '\0';
	fclose(stream);
	assert_non_null(strstr(text, "3 threads"));
	assert_non_null(strstr(text, "fast\n… and 2 more"));
	while ((line = strsep(&rest, "\n")))
		assert_true(strlen(line) <= 80);
}

static void write_alarms(struct writer *writer)
{
	struct event event = { .name = "alarm", .tid = 4711, .tgid = 4711, .start_time_ns = 123456789, .comm = "calm" };
	struct row row = full_row();

	row.uid = 4294967294u - 5;
	row.comm = "calm";
	write_row(writer, row);
	assert_int_equal(writer->event(writer, &event), 0); /* set off by that row */
	writer->end(writer, WRITER_TICK);
	event.name = "clear";
	write_row(writer, row);
	assert_int_equal(writer->event(writer, &event), 0);
	writer->end(writer, WRITER_TICK);
}

static void alarms_are_marked_in_the_table(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	capture_table(false, 0, write_alarms);
	check_file("table", "03:55:49  1 process, 50.0% CPU\n"
			    "    PID USER       S   CPU%   RSS  THR READ/s WRIT/s COMM\n"
			    "   4711 4294967289 S   50.0     -    -      -      - ! calm\n"
			    "\n"
			    "03:55:49  1 process, 50.0% CPU\n"
			    "    PID USER       S   CPU%   RSS  THR READ/s WRIT/s COMM\n"
			    "   4711 4294967289 S   50.0     -    -      -      - calm\n"
			    "\n");
}

/* --- outputs that fail */

static void a_full_disk_is_an_error(void **state)
{
	struct output *output = output_open("/dev/full", NULL, NULL);

	(void)state;
	assert_non_null(output);
	assert_int_equal(output_begin(output), 0);
	output_text(output, "text");
	assert_int_equal(output_line_end(output), 0);
	assert_int_equal(output_flush(output), -ENOSPC);
	output_text(output, "more");
	assert_int_equal(output_line_end(output), -ENOSPC);
	assert_int_equal(output_close(output), -ENOSPC);
}

static void unwritable_places_are_refused(void **state)
{
	(void)state;
	assert_null(writer_csv_new("/dev/null/out", NULL, CPU, 0, NULL));
	assert_null(writer_csv_new("/proc", NULL, CPU, 0, NULL));
	assert_null(writer_csv_new(path_of("no/such"), NULL, CPU, 0, NULL)); /* one level is created, not two */
	assert_null(writer_json_new(directory, TASK, 0, NULL));
}

static void long_outputs_arrive_whole(void **state)
{
	struct output *output = output_open(path_of("long"), NULL, NULL);
	enum { LINES = 100000 };
	unsigned int expected = 0, number;
	FILE *stream;

	(void)state;
	output_begin(output);
	for (unsigned int i = 0; i < LINES; i++) {
		output_text(output, "line number ");
		output_u64(output, i);
		assert_int_equal(output_line_end(output), 0);
	}
	assert_int_equal(output_close(output), 0);
	stream = fopen(path_of("long"), "r");
	while (fscanf(stream, "line number %u\n", &number) == 1)
		assert_int_equal(number, expected++);
	fclose(stream);
	assert_int_equal(expected, LINES);
}

#define TEST(function) cmocka_unit_test_teardown(function, empty_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cpu_csv_has_its_bytes),
		TEST(task_csv_has_its_bytes),
		TEST(net_csv_has_its_bytes),
		TEST(event_csv_has_its_bytes),
		TEST(old_outputs_stay_until_the_report_begins),
		TEST(json_rows_parse_back),
		TEST(json_numbers_are_exact),
		TEST(json_events_and_losses_parse_back),
		TEST(json_alarms_have_their_figures),
		TEST(the_table_has_alarms_below_it),
		TEST(the_table_is_sorted_and_says_what_it_left_out),
		TEST(alarms_are_marked_in_the_table),
		TEST(a_full_disk_is_an_error),
		TEST(unwritable_places_are_refused),
		TEST(long_outputs_arrive_whole),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
