/* SPDX-License-Identifier: BSD-2-Clause */
#include "rule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "unit.h"

/* Read `text` as a file; the error without the path before it goes to `error`. */
static int read_text(struct rules *rules, const char *text, char *error, size_t size)
{
	char path[] = FILES_TEMPLATE, message[512] = "";
	int err;

	write_text(path, text);
	err = rules_read(rules, path, message, sizeof(message));
	remove_text(path, err, message, error, size);
	return err;
}

/* The one rule of a file whose rules are this. */
static const struct rule *one_rule(struct rules *rules, const char *text)
{
	char file[2048], error[512];

	snprintf(file, sizeof(file), "{ \"rules\": { \"r\": %s } }", text);
	if (read_text(rules, file, error, sizeof(error)))
		fail_msg("%s", error);
	return rules_find(rules, "r");
}

static void all_keys_must_hold(void **state)
{
	struct rules rules = { 0 };
	const struct rule *rule = one_rule(&rules, "{ \"comm\": [\"b*\", \"a\"], \"argv\": \"x\", \"children\": true }");

	(void)state;
	assert_int_equal(rule->term_count, 2);
	assert_string_equal(rule->terms[0].text, "comm a,b*");
	assert_string_equal(rule->terms[1].text, "argv x");
	assert_int_equal(rule->clause_count, 1);
	assert_int_equal(rule->clauses[0].need, 3);
	assert_int_equal(rule->clauses[0].except, 0);
	assert_true(rule->children);
	rules_free(&rules);
}

static void alternatives_and_exceptions_are_multiplied_out(void **state)
{
	struct rules rules = { 0 };
	const struct rule *rule =
		one_rule(&rules, "{ \"any\": [ {\"comm\": \"a\"}, {\"comm\": \"b\", \"argv\": \"c\"} ],"
				 "  \"all\": [ {\"user\": 7}, {\"connection\": {\"protocol\": \"udp\", \"port\": 53}} ],"
				 "  \"except\": [ {\"comm\": \"d\"}, {\"argv\": \"c\"} ] }");

	(void)state;
	assert_int_equal(rule->clause_count, 2);
	assert_int_equal(rule->term_count, 6); /* `argv c` is one term */
	assert_int_equal(rule->clauses[0].need, 1 | 8 | 16);
	assert_int_equal(rule->clauses[1].need, 2 | 4 | 8 | 16);
	assert_int_equal(rule->clauses[0].except, 32 | 4);
	assert_int_equal(rule->terms[4].connection.protocol, 17);
	assert_int_equal(rule->terms[4].connection.port, 53);
	rules_free(&rules);
}

static void limits_have_units(void **state)
{
	struct rules rules = { 0 };
	const struct rule *rule = one_rule(&rules, "{ \"limit\": {\"task_on_cpu_ns_rate\": {\"above\": 0.8, \"hold\": 2.5}} }");

	(void)state;
	assert_int_equal(rule->terms[0].limit.metric, M_task_on_cpu_ns);
	assert_int_equal(rule->terms[0].limit.value, 800000000);
	assert_int_equal(rule->terms[0].limit.hold_ns, 2500000000);
	assert_true(rule->terms[0].limit.is_rate);
	rule = one_rule(&rules, "{ \"limit\": {\"task_fd_count\": {\"below\": 3}} }");
	assert_int_equal(rule->terms[0].limit.value, 3);
	assert_true(rule->terms[0].limit.below);
	assert_int_equal(rule->terms[0].limit.hold_ns, 10000000000);
	assert_int_equal(rules.count, 1); /* a later one replaces an earlier one */
	rules_free(&rules);
}

static void mistakes_are_told_with_line_and_rule(void **state)
{
	static const struct {
		const char *rule, *error;
	} cases[] = {
		{ "{}", ":2: rule \"r\" selects nothing" },
		{ "7", ":2: rule \"r\": expected an object" },
		{ "{\n\"cmom\": \"a\" }", ":3: unknown key \"cmom\" (did you mean \"comm\"?)" },
		{ "{\n\"comm\": \"a-name-of-16-byte\" }", ":3: \"comm\": expected a name of at most 15 bytes" },
		{ "{\n\"comm\": [ \"r\",\n\"a*b\" ] }", ":4: \"comm\": expected" },
		{ "{ \"comm\": [] }", ":2: \"comm\": an empty list" },
		{ "{ \"comm\": \"a\",\n\"comm\": \"b\" }", ":3: \"comm\" is there twice, first in line 2" },
		{ "{ \"argv\": 3 }", ":2: \"argv\": expected a whole argument" },
		{ "{ \"user\": \"no such user\" }", ":2: \"user\": expected the name of an existing user" },
		{ "{ \"connection\": \"sctp\" }", ":2: \"connection\": expected" },
		{ "{ \"connection\": {\n\"port\": 65536} }", ":3: \"port\": expected" },
		{ "{ \"limit\": 3 }", ":2: \"limit\": expected {METRIC" },
		{ "{ \"limit\": {\n\"task_state\": {\"above\": 1}} }", ":3: \"task_state\": expected a metric of cost free" },
		{ "{ \"limit\": {\"task_syscall_count\": {\"above\": 1}} }", ":2: \"task_syscall_count\": expected" },
		{ "{ \"limit\": {\"task_fd_count_rate\": {\"above\": 1}} }", ":2: \"task_fd_count_rate\": expected" },
		{ "{ \"limit\": {\"task_fd_count\": {}} }", ":2: \"task_fd_count\" has neither" },
		{ "{ \"limit\": {\"task_fd_count\": {\"above\": -1}} }", ":2: \"above\": expected a number" },
		{ "{ \"limit\": {\"task_fd_count\": {\"above\": 1, \"below\": 2}} }", ":2: expected one of" },
		{ "{ \"except\": {\"comm\": \"a\"} }", ":2: rule \"r\" selects nothing" },
		{ "{ \"comm\": \"a\", \"except\": {\"comm\": \"b\", \"argv\": \"c\"} }",
		  ":2: \"except\": expected a condition of one key" },
		{ "{ \"comm\": \"a\", \"except\": [] }", ":2: \"except\": expected a condition of one key" },
		{ "{ \"any\": [ {\"comm\": \"a\"},\n{} ] }", ":3: expected a condition: an object with at least one key" },
		{ "{ \"any\": [ {\"comm\": \"a\", \"children\": true} ] }", ":2: unknown key \"children\"" },
		{ "{ \"comm\": \"a\", \"children\": 1 }", ":2: \"children\": expected true or false" },
	};
	struct rules rules = { 0 };
	char file[1024], error[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(file, sizeof(file), "{ \"rules\": {\n \"r\": %s } }", cases[i].rule);
		assert_int_equal(read_text(&rules, file, error, sizeof(error)), -EINVAL);
		if (strncmp(error, cases[i].error, strlen(cases[i].error)) != 0)
			fail_msg("%s: %s", cases[i].rule, error);
		assert_null(strchr(error, '\n'));
		assert_int_equal(rules.count, 0);
	}
	assert_int_equal(read_text(&rules, "{ \"rules\":\n[] }", error, sizeof(error)), -EINVAL);
	assert_string_equal(error, ":1: \"rules\": expected an object of rules by name");
	assert_int_equal(
		read_text(&rules, "{ \"rules\": {\n\"one\": {\"comm\": \"a\"},\n\"two words\": {}} }", error, sizeof(error)),
		-EINVAL);
	assert_ptr_equal(strstr(error, ":3: rule \"two words\": expected a name"), error);
	assert_int_equal(rules.count, 0); /* nor the rule before the mistake */
	assert_int_equal(read_text(&rules, "{", error, sizeof(error)), -EINVAL);
	assert_int_equal(rules_read(&rules, "/nonexistent/rules", error, sizeof(error)), -ENOENT);
	assert_int_equal(read_text(&rules, "{ \"socket\": \"/x\" }", error, sizeof(error)), 0);
}

static void too_many_alternatives_are_refused(void **state)
{
	char text[8192] = "{ \"all\": [";
	struct rules rules = { 0 };
	char file[16384], error[512];

	(void)state;
	for (int i = 0; i < 7; i++) /* 2^7 */
		sprintf(text + strlen(text), "%s{\"any\": [{\"comm\": \"a%d\"}, {\"comm\": \"b%d\"}]}", i ? "," : "", i, i);
	strcat(text, "] }");
	snprintf(file, sizeof(file), "{ \"rules\": { \"r\": %s } }", text);
	assert_int_equal(read_text(&rules, file, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "more than 64 alternatives"));
}

static void there_are_not_too_many(void **state)
{
	char path[] = "/tmp/taskmon-unit-XXXXXX", error[512];
	struct rules rules = { 0 };
	FILE *file = fdopen(mkstemp(path), "w");

	(void)state;
	assert_non_null(file);
	fprintf(file, "{ \"rules\": { \"r\": { \"description\": \"");
	for (int i = 0; i < 400; i++)
		fputs("\xc3\xa4", file); /* two bytes each, of which the 500th is the second */
	fputs("x\", \"comm\": \"a\" }", file);
	for (int i = 0; i < RULES_MAX - 1; i++)
		fprintf(file, ", \"r%d\": { \"comm\": \"a\" }", i);
	fputs("\n} }", file);
	fclose(file);
	assert_int_equal(rules_load(&rules, path, NULL, error, sizeof(error)), 0);
	assert_int_equal(rules.count, RULES_MAX);
	assert_int_equal(strlen(rules.list[0]->text), 500 + strlen("..."));
	assert_memory_equal(rules.list[0]->text + 498, "\xc3\xa4...", 6);
	file = fopen(path, "r+");
	fseek(file, -4, SEEK_END);
	fputs(", \"s\": { \"comm\": \"a\" } } }", file);
	fclose(file);
	assert_int_equal(rules_load(&rules, path, NULL, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, ":1: more than 1000 rules"));
	assert_int_equal(rules.count, RULES_MAX);
	unlink(path);
	rules_free(&rules);
}

static void a_mistake_leaves_the_old_rules(void **state)
{
	struct rules rules = { 0 };
	char error[512];

	(void)state;
	one_rule(&rules, "{ \"comm\": \"a\" }");
	assert_int_equal(rules_load(&rules, NULL, "/nonexistent", error, sizeof(error)), -EINVAL);
	assert_non_null(rules_find(&rules, "r"));
	rules_free(&rules);
}

static void known_applications_are_valid(void **state)
{
	struct rules rules = { 0 };
	char error[512];

	(void)state;
	if (access("config/known-apps.json", F_OK))
		skip(); /* not run from the tree */
	if (rules_read(&rules, "config/known-apps.json", error, sizeof(error)))
		fail_msg("%s", error);
	assert_non_null(rules_find(&rules, "kafka"));
	assert_true(rules.count >= 19);
	rules_free(&rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_keys_must_hold),
		cmocka_unit_test(alternatives_and_exceptions_are_multiplied_out),
		cmocka_unit_test(limits_have_units),
		cmocka_unit_test(mistakes_are_told_with_line_and_rule),
		cmocka_unit_test(too_many_alternatives_are_refused),
		cmocka_unit_test(there_are_not_too_many),
		cmocka_unit_test(a_mistake_leaves_the_old_rules),
		cmocka_unit_test(known_applications_are_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
