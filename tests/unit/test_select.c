/* SPDX-License-Identifier: BSD-2-Clause */
#include "select.h"

#include <errno.h>
#include <stdlib.h>

#include "processes.h"
#include "unit.h"

static char *const name_list[] = { "java*", "[nginx]", "a b" };
static uint32_t uid_list[] = { 0, 1000 };

static const struct select by_name = { .names = (char **)name_list, .name_count = 3 };
static const struct select by_user = { .uids = uid_list, .uid_count = 2 };
static const struct select by_both = { .names = (char **)name_list, .name_count = 3, .uids = uid_list, .uid_count = 2 };
static const struct select everything;

static void empty_filters_pass_all(void **state)
{
	(void)state;
	assert_false(select_narrows(&everything));
	assert_true(select_process(&everything, "", 4294967294u));
}

static void names_are_globs_on_the_whole_name(void **state)
{
	(void)state;
	assert_true(select_narrows(&by_name));
	assert_true(select_process(&by_name, "java", 7));
	assert_true(select_process(&by_name, "javac", 7));
	assert_false(select_process(&by_name, "xjava", 7));
	assert_true(select_process(&by_name, "a b", 7));
	assert_false(select_process(&by_name, "a", 7));
	assert_true(select_process(&by_name, "n", 7)); /* a bracket expression, as in a shell */
}

/* As grep -E does: anywhere in the name, unless anchored. */
static void names_may_be_regular_expressions(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool matches;
	} cases[] = {
		{ "nginx|redis", "redis-server", true },
		{ "^redis$", "redis-server", false },
		{ "^kworker/[0-9]+:[0-9]", "kworker/1:1H", true },
		{ "^kworker/[0-9]+:[0-9]", "kworker/u8:1", false },
		{ "(ab){2}", "xababx", true },
		{ "a*", "", true },
		{ "java*", "xjava", true },
		{ "\\*", "a*b", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct select select = { 0 };
		char error[256];

		assert_int_equal(select_add_regex(&select, "^only this$", error, sizeof(error)), 0);
		assert_int_equal(select_add_regex(&select, cases[i].pattern, error, sizeof(error)), 0);
		assert_true(select_narrows(&select));
		assert_int_equal(select_process(&select, cases[i].name, 7), cases[i].matches);
		select_free(&select);
	}
}

static void an_expression_that_is_none_is_told(void **state)
{
	struct select select = { 0 };
	char error[256];

	(void)state;
	assert_int_equal(select_add_regex(&select, "good", error, sizeof(error)), 0);
	assert_int_equal(select_add_regex(&select, "(bad", error, sizeof(error)), -EINVAL);
	assert_string_equal(error, "\"(bad\" is not an extended regular expression: Unmatched ( or \\(");
	assert_int_equal(select.regex_count, 1);
	select_free(&select);
}

static void a_cgroup_is_selected_with_what_is_below_it(void **state)
{
	char *patterns[] = { "/system.slice/*.service", "/user.slice" };
	const struct select select = { .cgroups = patterns, .cgroup_count = 2 };

	(void)state;
	assert_true(select_narrows(&select));
	assert_true(select_cgroup(&select, "/system.slice/nginx.service"));
	assert_true(select_cgroup(&select, "/system.slice/nginx.service/worker"));
	assert_false(select_cgroup(&select, "/system.slice/boot.mount"));
	assert_true(select_cgroup(&select, "/user.slice/user-1000.slice/session-1.scope"));
	assert_false(select_cgroup(&select, "/user.slices"));
	assert_false(select_cgroup(&select, "/"));
	assert_false(select_cgroup(&select, ""));
	assert_true(select_cgroup(&everything, ""));
	assert_true(select_process(&select, "sh", 0)); /* of which the cgroup is judged elsewhere */
}

static void a_row_must_pass_all_filters(void **state)
{
	char *cgroups[] = { "/a" }, *rules[] = { "web", "b" };
	struct select select = by_both;
	struct row row = {
		.tid = 10, .tgid = 10, .uid = 1000, .comm = "java", .process_comm = "java", .cgroup = "/a/x", .rules = "db;web"
	};

	(void)state;
	select.cgroups = cgroups;
	select.cgroup_count = 1;
	select.rules = rules;
	select.rule_count = 2;
	assert_true(select_row(&select, &row));
	row.rules = "b";
	assert_true(select_row(&select, &row));
	row.rules = "webs;db";
	assert_false(select_row(&select, &row));
	row.rules = "";
	assert_false(select_row(&select, &row));
	row.rules = "web";
	row.cgroup = "/b";
	assert_false(select_row(&select, &row));
	row.cgroup = "/a";
	row.uid = 7;
	assert_false(select_row(&select, &row));
}

static void a_glob_or_an_expression_is_enough(void **state)
{
	struct select select = { .names = (char **)name_list, .name_count = 3 };
	char error[256];

	(void)state;
	assert_int_equal(select_add_regex(&select, "^n?ginx", error, sizeof(error)), 0);
	assert_true(select_process(&select, "javac", 7));
	assert_true(select_process(&select, "ginx-2", 7));
	assert_false(select_process(&select, "sh", 7));
	regfree(&select.regexes[0]);
	free(select.regexes);
}

static void names_and_users_both_narrow(void **state)
{
	(void)state;
	assert_true(select_process(&by_user, "sh", 0));
	assert_false(select_process(&by_user, "sh", 1));
	assert_true(select_process(&by_both, "java", 1000));
	assert_false(select_process(&by_both, "java", 1001));
	assert_false(select_process(&by_both, "sh", 1000));
}

static void a_thread_is_judged_by_its_process(void **state)
{
	struct row row = { .tid = 11, .tgid = 10, .comm = "GC Thread#0", .process_comm = "java" };

	(void)state;
	assert_true(select_row(&by_name, &row));
	row.comm = "java";
	row.process_comm = "sh";
	assert_false(select_row(&by_name, &row));
}

static void a_change_of_name_is_shown_on_both_sides(void **state)
{
	struct event event = { .tid = 10, .tgid = 10, .renamed = true, .comm = "java", .old_comm = "sh" };

	(void)state;
	assert_true(select_event(&by_name, &event, true)); /* takes the name */
	event.comm = "sh";
	event.old_comm = "java";
	assert_true(select_event(&by_name, &event, false)); /* gives it up */
	event.old_comm = "bash";
	assert_false(select_event(&by_name, &event, false));
	event.old_comm = "java";
	event.tid = 11;
	assert_false(select_event(&by_name, &event, false)); /* only a thread's */
}

/* --- who is alive */

static void processes_come_and_go(void **state)
{
	struct processes *processes = processes_new();

	(void)state;
	assert_int_equal(processes_seen(processes, 10, 100, true), 0);
	assert_int_equal(processes_started(processes, 11, 150, false), 0);
	assert_int_equal(processes_seen(processes, 10, 200, true), 0);
	assert_int_equal(processes_count(processes), 2);
	assert_true(processes_selected(processes, 10));
	assert_false(processes_selected(processes, 11));
	processes_judged(processes, 11, true);
	processes_judged(processes, 12, true); /* unknown: stays so */
	assert_true(processes_selected(processes, 11));
	assert_false(processes_selected(processes, 12));
	processes_ended(processes, 10, 300);
	processes_ended(processes, 10, 300);
	processes_ended(processes, 11, 300);
	assert_int_equal(processes_count(processes), 0);
	processes_free(processes);
	processes_free(NULL);
}

/* In one batch, the fork event of the new process comes before the final row of the old one. */
static void a_reused_number_survives_the_end_of_its_predecessor(void **state)
{
	struct processes *processes = processes_new();

	(void)state;
	processes_seen(processes, 10, 100, true);
	processes_started(processes, 10, 300, true);
	processes_ended(processes, 10, 200);
	assert_int_equal(processes_count(processes), 1);
	processes_ended(processes, 10, 400);
	assert_int_equal(processes_count(processes), 0);
	processes_free(processes);
}

/* One tick may have been dropped in part by a full queue; nobody vanishes by that. */
static void a_process_missing_in_two_ticks_is_gone(void **state)
{
	struct processes *processes = processes_new();

	(void)state;
	processes_seen(processes, 10, 100, true);
	processes_tick_complete(processes);
	processes_tick_complete(processes);
	assert_int_equal(processes_count(processes), 1);
	processes_seen(processes, 10, 200, true);
	processes_tick_complete(processes);
	processes_tick_complete(processes);
	assert_int_equal(processes_count(processes), 1);
	processes_tick_complete(processes);
	assert_int_equal(processes_count(processes), 0);
	processes_free(processes);
}

static void a_cgroup_is_where_a_process_began(void **state)
{
	struct processes *processes = processes_new();

	(void)state;
	processes_set_cgroup(processes, 10, true); /* unknown: stays so */
	assert_false(processes_in_cgroup(processes, 10));
	processes_seen(processes, 10, 100, true);
	assert_false(processes_in_cgroup(processes, 10));
	processes_set_cgroup(processes, 10, true);
	processes_seen(processes, 10, 200, false); /* what its name says is another matter */
	assert_true(processes_in_cgroup(processes, 10));
	processes_set_cgroup(processes, 10, false);
	assert_false(processes_in_cgroup(processes, 10));
	processes_free(processes);
}

static bool is_ten(uint32_t tgid, uint64_t start_time_ns)
{
	return tgid == 10 && start_time_ns == 5;
}

static void after_a_gap_the_roots_are_watched_anew(void **state)
{
	struct processes *processes = processes_new();
	uint64_t start_times[4];
	uint32_t tgids[4];

	(void)state;
	for (uint32_t tgid = 10; tgid < 13; tgid++) {
		processes_seen(processes, tgid, 100, true);
		processes_identify(processes, tgid, tgid - 5, tgid - 1); /* each the child of the one before */
	}
	assert_int_equal(processes_roots(processes, tgids, start_times, 4), 1);
	assert_int_equal(tgids[0], 10);
	assert_int_equal(start_times[0], 5);
	processes_prune(processes, is_ten);
	assert_int_equal(processes_roots(processes, tgids, start_times, 4), 1);
	assert_int_equal(tgids[0], 11);
	assert_true(processes_forget(processes, 11));
	assert_false(processes_forget(processes, 11));
	assert_int_equal(processes_count(processes), 1);

	processes_seen(processes, 20, 200, true);
	assert_int_equal(processes_roots(processes, tgids, start_times, 1), 2); /* more than there is room for */
	assert_int_equal(processes_roots(processes, tgids, start_times, 4), 2);
	assert_int_equal(start_times[1], 0); /* not known: no main thread was seen */
	processes_restart(processes);
	processes_seen(processes, 20, 300, true);
	processes_tick_complete(processes);
	assert_int_equal(processes_count(processes), 1); /* at once: a baseline is whole */
	processes_free(processes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_filters_pass_all),
		cmocka_unit_test(names_are_globs_on_the_whole_name),
		cmocka_unit_test(a_glob_or_an_expression_is_enough),
		cmocka_unit_test(names_may_be_regular_expressions),
		cmocka_unit_test(an_expression_that_is_none_is_told),
		cmocka_unit_test(a_cgroup_is_selected_with_what_is_below_it),
		cmocka_unit_test(a_row_must_pass_all_filters),
		cmocka_unit_test(a_cgroup_is_where_a_process_began),
		cmocka_unit_test(names_and_users_both_narrow),
		cmocka_unit_test(a_thread_is_judged_by_its_process),
		cmocka_unit_test(a_change_of_name_is_shown_on_both_sides),
		cmocka_unit_test(processes_come_and_go),
		cmocka_unit_test(a_reused_number_survives_the_end_of_its_predecessor),
		cmocka_unit_test(a_process_missing_in_two_ticks_is_gone),
		cmocka_unit_test(after_a_gap_the_roots_are_watched_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
