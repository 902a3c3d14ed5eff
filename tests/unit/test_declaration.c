/* SPDX-License-Identifier: BSD-2-Clause */
#include "declaration.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

static struct declaration parsed;
static char reason[256];

static void parse(const char *text)
{
	if (declaration_parse(&parsed, text, reason, sizeof(reason)))
		fail_msg("%s: %s", text, reason);
}

static void expect(size_t i, const char *name, enum declared_kind kind, unsigned int bytes)
{
	assert_true(i < parsed.count);
	assert_string_equal(parsed.arguments[i].name, name);
	assert_int_equal(parsed.arguments[i].kind, kind);
	assert_int_equal(parsed.arguments[i].bytes, bytes);
	assert_int_equal(parsed.arguments[i].place, i);
}

static void the_example_of_the_seed_and_others(void **state)
{
	(void)state;
	parse("int parm1, char [10] parm2");
	assert_int_equal(parsed.count, 2);
	expect(0, "parm1", DECLARED_SIGNED, 4);
	expect(1, "parm2", DECLARED_TEXT, 10);
	parse("const char *name, unsigned long n,char label[255], char * const c");
	expect(0, "name", DECLARED_TEXT, 127);
	expect(1, "n", DECLARED_UNSIGNED, 8);
	expect(2, "label", DECLARED_TEXT, 255);
	expect(3, "c", DECLARED_TEXT, 127);
	parse("");
	assert_int_equal(parsed.count, 0);
	parse(" void ");
	assert_int_equal(parsed.count, 0);
}

static void integers_of_all_widths(void **state)
{
	static const struct {
		const char *text;
		enum declared_kind kind;
		unsigned int bytes;
	} cases[] = {
		{ "char x", DECLARED_SIGNED, 1 },        { "unsigned char x", DECLARED_UNSIGNED, 1 },
		{ "short x", DECLARED_SIGNED, 2 },       { "unsigned short int x", DECLARED_UNSIGNED, 2 },
		{ "unsigned x", DECLARED_UNSIGNED, 4 },  { "const int x", DECLARED_SIGNED, 4 },
		{ "long int x", DECLARED_SIGNED, 8 },    { "long long unsigned x", DECLARED_UNSIGNED, 8 },
		{ "int8_t x", DECLARED_SIGNED, 1 },      { "uint16_t x", DECLARED_UNSIGNED, 2 },
		{ "size_t x", DECLARED_UNSIGNED, 8 },    { "ssize_t x", DECLARED_SIGNED, 8 },
		{ "bool x", DECLARED_BOOL, 1 },          { "_Bool x", DECLARED_BOOL, 1 },
		{ "void *x", DECLARED_POINTER, 8 },      { "struct list *x", DECLARED_POINTER, 8 },
		{ "unknown_t *x", DECLARED_POINTER, 8 }, { "const std::string &x", DECLARED_POINTER, 8 },
		{ "double *x", DECLARED_POINTER, 8 },    { "char **x", DECLARED_POINTER, 8 },
		{ "enum color x", DECLARED_SIGNED, 4 },  { "int x[4]", DECLARED_POINTER, 8 },
		{ "pid_t x", DECLARED_SIGNED, 4 },       { "unsigned char *x", DECLARED_TEXT, 127 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(cases[i].text);
		expect(0, "x", cases[i].kind, cases[i].bytes);
	}
	parse("int, long, char *");
	expect(2, "arg3", DECLARED_TEXT, 127);
	parse("int size, int PID");
	expect(0, "arg_Size", DECLARED_SIGNED, 4);
	expect(1, "arg_PID", DECLARED_SIGNED, 4);
}

static void what_cannot_be_captured_is_refused_with_the_reason(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "int a, double x", "argument 2 \"double x\": a floating-point number is passed in a vector register" },
		{ "float x", "vector register" },
		{ "long double x", "long double" },
		{ "struct point p", "a structure by value" },
		{ "union u p", "a structure by value" },
		{ "point_t p", "the type is not known" },
		{ "void v", "void has no value" },
		{ "__int128 v", "two registers" },
		{ "const char *format, ...", "variable number" },
		{ "int (*callback)(int)", "a function" },
		{ "char [0] x", "[1] to [255]" },
		{ "char [256] x", "[1] to [255]" },
		{ "char [9 x", "no end" },
		{ "char x[3][4]", "array of arrays" },
		{ "int x y", "two names" },
		{ "int x, long x", "another argument" },
		{ "int x,", "no type" },
		{ ",", "no type" },
		{ "int x;", "no declaration" },
		{ "int 9x", "no name" },
		{ "char a[255], char b[255], char c[255], char d[255], char e", "" },
		{ "char a[255], char b[255], char c[255], char d[255], char e[1]", "too long" },
		{ "int,int,int,int,int,int,int,int,int,int,int,int,int,int,int,int,int", "at most 16" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int err = declaration_parse(&parsed, cases[i].text, reason, sizeof(reason));

		assert_int_equal(err, cases[i].expected[0] ? -EINVAL : 0);
		if (err && !strstr(reason, cases[i].expected))
			fail_msg("%s: \"%s\" has no \"%s\"", cases[i].text, reason, cases[i].expected);
	}
}

static void only_the_width_of_a_type_counts(void **state)
{
	(void)state;
	parse("int8_t a, unsigned short b, int c, long d, bool e, unsigned f");
	assert_int_equal((int64_t)declared_value(&parsed.arguments[0], 0xabcdef80), -128);
	assert_int_equal(declared_value(&parsed.arguments[1], 0xffff1234), 0x1234);
	assert_int_equal((int64_t)declared_value(&parsed.arguments[2], 0x7fffffffffffffff), -1);
	assert_int_equal((int64_t)declared_value(&parsed.arguments[3], 0x8000000000000000), INT64_MIN);
	assert_int_equal(declared_value(&parsed.arguments[4], 0xff00), 0);
	assert_int_equal(declared_value(&parsed.arguments[4], 0x2), 1);
	assert_int_equal(declared_value(&parsed.arguments[5], ~0ULL), UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_the_seed_and_others),
		cmocka_unit_test(integers_of_all_widths),
		cmocka_unit_test(what_cannot_be_captured_is_refused_with_the_reason),
		cmocka_unit_test(only_the_width_of_a_type_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
