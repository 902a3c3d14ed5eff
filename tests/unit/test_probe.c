/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

static struct probe_set set;
static char error[512];

static int parse(const char *text, const char *arguments)
{
	char *texts[] = { (char *)text };

	error[0] = '\0';
	return probe_set_parse(&set, texts, 1, arguments, error, sizeof(error));
}

static void expect(const char *text, const char *binary, const char *function, size_t arguments)
{
	assert_int_equal(parse(text, NULL), 0);
	assert_string_equal(set.list[0].binary, binary);
	assert_string_equal(set.list[0].function, function);
	assert_int_equal(set.list[0].declaration.count, arguments);
	probe_set_free(&set);
}

static void a_probe_is_a_file_a_function_and_arguments(void **state)
{
	(void)state;
	expect("./main:func1", "./main", "func1", 0);
	expect("libc.so.6:malloc(size_t size)", "libc.so.6", "malloc", 1);
	expect("a:f()", "a", "f", 0);
	expect("a:f(int x, char [10] y)", "a", "f", 2);
	expect("a:ns::Class::method", "a", "ns::Class::method", 0);
	expect("a:ns::f(int)(int x)", "a", "ns::f(int)", 1);
	expect("a:ns::f(int (*)(int), char const*)(void *callback)", "a", "ns::f(int (*)(int), char const*)", 1);
	expect("a:Class::operator()(int)(void *self)", "a", "Class::operator()(int)", 1);
	expect("a:_ZN2ns1fEi", "a", "_ZN2ns1fEi", 0);
	assert_int_equal(parse("a:f", "int x, long y"), 0);
	assert_int_equal(set.list[0].declaration.count, 2);
	probe_set_free(&set);
	assert_int_equal(parse("a:f()", "int x, long y"), 0); /* it says of itself that there are none */
	assert_int_equal(set.list[0].declaration.count, 0);
	probe_set_free(&set);
}

static void what_is_no_probe_is_refused(void **state)
{
	static const char *const texts[] = { "", ":", "a", "a:", ":f", "a:f(double x)", "a:f(int", "a:(int x)" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int err = parse(texts[i], NULL);

		/* the last two are names of functions, if strange ones */
		assert_int_equal(err, i < 6 ? -EINVAL : 0);
		assert_int_equal(!err, !error[0]);
		probe_set_free(&set);
	}
}

static void arguments_of_one_name_share_a_column(void **state)
{
	char *texts[] = { "a:f(int x, int y)", "a:g(char *y, int z)" };

	(void)state;
	assert_int_equal(probe_set_parse(&set, texts, 2, NULL, error, sizeof(error)), 0);
	assert_int_equal(set.column_count, 3);
	assert_string_equal(set.columns[0], "x");
	assert_string_equal(set.columns[1], "y");
	assert_string_equal(set.columns[2], "z");
	assert_int_equal(set.list[1].column[0], 1);
	assert_int_equal(set.list[1].column[1], 2);
	probe_set_free(&set);
}

static void there_may_not_be_too_many(void **state)
{
	char *texts[PROBES_MAX + 1];

	(void)state;
	for (size_t i = 0; i <= PROBES_MAX; i++)
		texts[i] = "a:f";
	assert_int_equal(probe_set_parse(&set, texts, PROBES_MAX + 1, NULL, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "too many"));
	probe_set_free(&set);
}

static void functions_of_this_program_are_found(void **state)
{
	(void)state;
	assert_int_equal(parse("/proc/self/exe:functions_of_this_program_are_found", NULL), 0);
	assert_int_equal(probe_files_open(&set, NULL, 0, NULL), 0);
	assert_int_equal(set.symbol_count, 1);
	assert_int_equal(set.file_count, 1);
	assert_string_equal(set.symbols[0].name, "functions_of_this_program_are_found");
	probe_set_free(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_probe_is_a_file_a_function_and_arguments), cmocka_unit_test(what_is_no_probe_is_refused),
		cmocka_unit_test(arguments_of_one_name_share_a_column),       cmocka_unit_test(there_may_not_be_too_many),
		cmocka_unit_test(functions_of_this_program_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
