/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "metric.h"
#include "modules.h"
#include "proc_figures.h"
#include "unit.h"

enum { ARGUMENTS_MAX = 16 };

/* Options with `text` as the file of -c and then `more`, a word each; the error without the path before it in `error`. */
static int read_with(struct options *options, const char *text, const char *more, char *error, size_t size)
{
	char path[] = FILES_TEMPLATE, message[512] = "", words[256];
	char *argv[ARGUMENTS_MAX] = { "taskmon-report", "-a", "-c", path }, *rest = words;
	int err, argc = 4;

	write_text(path, text);
	snprintf(words, sizeof(words), "%s", more);
	for (char *word; *words && (word = strsep(&rest, " "));)
		argv[argc++] = word;
	err = options_parse(options, argc, argv, message, sizeof(message));
	remove_text(path, err, message, error, size);
	return err;
}

static void accept(struct options *options, const char *text, const char *more)
{
	char error[512];
	int err = read_with(options, text, more, error, sizeof(error));

	assert_string_equal(error, "");
	assert_int_equal(err, 0);
}

static void refuse(const char *text, const char *want)
{
	struct options options;
	char error[512];

	assert_int_equal(read_with(&options, text, "", error, sizeof(error)), -EINVAL);
	assert_string_equal(error, want);
	options_free(&options);
}

/* seeds/000-snoop-readme.md without the comments. */
static const char seed[] = "{\n"
			   "    \"snoop_cpu\": \"None\",\n"
			   "    \"cpu_output_file\": \"cpu.csv\",\n"
			   "    \"snoop_mem\": \"None\",\n"
			   "    \"mem_output_file\": \"mem.csv\",\n"
			   "    \"memleak_probes\":{\n"
			   "        \"probes\":[\"./mem_example/main:func1\"],\n"
			   "        \"output_file\":\"tmp.csv\",\n"
			   "        \"additional_var\": \"int parm1, char [10] parm2\"\n"
			   "    },\n"
			   "    \"snoop_network\": \"bcc\",\n"
			   "    \"network_output_file\": \"net.csv\",\n"
			   "    \"snoop_syscall\": \"None\",\n"
			   "    \"syscall_output_file\": \"syscall.csv\",\n"
			   "    \"interval\": 5,\n"
			   "    \"trace_multiprocess\": \"true\"\n"
			   "}\n";

static void the_seeds_example_is_accepted(void **state)
{
	struct options options;

	(void)state;
	accept(&options, seed, ""); /* of all processes, in which nothing is probed */
	assert_int_equal(options.modules, MODULE_BIT(MODULE_NET));
	assert_string_equal(options.csv_dir, ".");
	assert_string_equal(options.files[MODULE_NET], "net.csv");
	assert_int_equal(options.probe_count, 1);
	assert_string_equal(options.probes[0], "./mem_example/main:func1");
	assert_string_equal(options.probe_variables, "int parm1, char [10] parm2");
	assert_null(options.probe_set);
	assert_int_equal(options.interval_ns, 5000000000);
	assert_int_equal(options.children, CHILDREN_FOLLOWED);
	options_free(&options);
}

static void options_win_over_the_file(void **state)
{
	struct options options;

	(void)state;
	accept(&options, seed, "-m cpu,task -i 0.5 --no-children --csv out -s /tmp/x");
	assert_int_equal(options.modules, MODULE_BIT(MODULE_CPU) | MODULE_BIT(MODULE_TASK));
	assert_int_equal(options.interval_ns, 500000000);
	assert_int_equal(options.children, CHILDREN_IGNORED);
	assert_string_equal(options.csv_dir, "out");
	assert_string_equal(options.files[MODULE_CPU], "cpu.csv");
	assert_string_equal(options.socket_path, "/tmp/x");
	options_free(&options);
}

static void what_is_not_said_keeps_its_default(void **state)
{
	struct options options;

	(void)state;
	accept(&options, "{}", "");
	assert_int_equal(options.modules, MODULES_DEFAULT);
	assert_int_equal(options.metrics, metric_set_of_cost(METRIC_FREE));
	assert_null(options.csv_dir);
	assert_int_equal(options.children, CHILDREN_OF_COMMAND);
	assert_int_equal(options.thresholds.count, 0);
	options_free(&options);
	accept(&options, "{\"cpu_output_file\": \"x.csv\"}", ""); /* cpu is on unless something is said of it */
	assert_string_equal(options.csv_dir, ".");
	options_free(&options);
}

static void own_keys_stand_beside_the_seeds(void **state)
{
	struct options options;

	(void)state;
	accept(&options,
	       "{\"snoop_cpu\": \"bpf\", \"modules\": [\"task\", \"net\"], \"metrics\": \"task_fd_count,task_state\",\n"
	       "\"csv\": \"out\", \"json\": \"-\", \"threads\": true, \"socket\": \"/tmp/x\", \"duration\": 2.5,\n"
	       "\"interval\": 0.25, \"trace_multiprocess\": false, \"memleak_probes\": null, \"snoop_mem\": null}",
	       "");
	assert_int_equal(options.modules, MODULE_BIT(MODULE_CPU) | MODULE_BIT(MODULE_TASK) | MODULE_BIT(MODULE_NET));
	assert_int_equal(options.metrics, METRIC_BIT(M_task_fd_count) | METRIC_BIT(M_task_state));
	assert_string_equal(options.csv_dir, "out");
	assert_string_equal(options.json_path, "-");
	assert_true(options.threads);
	assert_string_equal(options.socket_path, "/tmp/x");
	assert_int_equal(options.duration_ns, 2500000000);
	assert_int_equal(options.interval_ns, 250000000);
	assert_int_equal(options.children, CHILDREN_IGNORED);
	options_free(&options);
	accept(&options, "{\"snoop_cpu\": \"bcc\", \"modules\": \"net\", \"metrics\": [\"task_fd_count\"]}", "");
	assert_int_equal(options.modules, MODULE_BIT(MODULE_CPU) | MODULE_BIT(MODULE_NET));
	assert_int_equal(options.metrics, METRIC_BIT(M_task_fd_count));
	options_free(&options);
}

static void cpu_time_may_be_told_by_others(void **state)
{
	static const struct {
		const char *text, *more;
		enum cpu_source cpu;
		bool is_local, needs_collector;
	} cases[] = {
		{ "{\"snoop_cpu\": \"stat\", \"csv\": \"out\"}", "", CPU_STAT, true, false },
		{ "{\"snoop_cpu\": \"top\"}", "", CPU_TOP, true, false },
		{ "{\"snoop_cpu\": \"top\"}", "--cpu stat", CPU_STAT, true, false },
		{ "{\"snoop_cpu\": \"stat\"}", "--cpu bpf", CPU_BPF, false, true },
		{ "{\"snoop_cpu\": \"bcc\"}", "", CPU_BPF, false, true },
		{ "{\"snoop_cpu\": \"stat\", \"snoop_network\": \"bcc\", \"csv\": \"out\"}", "", CPU_STAT, true, true },
		{ "{\"snoop_cpu\": \"stat\", \"csv\": \"out\"}", "-m net", CPU_STAT, false, true },
		{ "{\"snoop_cpu\": \"stat\"}", "--list tasks", CPU_STAT, false, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct options options;

		accept(&options, cases[i].text, cases[i].more);
		assert_int_equal(options.cpu, cases[i].cpu);
		assert_int_equal(options_cpu_is_local(&options), cases[i].is_local);
		assert_int_equal(options_need_collector(&options), cases[i].needs_collector);
		if (!cases[i].needs_collector)
			assert_int_equal(options.metrics & ~PROC_METRICS, 0);
		options_free(&options);
	}
}

static void long_runs_have_their_keys(void **state)
{
	struct options options;

	(void)state;
	accept(&options, "{\"rotate_bytes\": 1048576, \"rotate_seconds\": 86400, \"keep\": 13, \"append\": true}", "");
	assert_int_equal(options.output.rotate_bytes, 1 << 20);
	assert_int_equal(options.output.rotate_ns, 86400000000000);
	assert_int_equal(options.output.keep, 13);
	assert_true(options.output.append);
	options_free(&options);
	accept(&options, "{\"rotate_bytes\": \"10M\", \"append\": false}", "--keep 3 --rotate-bytes 5M");
	assert_int_equal(options.output.rotate_bytes, 5 << 20);
	assert_int_equal(options.output.keep, 3);
	assert_false(options.output.append);
	options_free(&options);
}

static void mistakes_are_told_with_their_line(void **state)
{
	static const char off[] = "expected \"bpf\" (or \"bcc\"), \"None\" or null";
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "{\n \"intervall\": 5 }", ":2: unknown key \"intervall\" (did you mean \"interval\"?)" },
		{ "{\n \"xyz\": 5 }", ":2: unknown key \"xyz\"" },
		{ "{ \"snoop_cpu\": \"perf\" }",
		  ":1: \"snoop_cpu\": expected \"bpf\" (or \"bcc\"), \"stat\", \"top\", \"None\" or null" },
		{ "{ \"snoop_cpu\": true }",
		  ":1: \"snoop_cpu\": expected \"bpf\" (or \"bcc\"), \"stat\", \"top\", \"None\" or null" },
		{ "{ \"snoop_mem\": true }", ":1: \"snoop_mem\": expected \"bpf\" (or \"bcc\"), \"None\" or null" },
		{ "{ \"snoop_syscall\": \"stat\" }", ":1: \"snoop_syscall\": expected \"bpf\" (or \"bcc\"), \"None\" or null" },
		{ "{ \"cpu_output_file\": 1 }", ":1: \"cpu_output_file\": expected the name of a file" },
		{ "{ \"mem_output_file\": \"\" }", ":1: \"mem_output_file\": expected the name of a file" },
		{ "{ \"network_output_file\": null }", ":1: \"network_output_file\": expected the name of a file" },
		{ "{ \"syscall_output_file\": [] }", ":1: \"syscall_output_file\": expected the name of a file" },
		{ "{\"snoop_cpu\": \"bpf\",\n\"network_output_file\": \"cpu.csv\"}",
		  ":2: \"network_output_file\": \"cpu.csv\" is the file of cpu, too (expected one of its own)" },
		{ "{\"memleak_probes\": {\n\"output_file\": \"event.csv\"}}",
		  ":2: \"output_file\": \"event.csv\" is the file of the events, too (expected one of its own)" },
		{ "{ \"memleak_probes\": [] }",
		  ":1: \"memleak_probes\": expected an object with \"probes\", \"output_file\" and \"additional_var\", or null" },
		{ "{ \"memleak_probes\": {\n\"probes\": [\"main\"] } }",
		  ":2: \"probes\": expected a list of functions, each \"BINARY:FUNCTION\"" },
		{ "{ \"memleak_probes\": {\n\"prob\": [] } }", ":2: unknown key \"prob\" (did you mean \"probes\"?)" },
		{ "{ \"memleak_probes\": {\n\n\"additional_var\": \"int a, double x\" } }",
		  ":3: \"additional_var\": argument 2 \"double x\": a floating-point number is passed in a vector register (XMM), "
		  "which BPF "
		  "programs cannot read (leave it out: it has no part in where the others are)" },
		{ "{ \"memleak_probes\": {\n\n\"additional_var\": 1 } }",
		  ":3: \"additional_var\": expected arguments as in C, such as \"int size, char [10] name\"" },
		{ "{ \"interval\": 0 }", ":1: \"interval\": expected 0.1 to 3600 seconds, a number" },
		{ "{ \"interval\": \"5\" }", ":1: \"interval\": expected 0.1 to 3600 seconds, a number" },
		{ "{ \"interval\": 1e999 }", ":1: \"interval\": expected 0.1 to 3600 seconds, a number" },
		{ "{ \"duration\": -1 }", ":1: \"duration\": expected 0.1 to 31536000 seconds, a number" },
		{ "{ \"trace_multiprocess\": \"yes\" }", ":1: \"trace_multiprocess\": expected true or false" },
		{ "{ \"trace_multiprocess\": 1 }", ":1: \"trace_multiprocess\": expected true or false" },
		{ "{ \"rotate_bytes\": 10 }",
		  ":1: \"rotate_bytes\": \"10\" is not a number in range (expected 4096 to 1125899906842624)" },
		{ "{ \"rotate_bytes\": null }", ":1: \"rotate_bytes\": expected a number of bytes, or \"10M\"" },
		{ "{ \"rotate_seconds\": 0 }", ":1: \"rotate_seconds\": 0 is out of range (expected 1 to 31536000 seconds)" },
		{ "{ \"keep\": 2.5 }", ":1: \"keep\": \"2.5\" is not a number in range (expected 1 to 1000)" },
		{ "{ \"append\": \"true\" }", ":1: \"append\": expected true or false" },
		{ "{ \"threads\": \"true\" }", ":1: \"threads\": expected true or false" },
		{ "{ \"csv\": \"\" }", ":1: \"csv\": it is empty (expected a directory)" },
		{ "{ \"csv\": 7 }", ":1: \"csv\": expected the name of a directory" },
		{ "{ \"json\": null }", ":1: \"json\": expected the name of a file, or \"-\"" },
		{ "{ \"socket\": 1 }", ":1: \"socket\": expected the path of a socket" },
		{ "{ \"modules\": [] }", ":1: \"modules\": expected a list of modules" },
		{ "{ \"modules\": [\"cpu\", 1] }", ":1: \"modules\": expected a list of modules" },
		{ "{ \"modules\": [\"cpu\", \"gpu\"] }",
		  ":1: \"modules\": \"gpu\" is not a module (expected: task, cpu, mem, net, syscall, memleak)" },
		{ "{ \"metrics\": \"fd_cuont\" }", ":1: \"metrics\": unknown metric \"fd_cuont\" (did you mean task_fd_count? "
						   "expected free, all or names from --list metrics)" },
		{ "{ \"thresholds\": {} }", ":1: \"thresholds\": expected a list of thresholds, each an object" },
		{ "{ \"interval\": 1,\n \"csv\": \"x\",\n \"interval\": 2 }", ":3: \"interval\" is there twice, first in line 1" },
		{ "{ \"snoop_network\": \"stat\" }", NULL },
		{ "{ \"snoop_mem\": \"top\" }", NULL },
		{ "{\n\"csv\": \"x\" # where\n}", ":2: not valid JSON (it has no comments)" },
		{ "[]", ":1: not valid JSON (an object was expected)" },
	};
	char want[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(want, sizeof(want), ":1: \"snoop_%s\": %s", strstr(cases[i].text, "_mem") ? "mem" : "network", off);
		refuse(cases[i].text, cases[i].error ? cases[i].error : want);
	}
}

/* Whatever key it is, a second time is one too often. */
static void no_key_may_be_there_twice(void **state)
{
	static const char *const pairs[] = {
		"\"snoop_cpu\": null",
		"\"cpu_output_file\": \"a\"",
		"\"snoop_mem\": null",
		"\"mem_output_file\": \"a\"",
		"\"memleak_probes\": null",
		"\"snoop_network\": null",
		"\"network_output_file\": \"a\"",
		"\"snoop_syscall\": null",
		"\"syscall_output_file\": \"a\"",
		"\"interval\": 1",
		"\"trace_multiprocess\": true",
		"\"thresholds\": []",
		"\"csv\": \"a\"",
		"\"json\": \"a\"",
		"\"metrics\": \"all\"",
		"\"modules\": \"cpu\"",
		"\"threads\": true",
		"\"socket\": \"/a\"",
		"\"duration\": 1",
	};
	char text[256], want[256];
	struct options options;

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		snprintf(text, sizeof(text), "{%s}", pairs[i]);
		accept(&options, text, "");
		options_free(&options);
		snprintf(text, sizeof(text), "{%s,\n%s}", pairs[i], pairs[i]);
		snprintf(want, sizeof(want), ":2: %.*s is there twice, first in line 1", (int)(strchr(pairs[i], ':') - pairs[i]),
			 pairs[i]);
		refuse(text, want);
	}
}

static void thresholds_get_their_defaults(void **state)
{
	const struct threshold_rule *rule;
	struct options options;

	(void)state;
	accept(&options,
	       "{\"thresholds\": [ {\"metric\": \"task_cpu_percent\"},\n"
	       " {\"name\": \"w\", \"metric\": \"task_write_bytes_rate\", \"method\": \"ewma\", \"k\": 5, \"side\": \"above\",\n"
	       "  \"for\": 2.5, \"floor\": 10, \"warmup\": 7, \"window\": 9, \"clear\": 1, \"mode\": \"only\",\n"
	       "  \"match\": {\"name\": [\"a*\", \"b\"], \"user\": \"root\"}},\n"
	       " {\"metric\": \"task_fd_count\", \"method\": \"static\", \"above\": 100, \"below\": 10} ] }",
	       "");
	assert_int_equal(options.thresholds.count, 3);
	rule = &options.thresholds.list[0];
	assert_string_equal(rule->name, "task_cpu_percent:mad");
	assert_int_equal(rule->method, THRESHOLD_MAD);
	assert_int_equal(rule->figure, THRESHOLD_CPU_PERCENT);
	assert_int_equal(rule->sides, THRESHOLD_ABOVE | THRESHOLD_BELOW);
	assert_true(rule->k == THRESHOLD_K_MAD && rule->clear == THRESHOLD_K_MAD / 2 && rule->floor == THRESHOLD_CPU_FLOOR);
	assert_int_equal(rule->window, THRESHOLD_WINDOW);
	assert_int_equal(rule->warmup, THRESHOLD_WARMUP);
	assert_int_equal(threshold_for_ns(rule, 1000), 500);
	rule++;
	assert_string_equal(rule->name, "w");
	assert_int_equal(rule->figure, THRESHOLD_RATE);
	assert_int_equal(rule->metric, M_task_write_bytes);
	assert_int_equal(rule->method, THRESHOLD_EWMA);
	assert_true(rule->k == 5 && rule->clear == 1 && rule->floor == 10 && rule->only);
	assert_int_equal(rule->sides, THRESHOLD_ABOVE);
	assert_int_equal(rule->for_ns, 2500000000);
	assert_int_equal(rule->window, 9);
	assert_int_equal(rule->warmup, 7);
	assert_int_equal(rule->match.name_count, 2);
	assert_int_equal(rule->match.uid_count, 1);
	rule++;
	assert_string_equal(rule->name, "task_fd_count:static");
	assert_int_equal(rule->figure, THRESHOLD_VALUE);
	assert_true(rule->above == 100 && rule->clear == 90 && rule->below == 10 && rule->clear_below == 11);
	assert_int_equal(rule->warmup, 0);
	assert_int_equal(threshold_rules_deltas(&options.thresholds),
			 METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_write_bytes));
	assert_int_equal(threshold_rules_needs(&options.thresholds),
			 METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_write_bytes) | METRIC_BIT(M_task_fd_count));
	options_free(&options);
}

static void mistakes_in_thresholds_are_told(void **state)
{
	static const struct {
		const char *rule, *error;
	} cases[] = {
		{ "7", ":2: a threshold is an object (expected {\"metric\": ...})" },
		{ "{}", ":2: a threshold without \"metric\" (expected what it is about)" },
		{ "{\"metrik\": 1}", ":2: unknown key \"metrik\" (did you mean \"metric\"?)" },
		{ "{\n\"metric\": 1}", ":3: \"metric\": expected task_cpu_percent, a metric or NAME_rate" },
		{ "{\"metric\": \"task_state\"}", ":2: \"metric\": task_state is no number (expected a metric that is one)" },
		{ "{\"metric\": \"task_vm_size_rate\"}",
		  ":2: \"metric\": task_vm_size is a gauge and has no rate (expected its name alone, or a counter)" },
		{ "{\"metric\": \"task_fd_cuont\"}", ":2: \"metric\": unknown metric \"task_fd_cuont\" (did you mean "
						     "task_fd_count? expected task_cpu_percent, a metric or NAME_rate)" },
		{ "{\"metric\": \"task_rchar_bytes\"}",
		  ":2: task_rchar_bytes only ever grows, and so has no normal value (expected task_rchar_bytes_rate)" },
		{ "{\"metric\": \"task_fd_count\", \"method\": \"magic\"}",
		  ":2: \"method\": expected \"static\", \"ewma\" or \"mad\"" },
		{ "{\"metric\": \"task_fd_count\", \"method\": \"static\"}",
		  ":2: a static threshold has no limit (expected \"above\" or \"below\")" },
		{ "{\"metric\": \"task_fd_count\", \"method\": \"static\", \"above\": 5, \"below\": 5}",
		  ":2: \"below\" is not less than \"above\" (expected room between them)" },
		{ "{\"metric\": \"task_fd_count\", \"method\": \"static\", \"above\": 5, \"clear\": 6}",
		  ":2: \"clear\" is on the wrong side of the limit (expected it within the one limit)" },
		{ "{\"metric\": \"task_fd_count\", \"method\": \"static\", \"above\": 5, \"k\": 6}",
		  ":2: \"k\" is not for a static threshold (expected it with ewma or mad)" },
		{ "{\"metric\": \"task_fd_count\", \"method\": \"static\", \"above\": 5, \"side\": \"above\"}",
		  ":2: \"side\" is not for a static threshold (expected \"above\" or \"below\" alone)" },
		{ "{\"metric\": \"task_fd_count\", \"above\": 5}",
		  ":2: \"above\" is for static thresholds only (expected \"k\" and \"side\")" },
		{ "{\"metric\": \"task_fd_count\", \"clear\": 50}",
		  ":2: \"clear\" is beyond \"k\" (expected at most as many deviations)" },
		{ "{\"metric\": \"task_fd_count\", \"warmup\": 2}",
		  ":2: \"warmup\" is too short to learn from (expected at least 5 samples)" },
		{ "{\"metric\": \"task_fd_count\", \"k\": 0}", ":2: \"k\": expected a number of deviations from 0.5 to 1000" },
		{ "{\"metric\": \"task_fd_count\", \"window\": 4}",
		  ":2: \"window\": expected a number of samples from 5 to 10000" },
		{ "{\"metric\": \"task_fd_count\", \"warmup\": 1.5}", ":2: \"warmup\": expected a number of samples up to 100000" },
		{ "{\"metric\": \"task_fd_count\", \"for\": -1}", ":2: \"for\": expected a number of seconds from 0 to 86400" },
		{ "{\"metric\": \"task_fd_count\", \"floor\": \"1\"}", ":2: \"floor\": expected a number, 0 or more" },
		{ "{\"metric\": \"task_fd_count\", \"side\": \"left\"}",
		  ":2: \"side\": expected \"above\", \"below\" or \"both\"" },
		{ "{\"metric\": \"task_fd_count\", \"mode\": \"drop\"}", ":2: \"mode\": expected \"mark\" or \"only\"" },
		{ "{\"metric\": \"task_fd_count\", \"name\": \"two words\"}",
		  ":2: \"name\": expected a word of at most 64 letters" },
		{ "{\"metric\": \"task_fd_count\", \"match\": \"x\"}",
		  ":2: \"match\": expected an object with \"name\", \"user\" or \"rule\"" },
		{ "{\"metric\": \"task_fd_count\", \"match\": {\"user\": \"no-such-user\"}}",
		  ":2: \"user\": \"no-such-user\" is not a user (expected a user name or number)" },
		{ "{\"metric\": \"task_fd_count\", \"match\": {\"nmae\": \"x\"}}",
		  ":2: unknown key \"nmae\" (did you mean \"name\"?)" },
		{ "{\"metric\": \"task_fd_count\"},\n{\"metric\": \"task_fd_count\"}",
		  ":3: another threshold is \"task_fd_count:mad\", too (expected a \"name\" of its own)" },
		{ "{\"metric\": \"task_fd_count\", \"k\": 5,\n\"k\": 6}", ":3: \"k\" is there twice, first in line 2" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "{ \"thresholds\": [\n%s ] }", cases[i].rule);
		refuse(text, cases[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_seeds_example_is_accepted),      cmocka_unit_test(options_win_over_the_file),
		cmocka_unit_test(what_is_not_said_keeps_its_default), cmocka_unit_test(own_keys_stand_beside_the_seeds),
		cmocka_unit_test(cpu_time_may_be_told_by_others),     cmocka_unit_test(long_runs_have_their_keys),
		cmocka_unit_test(mistakes_are_told_with_their_line),  cmocka_unit_test(no_key_may_be_there_twice),
		cmocka_unit_test(thresholds_get_their_defaults),      cmocka_unit_test(mistakes_in_thresholds_are_told),
	};

	return cmocka_run_group_tests_name("report config", tests, NULL, NULL);
}
