/* SPDX-License-Identifier: BSD-2-Clause */
#include "str.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "unit.h"

static void check_sanitized(const char *bytes, size_t size, const char *want)
{
	char out[128];

	assert_int_equal(str_sanitize(out, sizeof(out), bytes, size), strlen(want));
	assert_string_equal(out, want);
}
#define SANITIZED(bytes, want) check_sanitized(bytes, sizeof(bytes) - 1, want)
#define BAD "\xef\xbf\xbd" /* U+FFFD */

static void sanitize_keeps_text(void **state)
{
	(void)state;
	SANITIZED("", "");
	SANITIZED("a \"plain\", (name)~", "a \"plain\", (name)~");
	SANITIZED("\xc3\xa9 \xe7\x9b\x91 \xf0\x9f\x90\xa7", "\xc3\xa9 \xe7\x9b\x91 \xf0\x9f\x90\xa7"); /* é 监 🐧 */
	SANITIZED("\xed\x9f\xbf\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xf4\x8f\xbf\xbf"); /* the last before each gap */
}

static void sanitize_replaces_controls(void **state)
{
	(void)state;
	SANITIZED("a\nb\tc\x1b[2Jd\x7f", "a?b?c?[2Jd?");
	SANITIZED("a\0b", "a?b");
	SANITIZED("\xc2\x9b"
		  "31m\xc2\xa0",
		  "?31m\xc2\xa0"); /* C1 CSI; no-break space stays */
}

static void sanitize_replaces_each_invalid_byte(void **state)
{
	(void)state;
	SANITIZED("\xff"
		  "a\x80",
		  BAD "a" BAD);
	SANITIZED("\xc0\xaf", BAD BAD); /* overlong */
	SANITIZED("\xe0\x80\xaf", BAD BAD BAD);
	SANITIZED("\xed\xa0\x80", BAD BAD BAD);         /* surrogate */
	SANITIZED("\xf4\x90\x80\x80", BAD BAD BAD BAD); /* above U+10FFFF */
	SANITIZED("ab\xe7\x9b", "ab" BAD BAD);          /* cut by the 15 bytes of a comm */
}

static void sanitize_cuts_between_characters(void **state)
{
	char out[6];

	(void)state;
	assert_int_equal(str_sanitize(out, sizeof(out), "abc\xe7\x9b\x91", 6), 3);
	assert_string_equal(out, "abc");
	assert_int_equal(str_sanitize(out, sizeof(out), "ab\xe7\x9b\x91z", 6), 5);
	assert_string_equal(out, "ab\xe7\x9b\x91");
	assert_int_equal(str_sanitize(out, 1, "abc", 3), 0);
	assert_string_equal(out, "");
	assert_int_equal(str_sanitize(out, 0, "abc", 3), 0);
}

static void u64_prints_as_printf(void **state)
{
	char out[32], want[32];

	(void)state;
	for (uint64_t power = 1, i = 0; i < 20; i++, power *= 10) {
		const uint64_t values[] = { power - 1, power, power + 1 };

		for (size_t v = 0; v < 3; v++) {
			out[str_u64(out, values[v])] = '\0';
			snprintf(want, sizeof(want), "%llu", (unsigned long long)values[v]);
			assert_string_equal(out, want);
		}
	}
	out[str_u64(out, UINT64_MAX)] = '\0';
	assert_string_equal(out, "18446744073709551615");
}

static void fixed_rounds_half_up(void **state)
{
	static const struct {
		uint64_t value;
		unsigned int scale, digits;
		const char *want;
	} cases[] = {
		{ 0, 6, 3, "0.000" },
		{ 499, 6, 3, "0.000" },
		{ 500, 6, 3, "0.001" },
		{ 1234567, 6, 3, "1.235" },
		{ 999999499, 6, 3, "999.999" },
		{ 999999500, 6, 3, "1000.000" }, /* the carry reaches the whole part */
		{ 1795319749711869123, 9, 6, "1795319749.711869" },
		{ 7, 2, 2, "0.07" },
		{ 10000, 2, 2, "100.00" },
		{ 15, 1, 0, "2" },
		{ 14, 1, 0, "1" },
		{ 42, 0, 0, "42" },
		{ UINT64_MAX, 19, 19, "1.8446744073709551615" },
		{ UINT64_MAX, 19, 0, "2" },
		{ UINT64_MAX, 1, 0, "1844674407370955162" },
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		out[str_fixed(out, cases[i].value, cases[i].scale, cases[i].digits)] = '\0';
		assert_string_equal(out, cases[i].want);
	}
}

static void rfc3339_agrees_with_libc(void **state)
{
	static const uint64_t edges[] = {
		0,          951782399,  951782400,  951868800, 1709164800, 1709251200,
		4107542399, 4107542400, 1795319749, 86399,     86400,      18446744073,
	};
	char out[31], want[64];

	(void)state;
	for (uint64_t i = 0; i < 20000 + sizeof(edges) / sizeof(edges[0]); i++) {
		time_t seconds = i < 20000 ? (time_t)(i * 912345) : (time_t)edges[i - 20000];
		struct tm tm;
		size_t used;

		gmtime_r(&seconds, &tm);
		used = strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(want + used, sizeof(want) - used, ".%09luZ", (unsigned long)(i * 31));
		assert_int_equal(str_rfc3339(out, sizeof(out), (uint64_t)seconds * 1000000000 + i * 31), 30);
		assert_string_equal(out, want);
	}
	assert_int_equal(str_rfc3339(out, 30, 0), 0);
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sanitize_keeps_text),
		cmocka_unit_test(sanitize_replaces_controls),
		cmocka_unit_test(sanitize_replaces_each_invalid_byte),
		cmocka_unit_test(sanitize_cuts_between_characters),
		cmocka_unit_test(u64_prints_as_printf),
		cmocka_unit_test(fixed_rounds_half_up),
		cmocka_unit_test(rfc3339_agrees_with_libc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
