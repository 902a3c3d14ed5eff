/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "files.h"
#include "unit.h"

/* Read `text` as a file; the error without the path before it goes to `error`. */
static int read_text(struct config *config, const char *text, char *error, size_t size)
{
	char path[] = FILES_TEMPLATE, message[512] = "";
	int err;

	write_text(path, text);
	config_defaults(config);
	err = config_read(config, path, message, sizeof(message));
	remove_text(path, err, message, error, size);
	return err;
}

static void a_whole_file_is_taken_over(void **state)
{
	struct config config;
	char error[512];

	(void)state;
	assert_int_equal(read_text(&config,
				   "{ \"socket\": \"/tmp/x.sock\", \"group\": 65534, \"others\": \"deny\",\n"
				   "  \"queue_bytes\": 65536, \"max_clients\": 7,\n"
				   "  \"smaps_cpu_percent\": 0.5, \"smaps_max_rss\": 12345678901 }\n",
				   error, sizeof(error)),
			 0);
	assert_string_equal(config.socket, "/tmp/x.sock");
	assert_true(config.has_group);
	assert_int_equal(config.group, 65534);
	assert_true(config.others_denied);
	assert_int_equal(config.queue_bytes, 65536);
	assert_int_equal(config.max_clients, 7);
	assert_true(config.smaps_share > 0.00499 && config.smaps_share < 0.00501);
	assert_int_equal(config.smaps_max_rss, 12345678901);
}

static void mistakes_are_told_with_their_line(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "{\n\n \"sokcet\": \"/x\" }", ":3: unknown key \"sokcet\" (did you mean \"socket\"?)" },
		{ "{ \"frobnicate\": 1 }", ":1: unknown key \"frobnicate\"" },
		{ "{ \"group\": 1,\n\"others\":\"own\",\n \"others\": \"deny\" }",
		  ":3: \"others\" is there twice, first in line 2" },
		{ "{ # of the group\n \"group\": 1 }", ":1: not valid JSON (it has no comments)" },
		{ "{ \"others\":\n \"group\",\n \"group\": 1 }", ":1: \"others\": expected \"own\" or \"deny\"" },
		{ "{\n \"max_clients\": 0 }", ":2: \"max_clients\": expected a whole number from 1 to 4096" },
		{ "{ \"max_clients\": 1.5 }", ":1: \"max_clients\": expected a whole number from 1 to 4096" },
		{ "{ \"max_clients\": \"7\" }", ":1: \"max_clients\": expected a whole number from 1 to 4096" },
		{ "{ \"smaps_cpu_percent\": 0 }", ":1: \"smaps_cpu_percent\": expected a number from 0.1 to 100" },
		{ "{ \"smaps_cpu_percent\": 101 }", ":1: \"smaps_cpu_percent\": expected a number from 0.1 to 100" },
		{ "{ \"smaps_cpu_percent\": \"5\" }", ":1: \"smaps_cpu_percent\": expected a number from 0.1 to 100" },
		{ "{ \"smaps_max_rss\": 0 }", ":1: \"smaps_max_rss\": expected a whole number from 1 to 1125899906842624" },
		{ "{ \"smaps_max_rss\": 1e30 }", ":1: \"smaps_max_rss\": expected a whole number from 1 to 1125899906842624" },
		{ "{ \"others\": \"all\" }", ":1: \"others\": expected \"own\" or \"deny\"" },
		{ "{ \"socket\": \"relative\" }", ":1: \"socket\": expected an absolute path of at most 107 bytes" },
		{ "{ \"group\": \"no-such-group-here\" }", ":1: \"group\": expected the name of an existing group, or a group id" },
		{ "{\n\n\"socket\": }", ":3: not valid JSON (an object was expected)" },
		{ "[]", ":1: not valid JSON (an object was expected)" },
		{ "", ":1: not valid JSON (an object was expected)" },
		{ "{} x", ":1: not valid JSON (an object was expected)" },
	};
	struct config config, defaults;
	char error[512];

	(void)state;
	config_defaults(&defaults);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read_text(&config, cases[i].text, error, sizeof(error)), -EINVAL);
		assert_string_equal(error, cases[i].error);
		assert_memory_equal(&config, &defaults, sizeof(config));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_file_is_taken_over),
		cmocka_unit_test(mistakes_are_told_with_their_line),
	};

	return cmocka_run_group_tests_name("collector config", tests, NULL, NULL);
}
