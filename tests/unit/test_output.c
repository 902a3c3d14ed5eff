/* SPDX-License-Identifier: BSD-2-Clause */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "option_values.h"
#include "progress.h"
#include "unit.h"

#define HEADER "a,b\n"

static void write_file(const char *file, const char *text)
{
	FILE *stream = fopen(path_of(file), "w");

	assert_non_null(stream);
	fputs(text, stream);
	fclose(stream);
}

static struct output *begin(const char *file, const char *header, struct output_policy policy)
{
	struct output *output = output_open(path_of(file), header, &policy);

	assert_non_null(output);
	assert_int_equal(output_begin(output), 0);
	return output;
}

static void put(struct output *output, const char *line)
{
	output_text(output, line);
	assert_int_equal(output_line_end(output), 0);
}

static void a_full_file_gives_way_to_the_next(void **state)
{
	struct output *output = begin("f", HEADER, (struct output_policy){ .rotate_bytes = 12, .keep = 2 });

	(void)state;
	put(output, "1,2");
	put(output, "3,4"); /* 12 bytes: just so */
	put(output, "5,6");
	assert_int_equal(output_flush(output), 0);
	check_file("f.1", "a,b\n1,2\n3,4\n");
	check_file("f", "a,b\n5,6\n");
	put(output, "a line that is too long for any file");
	put(output, "7,8");
	put(output, "9,0");
	assert_int_equal(output_total_bytes(output), 4 * 4 + 8 + 4 + 37);
	assert_int_equal(output_close(output), 0);
	check_file("f.2", "a,b\n5,6\n");
	check_file("f.1", "a,b\na line that is too long for any file\n");
	check_file("f", "a,b\n7,8\n9,0\n");
}

static void old_files_beyond_keep_are_gone(void **state)
{
	struct output *output = begin("f", HEADER, (struct output_policy){ .rotate_bytes = 8, .keep = 2 });

	(void)state;
	put(output, "1,1");
	put(output, "2,2");
	put(output, "3,3");
	put(output, "4,4");
	assert_int_equal(output_close(output), 0);
	check_file("f", "a,b\n4,4\n");
	check_file("f.1", "a,b\n3,3\n");
	check_file("f.2", "a,b\n2,2\n");
	assert_int_equal(access(path_of("f.3"), F_OK), -1);
}

static void an_old_file_gives_way_at_a_flush(void **state)
{
	struct output *output = begin("f", HEADER, (struct output_policy){ .rotate_ns = 1, .keep = 7 });

	(void)state;
	assert_int_equal(output_flush(output), 0);
	assert_int_equal(access(path_of("f.1"), F_OK), -1); /* nothing is in it */
	put(output, "1,1");
	put(output, "1,2");
	assert_int_equal(output_flush(output), 0);
	put(output, "2,1");
	assert_int_equal(output_close(output), 0);
	check_file("f.2", "a,b\n1,1\n1,2\n");
	check_file("f.1", "a,b\n2,1\n");
	check_file("f", "a,b\n");
}

static void a_file_is_continued(void **state)
{
	const struct output_policy append = { .append = true, .keep = 1 };
	struct output *output;

	(void)state;
	write_file("f", "a,b\n1,2\n3,"); /* its writer was killed */
	output = begin("f", HEADER, append);
	put(output, "5,6");
	assert_int_equal(output_close(output), 0);
	check_file("f", "a,b\n1,2\n5,6\n");
	write_file("f", "a,");
	output = begin("f", HEADER, append);
	put(output, "7,8");
	assert_int_equal(output_close(output), 0);
	check_file("f", "a,b\n7,8\n");
	write_file("f", "");
	output = begin("f", HEADER, append);
	assert_int_equal(output_close(output), 0);
	check_file("f", HEADER);
	write_file("f", "{\"a\":1}\n{\"a\"");
	output = begin("f", NULL, append);
	put(output, "{}");
	assert_int_equal(output_close(output), 0);
	check_file("f", "{\"a\":1}\n{}\n");
}

static void what_does_not_fit_is_not_touched(void **state)
{
	const struct output_policy append = { .append = true };
	static const char *const others[] = { "a,c\n", "a,b,c\n1,2,3\n", "x", "a,b\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		write_file("f", others[i]);
		assert_null(output_open(path_of("f"), HEADER, &append));
		assert_int_equal(errno, EEXIST);
		check_file("f", others[i]);
	}
	assert_null(output_open(path_of("f"), NULL, &append)); /* CSV is no JSON */
	assert_int_equal(errno, EEXIST);
}

static void a_file_that_was_moved_is_made_anew(void **state)
{
	struct output *output = begin("f", HEADER, (struct output_policy){ .keep = 1 });
	char away[512];

	(void)state;
	put(output, "1,2");
	snprintf(away, sizeof(away), "%s", path_of("away"));
	assert_int_equal(rename(path_of("f"), away), 0);
	put(output, "3,4");
	assert_int_equal(output_reopen(output), 0);
	put(output, "5,6");
	assert_int_equal(output_reopen(output), 0); /* nobody has moved it: goes on */
	put(output, "7,8");
	assert_int_equal(output_close(output), 0);
	check_file("away", "a,b\n1,2\n3,4\n");
	check_file("f", "a,b\n5,6\n7,8\n");
}

static void a_file_that_was_removed_begins_anew(void **state)
{
	struct output *output = begin("f", HEADER, (struct output_policy){ .keep = 1 });

	(void)state;
	put(output, "1,2");
	assert_int_equal(output_flush(output), 0);
	unlink(path_of("f"));
	put(output, "3,4");
	assert_int_equal(output_flush(output), 0);
	put(output, "5,6");
	assert_int_equal(output_close(output), 0);
	check_file("f", "a,b\n3,4\n5,6\n");
}

static void a_place_that_is_gone_is_an_error(void **state)
{
	(void)state;
	for (int reopen = 0; reopen < 2; reopen++) {
		struct output *output;

		assert_int_equal(mkdir(path_of("d"), 0700), 0);
		output = begin("d/f", HEADER, (struct output_policy){ .keep = 1 });
		unlink(path_of("d/f"));
		rmdir(path_of("d"));
		assert_int_equal(reopen ? output_reopen(output) : output_flush(output), -ENOENT);
		assert_int_equal(output_close(output), -ENOENT);
	}
}

static void amounts_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t want; /* 0: refused */
	} cases[] = {
		{ "4096", 4096 },
		{ "4K", 4096 },
		{ "3M", 3 << 20 },
		{ "2G", 2ULL << 30 },
		{ "1T", 1ULL << 40 },
		{ "4095", 0 },
		{ "", 0 },
		{ "K", 0 },
		{ "4KB", 0 },
		{ "4k", 0 },
		{ "-4096", 0 },
		{ "4e9", 0 },
		{ "4.5M", 0 },
		{ "99999999999999999999", 0 },
		{ "18014398509481984T", 0 },
	};
	char error[256];
	uint64_t got;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int err = value_bytes(cases[i].text, 4096, 1ULL << 50, &got, error, sizeof(error));

		assert_int_equal(err, cases[i].want ? 0 : -EINVAL);
		if (!err)
			assert_int_equal(got, cases[i].want);
	}
	assert_int_equal(value_number("7", 1, 10, &got, error, sizeof(error)), 0);
	assert_int_equal(got, 7);
	assert_int_equal(value_number("7K", 1, 10000, &got, error, sizeof(error)), -EINVAL);
}

static void progress_is_one_line(void **state)
{
	const struct progress progress = {
		.rows = 1234, .lost = 5, .gaps = 1, .written_bytes = 5000000, .elapsed_ns = 7999999999, .duration_ns = 59995000000
	};
	char line[256];

	(void)state;
	progress_format(&progress, line, sizeof(line));
	assert_string_equal(line, "7 of 60 s, 1234 rows, 5 lost, 1 gap, 4.7M bytes written");
}

#define TEST(function) cmocka_unit_test_teardown(function, empty_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_file_gives_way_to_the_next),
		TEST(old_files_beyond_keep_are_gone),
		TEST(an_old_file_gives_way_at_a_flush),
		TEST(a_file_is_continued),
		TEST(what_does_not_fit_is_not_touched),
		TEST(a_file_that_was_moved_is_made_anew),
		TEST(a_file_that_was_removed_begins_anew),
		TEST(a_place_that_is_gone_is_an_error),
		TEST(amounts_are_read),
		TEST(progress_is_one_line),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
