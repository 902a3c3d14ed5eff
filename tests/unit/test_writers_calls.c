/* SPDX-License-Identifier: BSD-2-Clause */
#include "writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "calls.h"
#include "files.h"
#include "modules.h"
#include "unit.h"

#define HEADER "Ticks,PID,COMM,ACTION,SYSCALL_ID,PARM1,TID,RET,COMPAT\n"
#define OFFSET 1795319700000000000LL

static const struct call_task tasks[] = {
	{ .tid = 4711, .tgid = 4711, .selected = true, .comm = "plain" },
	{ .tid = 4712, .tgid = 4711, .selected = true, .comm = "a, \"b\"" },
	{ .tid = 9, .tgid = 9, .selected = false, .comm = "other" },
};

static const struct call list[] = {
	{ .time_ns = 999999999, .number = 0, .value = UINT64_MAX },
	{ .time_ns = 1000000000, .task = 1, .number = 39, .leave = true, .value = 4710 },
	{ .time_ns = 1000000001, .task = 2, .number = 39 },
	{ .time_ns = 1000001999, .number = 0, .leave = true, .value = (uint64_t)-14 },
	{ .time_ns = 61000001000, .task = 1, .number = 20, .compat = true, .value = 4294967295 },
	{ .time_ns = 61000001000, .task = 1, .number = UINT32_MAX, .leave = true, .compat = true, .value = (uint64_t)INT64_MIN },
};

static const struct calls calls = { list, sizeof(list) / sizeof(list[0]), tasks, 3, OFFSET };

static void syscall_csv_has_its_bytes(void **state)
{
	struct writer *writer = writer_csv_new(directory, NULL, MODULE_BIT(MODULE_SYSCALL), 0, NULL);
	struct row row = { .tid = 4711, .tgid = 4711, .comm = "plain", .process_comm = "plain", .cgroup = "", .rules = "" };
	char text[4096];

	(void)state;
	assert_non_null(writer);
	assert_int_equal(writer->needs | writer->deltas, 0);
	assert_int_equal(writer->begin(writer), 0);
	assert_int_equal(writer->calls(writer, &calls), 0);
	assert_int_equal(writer->row(writer, &row), 0); /* a sample is no row here */
	row.ended = true;
	assert_int_equal(writer->row(writer, &row), 0);
	assert_int_equal(writer->end(writer, WRITER_DONE), 0);
	assert_string_equal(file_text("syscall.csv", text, sizeof(text)),
			    HEADER "1795319700.999999,4711,plain,0,0,18446744073709551615,4711,,0\n"
				   "1795319701.000000,4711,\"a, \"\"b\"\"\",1,39,,4712,4710,0\n"
				   "1795319701.000001,4711,plain,1,0,,4711,-14,0\n"
				   "1795319761.000001,4711,\"a, \"\"b\"\"\",0,20,4294967295,4712,,1\n"
				   "1795319761.000001,4711,\"a, \"\"b\"\"\",1,-1,,4712,-9223372036854775808,1\n"
				   "END,4711,plain,,,,4711,,\n");
}

static void other_modules_write_no_calls(void **state)
{
	struct writer *writer = writer_csv_new(directory, NULL, MODULE_BIT(MODULE_CPU), 0, NULL);
	char text[4096];

	(void)state;
	assert_int_equal(writer->begin(writer), 0);
	assert_int_equal(writer->calls(writer, &calls), 0);
	assert_int_equal(writer->end(writer, WRITER_DONE), 0);
	assert_null(strchr(strchr(file_text("cpu.csv", text, sizeof(text)), '\n'), ','));
}

/* Long names, and more rows than fit a buffer, of which each is whole. */
static void many_rows_arrive_whole(void **state)
{
	enum { ROUNDS = 7, ROWS = 4091 };
	static struct call many[ROWS];
	struct call_task task = { .tid = UINT32_MAX, .tgid = UINT32_MAX, .selected = true };
	struct calls batch = { many, ROWS, &task, 1, OFFSET };
	struct writer *writer = writer_csv_new(directory, NULL, MODULE_BIT(MODULE_SYSCALL), 0, NULL);
	char line[512];
	size_t rows = 0;
	FILE *stream;

	(void)state;
	memset(task.comm, '"', sizeof(task.comm) - 1);
	for (size_t i = 0; i < ROWS; i++)
		many[i] = (struct call){ .time_ns = UINT64_MAX / 2, .number = 0x80000000u, .value = UINT64_MAX, .compat = true };
	writer->begin(writer);
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(writer->calls(writer, &batch), 0);
	assert_int_equal(writer->end(writer, WRITER_DONE), 0);
	stream = fopen(path_of("syscall.csv"), "r");
	assert_non_null(stream);
	assert_non_null(fgets(line, sizeof(line), stream));
	for (; fgets(line, sizeof(line), stream); rows++)
		assert_true(strstr(line, ",0,-2147483648,18446744073709551615,4294967295,,1\n"));
	fclose(stream);
	assert_int_equal(rows, ROUNDS * ROWS);
}

static void json_calls_parse_back(void **state)
{
	static const struct {
		int tid, number;
		const char *action, *value;
		bool compat;
	} want[] = {
		{ 4711, 0, "enter", "\"parm1\":18446744073709551615", false },
		{ 4712, 39, "leave", "\"ret\":4710", false },
		{ 4711, 0, "leave", "\"ret\":-14", false },
		{ 4712, 20, "enter", "\"parm1\":4294967295", true },
		{ 4712, -1, "leave", "\"ret\":-9223372036854775808", true },
	};
	char text[4096], *line, *rest = text;
	struct writer *writer;
	size_t i = 0;

	(void)state;
	writer = writer_json_new(path_of("out.json"), MODULE_BIT(MODULE_SYSCALL), 0, NULL);
	assert_non_null(writer);
	writer->begin(writer);
	assert_int_equal(writer->calls(writer, &calls), 0);
	assert_int_equal(writer->end(writer, WRITER_DONE), 0);
	file_text("out.json", text, sizeof(text));
	for (; (line = strsep(&rest, "\n")) && *line; i++) {
		cJSON *object = cJSON_Parse(line);

		assert_non_null(object);
		assert_true(i < 5);
		assert_string_equal(cJSON_GetObjectItem(object, "type")->valuestring, "syscall");
		assert_string_equal(cJSON_GetObjectItem(object, "comm")->valuestring, want[i].tid == 4711 ? "plain" : "a, \"b\"");
		assert_int_equal(cJSON_GetObjectItem(object, "tid")->valueint, want[i].tid);
		assert_int_equal(cJSON_GetObjectItem(object, "tgid")->valueint, 4711);
		assert_int_equal(cJSON_GetObjectItem(object, "syscall")->valueint, want[i].number);
		assert_string_equal(cJSON_GetObjectItem(object, "action")->valuestring, want[i].action);
		assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItem(object, "compat")), want[i].compat);
		assert_non_null(strstr(line, want[i].value)); /* exact: no double has it */
		cJSON_Delete(object);
	}
	assert_int_equal(i, 5);
	assert_non_null(strstr(text, "\"time\":\"2026-11-22T03:55:00.999999999Z\""));
}

#define TEST(function) cmocka_unit_test_teardown(function, empty_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(syscall_csv_has_its_bytes),
		TEST(other_modules_write_no_calls),
		TEST(many_rows_arrive_whole),
		TEST(json_calls_parse_back),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
