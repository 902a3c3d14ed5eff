/* SPDX-License-Identifier: BSD-2-Clause */
#include "derive.h"

#include <errno.h>

#include "unit.h"

#define MS 1000000ULL
#define ARMED (1000 * MS)
#define ON METRIC_BIT(M_task_on_cpu_ns)
#define OFF METRIC_BIT(M_task_off_cpu_ns)
#define FAULTS METRIC_BIT(M_task_minor_pagefault_count)

static uint64_t values[METRIC_TOTAL];

/* A row of task (10, start) at `time_ns` with these counters. */
static struct row row_at(uint64_t start_ns, uint64_t time_ns, uint64_t on_ns)
{
	values[M_task_on_cpu_ns] = on_ns;
	values[M_task_off_cpu_ns] = time_ns - start_ns - on_ns;
	values[M_task_minor_pagefault_count] = on_ns / MS;
	values[M_task_thread_count] = 1;
	return (struct row){
		.tid = 10,
		.tgid = 10,
		.start_time_ns = start_ns,
		.time_ns = time_ns,
		.present = ON | OFF | FAULTS | METRIC_BIT(M_task_thread_count),
		.value = values,
	};
}

static struct derive *derive_of(bool threads)
{
	struct derive *derive = derive_new(ON | OFF | FAULTS, threads);

	assert_non_null(derive);
	derive_arm(derive, ARMED);
	return derive;
}

static struct row feed(struct derive *derive, struct row row)
{
	assert_int_equal(derive_row(derive, &row), 0);
	return row;
}

static struct row baseline(struct row row)
{
	row.baseline = true;
	return row;
}

static struct row ended(struct row row)
{
	row.ended = row.process_ended = true;
	return row;
}

static void check_window(const struct row *row, uint64_t window_ns, uint64_t on_ns)
{
	assert_int_equal(row->window_ns, window_ns);
	assert_true(row_has_delta(row, M_task_on_cpu_ns));
	assert_int_equal(row->delta[M_task_on_cpu_ns], on_ns);
}

static void check_no_window(const struct row *row)
{
	uint64_t percent;

	assert_int_equal(row->window_ns, 0);
	assert_false(row_has_delta(row, M_task_on_cpu_ns));
	assert_false(derive_cpu_percent(row, &percent));
}

static void windows_reach_from_sample_to_sample(void **state)
{
	struct derive *derive = derive_of(false);
	struct row row;
	uint64_t percent;

	(void)state;
	row = feed(derive, baseline(row_at(0, 1001 * MS, 400 * MS)));
	derive_tick_complete(derive, 1001 * MS);
	row = feed(derive, row_at(0, 2001 * MS, 650 * MS));
	check_window(&row, 1000 * MS, 250 * MS);
	assert_int_equal(row.delta[M_task_off_cpu_ns], 750 * MS);
	assert_int_equal(row.delta[M_task_minor_pagefault_count], 250);
	assert_true(derive_cpu_percent(&row, &percent));
	assert_int_equal(percent, 2500);
	row = feed(derive, ended(row_at(0, 2101 * MS, 660 * MS)));
	check_window(&row, 100 * MS, 10 * MS);
	derive_free(derive);
	derive_free(NULL);
}

static void a_task_that_started_in_our_watch_counts_from_its_start(void **state)
{
	struct derive *derive = derive_of(false);
	struct row row = feed(derive, row_at(ARMED + 300 * MS, ARMED + 1000 * MS, 70 * MS));

	(void)state;
	check_window(&row, 700 * MS, 70 * MS);
	/* one that no tick ever saw */
	row = feed(derive, ended(row_at(ARMED + 500 * MS, ARMED + 502 * MS, MS)));
	check_window(&row, 2 * MS, MS);
	derive_free(derive);
}

/* It is in the baseline, but what it did before that is ours, too. */
static void a_task_that_started_between_arming_and_baseline_loses_nothing(void **state)
{
	struct derive *derive = derive_of(false);
	struct row row;

	(void)state;
	feed(derive, baseline(row_at(ARMED + 1 * MS, ARMED + 9 * MS, 5 * MS)));
	row = feed(derive, row_at(ARMED + 1 * MS, ARMED + 101 * MS, 50 * MS));
	check_window(&row, 100 * MS, 50 * MS);
	derive_free(derive);
}

static void a_task_from_before_has_no_partial_window(void **state)
{
	struct derive *derive = derive_of(false);
	struct row row = feed(derive, row_at(5, ARMED + 1000 * MS, 400 * MS));

	(void)state;
	check_no_window(&row);
	row = feed(derive, row_at(5, ARMED + 2000 * MS, 500 * MS));
	check_window(&row, 1000 * MS, 100 * MS);
	row = feed(derive, ended(row_at(6, ARMED + 1000 * MS, 400 * MS)));
	check_no_window(&row);
	derive_free(derive);
}

static void a_reused_tid_is_another_task(void **state)
{
	struct derive *derive = derive_of(false);
	struct row row;

	(void)state;
	feed(derive, baseline(row_at(0, ARMED, 900 * MS)));
	feed(derive, ended(row_at(0, ARMED + 100 * MS, 950 * MS)));
	row = feed(derive, row_at(ARMED + 200 * MS, ARMED + 1000 * MS, 3 * MS));
	check_window(&row, 800 * MS, 3 * MS);
	derive_free(derive);
}

static void deltas_are_never_negative(void **state)
{
	struct derive *derive = derive_of(false);
	struct row row;

	(void)state;
	feed(derive, baseline(row_at(0, ARMED, 500 * MS)));
	row = feed(derive, row_at(0, ARMED + 100 * MS, 400 * MS));
	assert_int_equal(row.window_ns, 100 * MS);
	assert_false(row_has_delta(&row, M_task_on_cpu_ns));
	assert_false(row_has_delta(&row, M_task_minor_pagefault_count));
	/* a sample that is not newer than the one before has no window */
	row = feed(derive, row_at(0, ARMED + 100 * MS, 400 * MS));
	check_no_window(&row);
	derive_free(derive);
}

static void a_metric_that_appears_late_has_no_delta_at_first(void **state)
{
	struct derive *derive = derive_of(false);
	struct row row = row_at(0, ARMED, 500 * MS);

	(void)state;
	row.present &= ~ON;
	feed(derive, baseline(row));
	row = feed(derive, row_at(0, ARMED + 100 * MS, 550 * MS));
	assert_int_equal(row.window_ns, 100 * MS);
	assert_false(row_has_delta(&row, M_task_on_cpu_ns));
	assert_true(row_has_delta(&row, M_task_minor_pagefault_count));
	row = feed(derive, row_at(0, ARMED + 200 * MS, 560 * MS));
	check_window(&row, 100 * MS, 10 * MS);
	derive_free(derive);
}

static void a_vanished_task_that_comes_back_is_not_counted_twice(void **state)
{
	struct derive *derive = derive_of(false);
	struct row row;

	(void)state;
	feed(derive, row_at(ARMED + 1, ARMED + 100 * MS, 50 * MS));
	derive_tick_complete(derive, ARMED + 100 * MS);
	derive_tick_complete(derive, ARMED + 200 * MS);
	/* missing once: its window is two intervals long */
	row = feed(derive, row_at(ARMED + 1, ARMED + 300 * MS, 60 * MS));
	check_window(&row, 200 * MS, 10 * MS);
	for (unsigned int tick = 3; tick <= 6; tick++)
		derive_tick_complete(derive, ARMED + tick * 100 * MS);
	row = feed(derive, row_at(ARMED + 1, ARMED + 700 * MS, 70 * MS));
	check_no_window(&row);
	derive_free(derive);
}

/* exec by a thread that is not the main one: the main thread ends, and its identity goes to the caller. */
static void an_exec_that_moves_the_identity_begins_anew(void **state)
{
	struct derive *derive = derive_of(true);
	struct event exec = {
		.tid = 10,
		.tgid = 10,
		.other_tid = 12,
		.start_time_ns = 0,
		.time_ns = ARMED + 50 * MS,
		.renamed = true,
	};
	struct row row;

	(void)state;
	feed(derive, baseline(row_at(0, ARMED, 100 * MS)));
	assert_int_equal(derive_event(derive, &exec), 0); /* events come first */
	row = feed(derive, ended(row_at(0, ARMED + 49 * MS, 110 * MS)));
	check_window(&row, 49 * MS, 10 * MS);
	row = feed(derive, row_at(0, ARMED + 100 * MS, 900 * MS)); /* what the caller used as thread 12, mostly */
	check_no_window(&row);
	row = feed(derive, row_at(0, ARMED + 200 * MS, 930 * MS));
	check_window(&row, 100 * MS, 30 * MS);
	derive_free(derive);
}

static void percentages_of_long_windows_do_not_overflow(void **state)
{
	struct row row = { .window_ns = 40ULL * 365 * 86400 * 1000 * MS, .delta_present = ON };
	uint64_t percent;

	(void)state;
	row.delta[M_task_on_cpu_ns] = row.window_ns * 8;
	assert_true(derive_cpu_percent(&row, &percent));
	assert_int_equal(percent, 80000);
}

/* The collector was away: neither its windows nor its new tasks reach back over the gap. */
static void nothing_reaches_across_a_gap(void **state)
{
	struct derive *derive = derive_of(false);
	struct row row;

	(void)state;
	feed(derive, baseline(row_at(0, 1001 * MS, 400 * MS)));
	feed(derive, row_at(0, 2001 * MS, 650 * MS));
	derive_restart(derive);
	derive_arm(derive, 5000 * MS);
	row = feed(derive, baseline(row_at(0, 5001 * MS, 4000 * MS)));
	check_no_window(&row);
	row = feed(derive, baseline(row_at(3000 * MS, 5001 * MS, 100 * MS))); /* began in the gap */
	check_no_window(&row);
	row = feed(derive, row_at(0, 6001 * MS, 4010 * MS));
	check_window(&row, 1000 * MS, 10 * MS);
	row = feed(derive, row_at(5500 * MS, 6001 * MS, 20 * MS)); /* and after it */
	check_window(&row, 501 * MS, 20 * MS);
	derive_free(derive);
}

/* Task i uses i + 1 ms a tick. Each tick has them in an order of its own, some end, and as many begin with their numbers. */
static void the_order_of_rows_does_not_matter(void **state)
{
	enum { TASKS = 23, TICKS = 101 };
	struct derive *derive = derive_of(false);
	uint64_t born[TASKS] = { 0 }, seed = 7;
	int order[TASKS];

	(void)state;
	for (int i = 0; i < TASKS; i++)
		order[i] = i;
	for (uint64_t tick = 0; tick < TICKS; tick++) {
		for (int i = 0; tick % 3 && i < TASKS; i++) { /* two of three ticks: shuffled */
			int other = (int)((seed = seed * 6364136223846793005ULL + 1442695040888963407ULL) >> 33) % TASKS,
			    swapped = order[i];

			order[i] = order[other];
			order[other] = swapped;
		}
		for (int n = 0; n < TASKS; n++) {
			uint64_t i = (uint64_t)order[n], age = tick - born[i], used = (i + 1) * MS;
			struct row row = row_at(ARMED + born[i] * 1000 * MS, ARMED + (tick + 1) * 1000 * MS, (age + 1) * used);

			row.tid = row.tgid = 100 + (uint32_t)i;
			row.ended = row.process_ended = (tick + i) % 11 == 0;
			row = feed(derive, row);
			check_window(&row, 1000 * MS, used);
			if (row.ended)
				born[i] = tick + 1;
		}
		derive_tick_complete(derive, ARMED + (tick + 1) * 1000 * MS);
	}
	derive_free(derive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_reach_from_sample_to_sample),
		cmocka_unit_test(a_task_that_started_in_our_watch_counts_from_its_start),
		cmocka_unit_test(a_task_that_started_between_arming_and_baseline_loses_nothing),
		cmocka_unit_test(a_task_from_before_has_no_partial_window),
		cmocka_unit_test(a_reused_tid_is_another_task),
		cmocka_unit_test(deltas_are_never_negative),
		cmocka_unit_test(a_metric_that_appears_late_has_no_delta_at_first),
		cmocka_unit_test(a_vanished_task_that_comes_back_is_not_counted_twice),
		cmocka_unit_test(an_exec_that_moves_the_identity_begins_anew),
		cmocka_unit_test(nothing_reaches_across_a_gap),
		cmocka_unit_test(the_order_of_rows_does_not_matter),
		cmocka_unit_test(percentages_of_long_windows_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
