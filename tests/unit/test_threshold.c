/* SPDX-License-Identifier: BSD-2-Clause */
#include "threshold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "threshold_judge.h"
#include "threshold_stats.h"
#include "unit.h"

#define S 1000000000ULL
#define NEAR 1e-9

static struct threshold_rule new_rule(const char *figure, enum threshold_method method)
{
	struct threshold_rule rule;
	char error[256];

	threshold_rule_init(&rule);
	assert_int_equal(threshold_parse_figure(&rule, figure, error, sizeof(error)), 0);
	rule.method = method;
	return rule;
}

static void complete(struct threshold_rule *rule)
{
	char error[256] = "";

	assert_int_equal(threshold_rule_complete(rule, error, sizeof(error)), 0);
}

static struct threshold_rule static_rule(double above, double clear, uint64_t for_ns)
{
	struct threshold_rule rule = new_rule("task_fd_count", THRESHOLD_STATIC);

	rule.above = above;
	rule.clear = clear;
	rule.for_ns = for_ns;
	complete(&rule);
	return rule;
}

/* --- statistics, against their definitions */

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static double median_of(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void mad_is_what_it_says(void **state)
{
	enum { WINDOW = 13, SAMPLES = 500 };
	struct mad *mad = calloc(1, sizeof(*mad) + 2 * WINDOW * sizeof(double));
	double values[SAMPLES], last[WINDOW], away[WINDOW], median;

	(void)state;
	srand(7);
	for (size_t i = 0; i < SAMPLES; i++) {
		size_t count = i + 1 < WINDOW ? i + 1 : WINDOW;

		values[i] = rand() % 10 * 0.5; /* many are equal */
		mad_learn(mad, values[i], WINDOW);
		memcpy(last, &values[i + 1 - count], count * sizeof(double));
		median = median_of(last, count);
		for (size_t j = 0; j < count; j++)
			away[j] = fabs(last[j] - median);
		assert_true(fabs(mad_median(mad, WINDOW) - median) < NEAR);
		assert_true(fabs(mad_spread(mad, WINDOW) - 1.4826 * median_of(away, count)) < NEAR);
	}
	free(mad);
}

static void ewma_begins_as_a_plain_mean_and_fades(void **state)
{
	static const double values[] = { 2, 4, 4, 4, 5, 5, 7, 9 }; /* mean 5, σ 2 */
	struct ewma ewma = { 0 };
	double mean;

	(void)state;
	for (size_t i = 0; i < 8; i++)
		ewma_learn(&ewma, values[i], 1000, 1);
	assert_true(fabs(ewma.mean - 5) < NEAR);
	assert_true(fabs(sqrt(ewma.variance) - 2) < NEAR);
	ewma = (struct ewma){ 0 };
	for (size_t i = 0; i < 200; i++)
		ewma_learn(&ewma, 10, 9, 1);
	assert_true(fabs(ewma.mean - 10) < NEAR && ewma.variance < NEAR);
	ewma_learn(&ewma, 20, 9, 1); /* a weight of 2/(9+1) */
	assert_true(fabs(ewma.mean - 12) < NEAR);
	mean = ewma.mean;
	ewma_learn(&ewma, 22, 9, 0.1);
	assert_true(fabs(ewma.mean - (mean + 0.02 * 10)) < NEAR);
}

/* --- one threshold, one task: 'a' for an alarm, 'c' for a clear, '.' for neither, a figure a second */

static void check(const struct threshold_rule *rule, const double *figures, size_t count, const char *want)
{
	struct threshold_state *state = threshold_state_new(rule);
	struct threshold_finding finding;
	char got[256] = "";

	for (size_t i = 0; i < count; i++)
		got[i] = ".ac"[threshold_judge(rule, state, (i + 1) * S, figures[i], S, &finding)];
	assert_string_equal(got, want);
	threshold_state_free(state);
}
#define CHECK(rule, want, ...) \
	check(&(rule), (const double[]){ __VA_ARGS__ }, sizeof((double[]){ __VA_ARGS__ }) / sizeof(double), want)

static void static_limits_have_hysteresis_and_time(void **state)
{
	struct threshold_rule rule = static_rule(100, 80, 0);

	(void)state;
	CHECK(rule, "..a...c.a", 5, 100, 101, 99, 200, 81, 80, 100, 150);
	free(rule.name);
	rule = static_rule(100, 80, THRESHOLD_FOR_TWO); /* one alone is nothing, and one back is not yet back */
	CHECK(rule, ".....a...c", 101, 5, 101, 5, 101, 101, 5, 101, 5, 5);
	free(rule.name);
}

static void two_in_a_row_is_the_second(void **state)
{
	struct threshold_rule rule = static_rule(100, 80, THRESHOLD_FOR_TWO);

	(void)state;
	CHECK(rule, ".a.c", 101, 101, 5, 5);
	free(rule.name);
	rule = static_rule(100, 80, 3 * S);
	CHECK(rule, "...a...c", 101, 101, 101, 101, 5, 5, 5, 5);
	CHECK(rule, "........", 101, 101, 101, 5, 101, 101, 101, 5);
	free(rule.name);
}

static void below_and_floor(void **state)
{
	struct threshold_rule rule = new_rule("task_fd_count", THRESHOLD_STATIC);

	(void)state;
	rule.below = 10;
	rule.for_ns = 0;
	complete(&rule);
	CHECK(rule, ".a.c", 11, 9, 10.5, 11.5);
	free(rule.name);
	rule = static_rule(10, NAN, 0);
	rule.floor = 50;
	CHECK(rule, "..ac", 11, 49, 51, 49);
	free(rule.name);
}

static double wave(size_t at)
{
	return 20 + (double)(at * 7 % 5) - 2; /* 18 to 22 */
}

/* Quiet for 40 figures, something for 10, and quiet again: one alarm, in time, and one clear. */
static void learned_limits_find_what_is_unusual(void **state)
{
	static const struct {
		double to;
		unsigned int sides;
		bool found;
	} cases[] = {
		{ 90, THRESHOLD_ABOVE, true },
		{ 0, THRESHOLD_BELOW, true },
		{ 90, THRESHOLD_BELOW, false },
		{ 0, THRESHOLD_ABOVE, false },
		{ 0, 0, true },
		{ 90, 0, true },
		{ 22.5, 0, false },
	};

	(void)state;
	for (int method = THRESHOLD_EWMA; method <= THRESHOLD_MAD; method++) {
		for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
			struct threshold_rule rule = new_rule("task_cpu_percent", (enum threshold_method)method);
			char want[61];
			double figures[60];

			rule.sides = cases[c].sides;
			complete(&rule);
			memset(want, '.', 60);
			want[60] = '\0';
			for (size_t i = 0; i < 60; i++)
				figures[i] = i >= 40 && i < 50 ? cases[c].to : wave(i);
			if (cases[c].found) {
				want[41] = 'a';
				want[51] = 'c';
			}
			check(&rule, figures, 60, want);
			free(rule.name);
		}
	}
}

static void the_floor_keeps_the_idle_quiet(void **state)
{
	struct threshold_rule rule = new_rule("task_cpu_percent", THRESHOLD_MAD); /* with its floor of 5 % */
	double figures[80] = { 0 };
	char want[81];

	(void)state;
	complete(&rule);
	memset(want, '.', 80);
	want[80] = '\0';
	for (size_t i = 40; i < 45; i++)
		figures[i] = 4.9; /* infinitely far from 0, and nothing */
	for (size_t i = 50; i < 55; i++)
		figures[i] = 6;
	want[51] = 'a';
	want[56] = 'c';
	check(&rule, figures, 80, want);
	free(rule.name);
}

static void nothing_is_said_while_warming_up(void **state)
{
	struct threshold_rule rule = new_rule("task_cpu_percent", THRESHOLD_EWMA);
	struct threshold_finding finding;
	struct threshold_state *learned;
	uint64_t now = 0;

	(void)state;
	rule.warmup = 10;
	rule.for_ns = 0;
	complete(&rule);
	CHECK(rule, "...........a", 1, 99, 1, 99, 1, 99, 1, 99, 1, 99, 50, 9999);
	learned = threshold_state_new(&rule);
	for (int i = 0; i < 20; i++)
		assert_int_equal(threshold_judge(&rule, learned, now += S, 20, S, &finding), THRESHOLD_NOTHING);
	assert_int_equal(threshold_judge(&rule, learned, now += S, 90, S, &finding), THRESHOLD_ALARM);
	assert_true(finding.value == 90 && fabs(finding.baseline - 20) < NEAR && finding.limit < 30);
	/* after a gap nothing is known, and so there is no alarm */
	assert_int_equal(threshold_judge(&rule, learned, now += 60 * S, 90, S, &finding), THRESHOLD_CLEAR);
	assert_string_equal(finding.cause, "gap");
	for (int i = 1; i < 10; i++)
		assert_int_equal(threshold_judge(&rule, learned, now += S, i % 2 ? 0 : 500, S, &finding), THRESHOLD_NOTHING);
	/* a figure or two that are late or missing are no gap */
	assert_int_equal(threshold_judge(&rule, learned, now += 3 * S, 99999, S, &finding), THRESHOLD_ALARM);
	threshold_state_free(learned);
	free(rule.name);
}

/* Something that stays for long is how things are now; later changes are seen again. */
static void what_lasts_becomes_normal(void **state)
{
	(void)state;
	for (int method = THRESHOLD_EWMA; method <= THRESHOLD_MAD; method++) {
		struct threshold_rule rule = new_rule("task_cpu_percent", (enum threshold_method)method);
		struct threshold_finding finding;
		struct threshold_state *learned;
		int alarms = 0, clears = 0;
		uint64_t now = 0;

		rule.window = 20;
		complete(&rule);
		learned = threshold_state_new(&rule);
		for (int i = 0; i < 50 + 20 * 12; i++) {
			enum threshold_verdict verdict =
				threshold_judge(&rule, learned, now += S, wave((size_t)i) + (i < 50 ? 0 : 200), S, &finding);

			alarms += verdict == THRESHOLD_ALARM;
			clears += verdict == THRESHOLD_CLEAR;
		}
		assert_int_equal(alarms, 1);
		assert_int_equal(clears, 1);
		assert_false(threshold_in_alarm(learned));
		for (int i = 0; i < 40; i++)
			threshold_judge(&rule, learned, now += S, wave((size_t)i) + 200, S, &finding);
		threshold_judge(&rule, learned, now += S, 900, S, &finding);
		assert_int_equal(threshold_judge(&rule, learned, now += S, 900, S, &finding), THRESHOLD_ALARM);
		threshold_state_free(learned);
		free(rule.name);
	}
}

/* --- the stage: tasks and their ends */

static char told[4096];

static int tell(void *context, const struct event *event)
{
	(void)context;
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s %u %s;", event->name, event->tid, event->detail);
	return 0;
}

static uint64_t values[METRIC_TOTAL];

static bool put_row(struct thresholds *thresholds, uint32_t tid, uint64_t start, uint64_t second, uint64_t fds, bool ended)
{
	struct row row = {
		.time_ns = second * S,
		.start_time_ns = start,
		.tid = tid,
		.tgid = tid,
		.comm = "x",
		.process_comm = "x",
		.rules = "",
		.cgroup = "",
		.present = METRIC_BIT(M_task_fd_count),
		.value = values,
		.ended = ended,
		.process_ended = ended,
	};
	bool passes;

	values[M_task_fd_count] = fds;
	assert_int_equal(thresholds_row(thresholds, &row, &passes), 0);
	return passes;
}

static void check_told(const char *want)
{
	assert_string_equal(told, want);
	told[0] = '\0';
}

#define ALARM(tid, fds) "alarm " #tid " metric=task_fd_count value=" #fds " limit=10 threshold=task_fd_count:static;"

static void tasks_do_not_touch_each_other(void **state)
{
	struct threshold_rule list[2] = { static_rule(10, NAN, 0), static_rule(20, NAN, 0) };
	const struct threshold_rules rules = { list, 2 };
	struct thresholds *thresholds = thresholds_new(&rules, S, tell, NULL);

	(void)state;
	strcpy(list[1].name, "second");
	put_row(thresholds, 1, 1, 1, 15, false);
	check_told(ALARM(1, 15));
	put_row(thresholds, 2, 1, 1, 15, false); /* that one is in alarm mutes nobody */
	check_told(ALARM(2, 15));
	put_row(thresholds, 1, 1, 2, 25, false); /* nor does the first threshold the second */
	check_told("alarm 1 metric=task_fd_count value=25 limit=20 threshold=second;");
	put_row(thresholds, 1, 1, 3, 5, false);
	check_told("clear 1 metric=task_fd_count value=5 limit=9 threshold=task_fd_count:static;"
		   "clear 1 metric=task_fd_count value=5 limit=18 threshold=second;");
	put_row(thresholds, 2, 1, 3, 15, false);
	check_told("");
	thresholds_free(thresholds);
	free(list[0].name);
	free(list[1].name);
}

static void an_alarm_ends_with_its_task(void **state)
{
	static const char ended[] = "clear 1 metric=task_fd_count value=15 limit=10 threshold=task_fd_count:static cause=";
	struct threshold_rule rule = static_rule(10, NAN, 0);
	const struct threshold_rules rules = { &rule, 1 };
	struct thresholds *thresholds = thresholds_new(&rules, S, tell, NULL);
	struct event exec = { .name = "exec", .tid = 1, .tgid = 1, .start_time_ns = 7, .time_ns = 20 * S };
	char want[256];

	(void)state;
	put_row(thresholds, 1, 1, 1, 15, false);
	check_told(ALARM(1, 15));
	put_row(thresholds, 1, 1, 2, 15, true);
	snprintf(want, sizeof(want), "%sended;", ended);
	check_told(want);
	put_row(thresholds, 1, 2, 3, 15, false); /* another one with the number */
	check_told(ALARM(1, 15));
	put_row(thresholds, 1, 3, 4, 5, false); /* and one in its place, before its final row is there */
	check_told(want);
	put_row(thresholds, 1, 2, 4, 15, true);
	check_told("");
	put_row(thresholds, 1, 3, 5, 15, false);
	check_told(ALARM(1, 15));
	for (int i = 0; i < 3; i++) /* no row of it any more */
		assert_int_equal(thresholds_tick_complete(thresholds), 0);
	snprintf(want, sizeof(want), "%sgone;", ended);
	check_told(want);
	put_row(thresholds, 1, 7, 10, 15, false);
	check_told(ALARM(1, 15));
	assert_int_equal(thresholds_event(thresholds, &exec), 0);
	snprintf(want, sizeof(want), "%sexec;", ended);
	check_told(want);
	put_row(thresholds, 1, 7, 21, 15, false);
	check_told(ALARM(1, 15));
	assert_int_equal(thresholds_gap(thresholds), 0);
	snprintf(want, sizeof(want), "%sgap;", ended);
	check_told(want);
	thresholds_free(thresholds);
	free(rule.name);
}

static void only_drops_what_is_not_in_alarm(void **state)
{
	char *names[] = { "x*" };
	struct threshold_rule rule = static_rule(10, NAN, 0);
	const struct threshold_rules rules = { &rule, 1 };
	struct thresholds *thresholds;

	(void)state;
	rule.only = true;
	thresholds = thresholds_new(&rules, S, tell, NULL);
	assert_false(put_row(thresholds, 1, 1, 1, 5, false));
	assert_true(put_row(thresholds, 1, 1, 2, 15, false));
	assert_true(put_row(thresholds, 1, 1, 3, 10, false)); /* above `clear`, which is 9 */
	assert_false(put_row(thresholds, 2, 1, 3, 5, false));
	assert_false(put_row(thresholds, 1, 1, 4, 5, false));
	assert_true(put_row(thresholds, 1, 1, 5, 15, false));
	assert_true(put_row(thresholds, 1, 1, 6, 15, true)); /* the final row of a task in alarm */
	assert_false(put_row(thresholds, 2, 1, 6, 5, true));
	/* whom it is not about passes */
	names[0] = "y*";
	rule.match.names = names;
	rule.match.name_count = 1;
	assert_true(put_row(thresholds, 3, 1, 6, 5, false));
	thresholds_free(thresholds);
	free(rule.name);
	told[0] = '\0';
}

static void what_was_not_measured_is_not_judged(void **state)
{
	struct threshold_rule rule = new_rule("task_cpu_percent", THRESHOLD_STATIC);
	struct row row = { .present = METRIC_BIT(M_task_on_cpu_ns), .value = values };
	double figure;

	(void)state;
	assert_false(threshold_figure(&rule, &row, S / 2, &figure));
	row.delta_present = row.present;
	row.delta[M_task_on_cpu_ns] = S / 4;
	row.window_ns = S / 2;
	assert_true(threshold_figure(&rule, &row, S / 2, &figure));
	assert_true(figure == 50);
	assert_false(threshold_figure(&rule, &row, S, &figure)); /* too short a window */
	rule = new_rule("task_on_cpu_ns_rate", THRESHOLD_STATIC);
	assert_true(threshold_figure(&rule, &row, S / 2, &figure));
	assert_true(figure == 5e8);
	rule = new_rule("task_fd_count", THRESHOLD_STATIC);
	assert_false(threshold_figure(&rule, &row, S / 2, &figure));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mad_is_what_it_says),
		cmocka_unit_test(ewma_begins_as_a_plain_mean_and_fades),
		cmocka_unit_test(static_limits_have_hysteresis_and_time),
		cmocka_unit_test(two_in_a_row_is_the_second),
		cmocka_unit_test(below_and_floor),
		cmocka_unit_test(learned_limits_find_what_is_unusual),
		cmocka_unit_test(the_floor_keeps_the_idle_quiet),
		cmocka_unit_test(nothing_is_said_while_warming_up),
		cmocka_unit_test(what_lasts_becomes_normal),
		cmocka_unit_test(tasks_do_not_touch_each_other),
		cmocka_unit_test(an_alarm_ends_with_its_task),
		cmocka_unit_test(only_drops_what_is_not_in_alarm),
		cmocka_unit_test(what_was_not_measured_is_not_judged),
	};

	return cmocka_run_group_tests_name("thresholds", tests, NULL, NULL);
}
