/* SPDX-License-Identifier: BSD-2-Clause */
#include "table_format.h"

#include <stdlib.h>
#include <string.h>

#include "people.h"
#include "table_alarms.h"
#include "terminal.h"
#include "text_width.h"
#include "unit.h"

#define NS_PER_S 1000000000ULL
#define CJK "\xe4\xb8\xad\xe6\x96\x87" /* two characters of two columns each */

static uint64_t values[METRIC_TOTAL];

/* Half of a CPU within two seconds. */
static struct table_row row_of(unsigned int sort, const char *comm)
{
	struct row row = {
		.tid = 4712,
		.tgid = 4711,
		.comm = comm,
		.rules = "",
		.cgroup = "/system.slice/some.service",
		.value = values,
		.window_ns = 2 * NS_PER_S,
		.present = METRIC_ALL_BITS & ~METRIC_BIT(M_task_vm_size),
		.delta_present =
			METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_read_bytes) | METRIC_BIT(M_task_voluntary_switch_count),
	};
	struct table_row out;

	values[M_task_state] = 'R';
	values[M_task_pm_size] = 23 << 20;
	values[M_task_thread_count] = 7;
	values[M_task_run_delay_max] = 1400000;
	row.delta[M_task_on_cpu_ns] = NS_PER_S;
	row.delta[M_task_read_bytes] = 2000;
	row.delta[M_task_voluntary_switch_count] = 300000;
	table_read_row(&row, sort, &out);
	return out;
}

static struct table_layout layout_of(unsigned int width, unsigned int sort, bool threads)
{
	struct table_layout layout = { .width = width, .sort = sort, .threads = threads };

	table_layout_fit(&layout);
	return layout;
}

static void check_line(unsigned int width, unsigned int sort, bool threads, const char *header, const char *line)
{
	struct table_layout layout = layout_of(width, sort, threads);
	struct table_row row = row_of(sort, "worker");
	char text[TABLE_LINE_BYTES];

	table_format_header(&layout, text, sizeof(text));
	assert_string_equal(text, header);
	table_format_row(&layout, &row, "postgres-admin", text, sizeof(text));
	assert_string_equal(text, line);
}

static void columns_fit_the_screen(void **state)
{
	(void)state;
	check_line(80, TABLE_SORT_CPU, false, "    PID USER       S   CPU%   RSS  THR READ/s WRIT/s COMM",
		   "   4711 postgres-… R   50.0   23M    7   1000      - worker");
	check_line(80, TABLE_SORT_CPU, true, "    PID     TID USER       S   CPU%   RSS  THR READ/s WRIT/s COMM",
		   "   4711    4712 postgres-… R   50.0   23M    7   1000      - worker");
	check_line(0, TABLE_SORT_CPU, false, "    PID USER       S   CPU%   RSS  THR READ/s WRIT/s COMM",
		   "   4711 postgres-… R   50.0   23M    7   1000      - worker");
	check_line(40, TABLE_SORT_CPU, false, "    PID S   CPU%   RSS  THR COMM", "   4711 R   50.0   23M    7 worker");
	check_line(21, TABLE_SORT_CPU, false, "    PID COMM", "   4711 worker");
	check_line(5, TABLE_SORT_CPU, false, "COMM", "work…");
	check_line(140, TABLE_SORT_CPU, false,
		   "    PID USER       S   CPU%   RSS  THR READ/s WRIT/s DELAY%  CSW/s  FLT/s COMM               CGROUP",
		   "   4711 postgres-… R   50.0   23M    7   1000      -      -   150K      - worker             "
		   "/system.slice/some.service");
}

static void the_metric_of_sort_has_a_column(void **state)
{
	(void)state;
	assert_true(table_needs(M_task_run_delay_max) & METRIC_BIT(M_task_run_delay_max));
	assert_false(table_deltas(M_task_run_delay_max) & METRIC_BIT(M_task_run_delay_max));
	assert_true(table_deltas(M_task_syscr_count) & METRIC_BIT(M_task_syscr_count));
	check_line(70, M_task_run_delay_max, false, "    PID USER       S   CPU% RUN_DELAY_MAX   RSS  THR COMM",
		   "   4711 postgres-… R   50.0         1.4ms   23M    7 worker");
	check_line(60, M_task_pm_size, false, "    PID USER       S   CPU%   RSS  THR READ/s COMM",
		   "   4711 postgres-… R   50.0   23M    7   1000 worker");
	check_line(60, M_task_vm_size, false, "    PID USER       S   CPU% VM_SIZE   RSS  THR COMM",
		   "   4711 postgres-… R   50.0       -   23M    7 worker"); /* absent is not zero */
	/* also one that only wide screens have otherwise */
	check_line(60, M_task_voluntary_switch_count, false, "    PID USER       S   CPU%   RSS  THR  CSW/s COMM",
		   "   4711 postgres-… R   50.0   23M    7   150K worker");
}

/* A CPU for 10 ms of a second is 1 %. */
static void figures_are_of_the_whole_interval(void **state)
{
	struct table_row row = row_of(M_task_fd_count, "short");

	(void)state;
	assert_int_equal(row.figure[FIGURE_CPU], 5000); /* of 2 s */
	table_level_row(&row, M_task_fd_count, 2 * NS_PER_S);
	assert_int_equal(row.figure[FIGURE_CPU], 5000);
	table_level_row(&row, M_task_fd_count, NS_PER_S); /* it is of a longer time already */
	assert_int_equal(row.figure[FIGURE_CPU], 5000);
	table_level_row(&row, M_task_fd_count, 100 * NS_PER_S);
	assert_int_equal(row.figure[FIGURE_CPU], 100);
	assert_int_equal(row.figure[FIGURE_READ], 20);
	assert_int_equal(row.figure[FIGURE_RSS], 23 << 20);
	assert_int_equal(row.figure[FIGURE_THREADS], 7);
}

/* Whatever the width and the name, no line is wider than the screen. */
static void no_line_wraps(void **state)
{
	static const char *const names[] = { "x", "a name of 15 b.", CJK CJK CJK CJK CJK,
					     "e\xcc\x81"
					     "e\xcc\x81",
					     "" };
	char text[TABLE_LINE_BYTES];

	(void)state;
	for (unsigned int width = 1; width < 250; width++) {
		for (size_t i = 0; i < 2 * sizeof(names) / sizeof(names[0]); i++) {
			unsigned int sort = i % 3 == 0 ? TABLE_SORT_CPU :
					    i % 3 == 1 ? M_task_involuntary_switch_count :
							 M_task_fd_count;
			struct table_layout layout = layout_of(width, sort, i % 2);
			struct table_row row = row_of(sort, names[i / 2]);

			row.alarm = i % 4 == 0;
			table_format_header(&layout, text, sizeof(text));
			assert_true(text_width(text) <= width);
			table_format_row(&layout, &row, CJK CJK CJK, text, sizeof(text));
			assert_true(text_width(text) <= width);
		}
	}
}

static void text_is_cut_at_columns(void **state)
{
	char out[64];

	(void)state;
	assert_int_equal(text_fit(out, sizeof(out), "abc", 5, true), 5);
	assert_string_equal(out, "abc  ");
	assert_int_equal(text_fit(out, sizeof(out), "abcdef", 5, true), 5);
	assert_string_equal(out, "abcd…");
	assert_int_equal(text_fit(out, sizeof(out), CJK CJK, 8, false), 8);
	assert_string_equal(out, CJK CJK);
	assert_int_equal(text_fit(out, sizeof(out), CJK CJK, 7, true), 7);
	assert_string_equal(out, "\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad…");
	assert_int_equal(text_fit(out, sizeof(out), CJK, 2, true), 2);
	assert_string_equal(out, "… ");
	assert_int_equal(text_fit(out, sizeof(out), "abc", 0, true), 0);
	assert_string_equal(out, "");
	assert_int_equal(text_width("e\xcc\x81"), 1); /* an accent takes none */
}

static void most_comes_first_and_unknown_last(void **state)
{
	unsigned int sort = M_task_pm_size;
	struct table_row rows[3] = { row_of(sort, "small"), row_of(sort, "unknown"), row_of(sort, "large") };

	(void)state;
	rows[0].figure[FIGURE_RSS] = 1;
	rows[1].present &= ~(1u << FIGURE_RSS);
	qsort_r(rows, 3, sizeof(rows[0]), table_compare, &sort);
	assert_string_equal(rows[0].comm, "large");
	assert_string_equal(rows[1].comm, "small");
	assert_string_equal(rows[2].comm, "unknown");
	sort = TABLE_SORT_CPU;
	rows[0].tid = 2;
	rows[1].tid = 1;
	rows[1].figure[FIGURE_RSS] = rows[0].figure[FIGURE_RSS];
	assert_true(table_compare(&rows[0], &rows[1], &sort) > 0); /* equal in all: by number */
}

static void figures_are_short(void **state)
{
	static const struct {
		const char *(*format)(char out[PEOPLE_BYTES_ROOM], uint64_t value);
		uint64_t value;
		const char *want;
	} cases[] = {
		{ people_count, 0, "0" },
		{ people_count, 99999, "99999" },
		{ people_count, 100000, "100K" },
		{ people_count, 1234567, "1.2M" },
		{ people_count, 99999999, "99M" },
		{ people_count, UINT64_MAX, "18446P" },
		{ people_ns, 0, "0" },
		{ people_ns, 812, "812ns" },
		{ people_ns, 1400, "1.4us" },
		{ people_ns, 23000000, "23ms" },
		{ people_ns, 9900000000, "9.9s" },
		{ people_ns, 99000000000, "99s" },
		{ people_ns, 120000000000, "2m" },
		{ people_ns, 360000000000000, "100h" },
	};
	char out[PEOPLE_BYTES_ROOM];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(cases[i].format(out, cases[i].value), cases[i].want);
}

static void alarms_are_counted_by_task(void **state)
{
	struct table_alarms *alarms = NULL;
	struct event alarm = { .name = "alarm", .tid = 7, .start_time_ns = 100 };
	struct event clear = { .name = "clear", .tid = 7, .start_time_ns = 100 };
	struct event other = { .name = "fork", .tid = 8, .start_time_ns = 100 };

	(void)state;
	table_alarms_event(&alarms, &clear); /* of an alarm that was never raised */
	table_alarms_event(&alarms, &other);
	assert_int_equal(table_alarms_count(alarms), 0);
	table_alarms_event(&alarms, &alarm); /* of two metrics */
	table_alarms_event(&alarms, &alarm);
	assert_int_equal(table_alarms_count(alarms), 1);
	assert_true(table_alarms_has(alarms, 7, 100));
	assert_false(table_alarms_has(alarms, 7, 101)); /* the number is used again */
	table_alarms_event(&alarms, &clear);
	assert_true(table_alarms_has(alarms, 7, 100));
	table_alarms_event(&alarms, &clear);
	assert_false(table_alarms_has(alarms, 7, 100));
	table_alarms_event(&alarms, &alarm);
	table_alarms_forget(&alarms, 7, 100);
	assert_int_equal(table_alarms_count(alarms), 0);
	table_alarms_event(&alarms, &alarm);
	table_alarms_free(&alarms);
}

static int know_widths(void **state)
{
	struct terminal terminal;

	(void)state;
	terminal_init(&terminal);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_fit_the_screen),
		cmocka_unit_test(the_metric_of_sort_has_a_column),
		cmocka_unit_test(figures_are_of_the_whole_interval),
		cmocka_unit_test(no_line_wraps),
		cmocka_unit_test(text_is_cut_at_columns),
		cmocka_unit_test(most_comes_first_and_unknown_last),
		cmocka_unit_test(figures_are_short),
		cmocka_unit_test(alarms_are_counted_by_task),
	};

	return cmocka_run_group_tests(tests, know_widths, NULL);
}
