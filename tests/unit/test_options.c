/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <errno.h>
#include <string.h>

#include "metric.h"
#include "modules.h"
#include "unit.h"

enum { ARGUMENTS_MAX = 32 };

static char error[512];

/* Split `line` at spaces and parse it; `''` is an empty word. */
static int parse(struct options *options, const char *line)
{
	static char words[512], *argv[ARGUMENTS_MAX];
	char *rest = words;
	int argc = 1;

	strcpy(words, line);
	argv[0] = "taskmon-report";
	for (char *word; argc < ARGUMENTS_MAX - 1 && (word = strsep(&rest, " "));)
		argv[argc++] = strcmp(word, "''") == 0 ? "" : word;
	argv[argc] = NULL;
	error[0] = '\0';
	return options_parse(options, argc, argv, error, sizeof(error));
}

static void check_error(const char *line, const char *want)
{
	struct options options;

	assert_int_equal(parse(&options, line), -EINVAL);
	assert_string_equal(error, want);
	options_free(&options);
}

static void defaults_are_as_documented(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "-a"), 0);
	assert_int_equal(options.action, ACTION_REPORT);
	assert_true(options.all);
	assert_false(options.threads);
	assert_false(options_follow_children(&options));
	assert_int_equal(options.modules, MODULE_BIT(MODULE_TASK) | MODULE_BIT(MODULE_CPU));
	assert_int_equal(options.metrics, metric_set_of_cost(METRIC_FREE));
	assert_int_equal(options.interval_ns, 5000000000);
	assert_int_equal(options.duration_ns, 0);
	assert_null(options.csv_dir);
	assert_null(options.json_path);
	assert_null(options.command);
	assert_string_equal(options.socket_path, "/run/taskmon/collector.sock");
	options_free(&options);
	options_free(NULL);
}

static void values_are_read(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "-p 12,7 --pid=99 -t --children -m cpu --metrics task_fd_count,task_state "
					 "-i 0.25 -d 3 --csv out --json - -s /tmp/x"),
			 0);
	assert_int_equal(options.pid_count, 3);
	assert_int_equal(options.pids[0], 12);
	assert_int_equal(options.pids[1], 7);
	assert_int_equal(options.pids[2], 99);
	assert_true(options.threads);
	assert_true(options_follow_children(&options));
	assert_int_equal(options.modules, MODULE_BIT(MODULE_CPU));
	assert_int_equal(options.metrics, METRIC_BIT(M_task_fd_count) | METRIC_BIT(M_task_state));
	assert_int_equal(options.interval_ns, 250000000);
	assert_int_equal(options.duration_ns, 3000000000);
	assert_string_equal(options.csv_dir, "out");
	assert_string_equal(options.json_path, "-");
	assert_string_equal(options.socket_path, "/tmp/x");
	assert_false(options.all);
	options_free(&options);
}

static void names_and_users_select_from_all(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "-n java* -n a,b -u root,12345"), 0);
	assert_true(options.all);
	assert_int_equal(options.select.name_count, 2);
	assert_string_equal(options.select.names[1], "a,b");
	assert_int_equal(options.select.uid_count, 2);
	assert_int_equal(options.select.uids[0], 0);
	assert_int_equal(options.select.uids[1], 12345);
	options_free(&options);
	assert_int_equal(parse(&options, "-n java* -p 1"), 0);
	assert_false(options.all); /* they narrow what is given */
	options_free(&options);
}

static void names_may_be_expressions_and_cgroups_narrow(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "--regex ^ja+va$ -n x?x --regex b|c --cgroup /a --cgroup /b/*"), 0);
	assert_true(options.all);
	assert_int_equal(options.select.regex_count, 2);
	assert_true(select_process(&options.select, "jaava", 0));
	assert_false(select_process(&options.select, "java2", 0));
	assert_true(select_process(&options.select, "_c_", 0));
	assert_true(select_process(&options.select, "x.x", 0));
	assert_int_equal(options.select.cgroup_count, 2);
	assert_string_equal(options.select.cgroups[1], "/b/*");
	options_free(&options);
	assert_int_equal(parse(&options, "--cgroup /a"), 0);
	assert_true(options.all);
	options_free(&options);
	check_error("--regex a{2,1}", "--regex: \"a{2,1}\" is not an extended regular expression: Invalid content of \\{\\}");
	check_error("--cgroup ''", "--cgroup: it is empty (expected the path of a cgroup, or a glob)");
}

static void commands_keep_their_options(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "-i 1 -- prog -i 2 -- --help"), 0);
	assert_int_equal(options.action, ACTION_REPORT);
	assert_int_equal(options.interval_ns, 1000000000);
	assert_string_equal(options.command[0], "prog");
	assert_string_equal(options.command[4], "--help");
	assert_null(options.command[5]);
	assert_true(options_follow_children(&options));
	options_free(&options);
	assert_int_equal(parse(&options, "--no-children -- prog"), 0);
	assert_false(options_follow_children(&options));
	options_free(&options);
}

static void actions_need_no_selection(void **state)
{
	static const struct {
		const char *line;
		enum action action;
	} cases[] = {
		{ "--help", ACTION_HELP },
		{ "-?", ACTION_HELP },
		{ "--version", ACTION_VERSION },
		{ "--list metrics", ACTION_LIST_METRICS },
		{ "--list=modules", ACTION_LIST_MODULES },
		{ "--list tasks", ACTION_LIST_TASKS },
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(&options, cases[i].line), 0);
		assert_int_equal(options.action, cases[i].action);
		options_free(&options);
	}
	assert_int_equal(parse(&options, "--list tasks"), 0);
	assert_true(options.all);
	options_free(&options);
}

static void errors_say_what_was_expected(void **state)
{
	(void)state;
	check_error("-a -i 0", "--interval: 0 is out of range (expected 0.1 to 3600 seconds)");
	check_error("-a -i 3600.5", "--interval: 3600.5 is out of range (expected 0.1 to 3600 seconds)");
	check_error("-a -i -1", "--interval: -1 is out of range (expected 0.1 to 3600 seconds)");
	check_error("-a -i 1s", "--interval: \"1s\" is not a number (expected 0.1 to 3600 seconds)");
	check_error("-a -i nan", "--interval: \"nan\" is not a number (expected 0.1 to 3600 seconds)");
	check_error("-a -i inf", "--interval: \"inf\" is not a number (expected 0.1 to 3600 seconds)");
	check_error("-a -i 0x10", "--interval: \"0x10\" is not a number (expected 0.1 to 3600 seconds)");
	check_error("-a -i ''", "--interval: \"\" is not a number (expected 0.1 to 3600 seconds)");
	check_error("-a -d 0", "--duration: 0 is out of range (expected 0.1 to 31536000 seconds)");
	check_error("--pid abc", "--pid: \"abc\" is not a process id (expected a positive number)");
	check_error("-p 0", "--pid: \"0\" is not a process id (expected a positive number)");
	check_error("-p -1", "--pid: \"-1\" is not a process id (expected a positive number)");
	check_error("-p 1,,2", "--pid: \"\" is not a process id (expected a positive number)");
	check_error("-p 99999999999999999999", "--pid: \"99999999999999999999\" is not a process id (expected a positive number)");
	check_error("-u no-such-user", "--user: \"no-such-user\" is not a user (expected a user name or number)");
	check_error("-u ''", "--user: \"\" is not a user (expected a user name or number)");
	check_error("-a --metrics fd_cuont",
		    "--metrics: unknown metric \"fd_cuont\" (did you mean task_fd_count? expected free, all or names "
		    "from --list metrics)");
	check_error("-a -m cpu,foo", "--modules: \"foo\" is not a module (expected: task, cpu, mem, net, syscall, memleak)");
	check_error("-p 1 -m memleak", "memleak: no function is named (expected --probe BIN:FUNC)");
	check_error("-a --probe a:b",
		    "memleak: functions are probed in processes that are named by number (expected --pid or -- COMMAND, and not "
		    "--all, --rule, nor --name or --user alone)");
	check_error("-p 1 --probe a", "--probe: \"a\" (expected BIN:FUNC or BIN:FUNC(ARGUMENTS), such as "
				      "./server:parse(int fd, char [10] name))");
	check_error("-p 1 --probe a:b(double)",
		    "--probe: a:b: argument 1 \"double\": a floating-point number is passed in a vector register (XMM), "
		    "which BPF programs cannot read (leave it out: it has no part in where the others are)");
	check_error("-a -m ''", "--modules: \"\" is not a module (expected: task, cpu, mem, net, syscall, memleak)");
	check_error("-a --csv ''", "--csv: it is empty (expected a directory)");
	check_error("--list ruels", "--list: there is no list of \"ruels\" (expected metrics, modules, rules or tasks)");
	check_error("-a --cpu ps", "--cpu: there is no \"ps\" (expected bpf, stat or top)");
	check_error("--cpu stat -r busy",
		    "--rule: rules are judged by the collector's kernel side (expected no --cpu stat or top)");
	check_error("--frobnicate", "--frobnicate: unknown option (see --help)");
	check_error("-a -i", "-i: missing argument (see --help)");
	check_error("prog arg", "prog: unexpected word (expected -- before a command; see --help)");
	check_error("-a --", "--: nothing follows (expected a command)");
	check_error("--list tasks -- prog", "--list: tasks takes no command");
	check_error(
		"-t -i 1",
		"nothing is selected (expected --pid, --name, --regex, --user, --cgroup, --rule, --all or -- COMMAND; see --help)");
}

static void a_socket_path_must_fit_its_address(void **state)
{
	char line[256] = "-a -s /";

	(void)state;
	memset(line + strlen(line), 'x', 107);
	check_error(line, "--socket: the path has 108 bytes (expected at most 107)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_as_documented),      cmocka_unit_test(values_are_read),
		cmocka_unit_test(names_and_users_select_from_all), cmocka_unit_test(names_may_be_expressions_and_cgroups_narrow),
		cmocka_unit_test(commands_keep_their_options),     cmocka_unit_test(actions_need_no_selection),
		cmocka_unit_test(errors_say_what_was_expected),    cmocka_unit_test(a_socket_path_must_fit_its_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
