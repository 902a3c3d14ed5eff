/* SPDX-License-Identifier: BSD-2-Clause */
#include "metric.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

static void every_row_is_complete(void **state)
{
	(void)state;
	for (int id = 0; id < METRIC_TOTAL; id++) {
		const struct metric *metric = &metrics[id];

		assert_true(strncmp(metric->name, "task_", 5) == 0);
		assert_true(strlen(metric->help) > 10);
		assert_int_equal(metric_find(metric->name, strlen(metric->name)), id);
		/* the bit sets of both sides of the kernel say the same as the table */
		assert_int_equal(metric_counter_bits >> id & 1, metric->kind == METRIC_COUNTER);
		assert_int_equal(metric_thread_bits >> id & 1, metric->scope == METRIC_THREAD);
	}
}

static void names_are_found_whole(void **state)
{
	(void)state;
	assert_int_equal(metric_find("task_on_cpu_ns", 14), M_task_on_cpu_ns);
	assert_int_equal(metric_find("task_on_cpu_ns,x", 14), M_task_on_cpu_ns);
	assert_int_equal(metric_find("task_on_cpu", 11), -ENOENT);
	assert_int_equal(metric_find("", 0), -ENOENT);
}

static void sets_are_parsed(void **state)
{
	char error[256];
	uint64_t set = 0;

	(void)state;
	assert_int_equal(metric_parse_set("all", &set, error, sizeof(error)), 0);
	assert_int_equal(set, METRIC_ALL_BITS);
	assert_int_equal(metric_parse_set("task_fd_count,task_state", &set, error, sizeof(error)), 0);
	assert_int_equal(set, METRIC_BIT(M_task_fd_count) | METRIC_BIT(M_task_state));
	assert_int_equal(metric_parse_set("free", &set, error, sizeof(error)), 0);
	for (int id = 0; id < METRIC_TOTAL; id++)
		assert_int_equal(set >> id & 1, metrics[id].cost == METRIC_FREE);
}

static void mistakes_are_told_with_a_suggestion(void **state)
{
	char error[256];
	uint64_t set = 77;

	(void)state;
	assert_int_equal(metric_parse_set("task_fd_cuont", &set, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "\"task_fd_cuont\""));
	assert_non_null(strstr(error, "did you mean task_fd_count?"));
	assert_int_equal(set, 77);
	assert_int_equal(metric_parse_set("task_state,,", &set, error, sizeof(error)), -EINVAL);
	assert_int_equal(metric_parse_set("", &set, error, sizeof(error)), -EINVAL);
	assert_string_equal(metric_suggest("fd_count"), "task_fd_count");
	assert_null(metric_suggest("completely_different"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_complete),
		cmocka_unit_test(names_are_found_whole),
		cmocka_unit_test(sets_are_parsed),
		cmocka_unit_test(mistakes_are_told_with_a_suggestion),
	};

	return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
