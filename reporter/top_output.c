/* SPDX-License-Identifier: BSD-2-Clause */
#include "top_output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_HUNDREDTHS = 1000000000 };

static int compare(const void *a, const void *b)
{
	uint32_t left = ((const struct top_figure *)a)->tid, right = ((const struct top_figure *)b)->tid;

	return (left > right) - (left < right);
}

void top_figures_sort(struct top_figures *figures)
{
	if (figures->count)
		qsort(figures->list, figures->count, sizeof(figures->list[0]), compare);
}

bool top_figures_find(const struct top_figures *figures, uint32_t tid, unsigned int *hundredths)
{
	const struct top_figure key = { .tid = tid }, *found;

	if (!figures->count)
		return false;
	found = bsearch(&key, figures->list, figures->count, sizeof(key), compare);
	if (found)
		*hundredths = found->hundredths;
	return found;
}

static int add_figure(struct top_figures *figures, uint32_t tid, unsigned int hundredths)
{
	if (figures->count == figures->room) {
		size_t room = figures->room ? 2 * figures->room : 256;
		struct top_figure *grown = realloc(figures->list, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		figures->list = grown;
		figures->room = room;
	}
	figures->list[figures->count++] = (struct top_figure){ tid, hundredths };
	return 0;
}

/* --- words */

/* The next word of a line, as its beginning and length; NULL at the end. */
static const char *next_word(const char **at, size_t *length)
{
	const char *word = *at + strspn(*at, " \t");

	*length = strcspn(word, " \t");
	*at = word + *length;
	return *length ? word : NULL;
}

static bool is_word(const char *word, size_t length, const char *what)
{
	return strlen(what) == length && memcmp(word, what, length) == 0;
}

static bool read_whole(const char *word, size_t length, uint64_t most, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < length; i++) {
		if (word[i] < '0' || word[i] > '9')
			return false;
		*number = *number * 10 + (uint64_t)(word[i] - '0');
		if (*number > most)
			return false;
	}
	return length > 0;
}

/* "37.5", "1234", "0,3" */
static bool read_hundredths(const char *word, size_t length, unsigned int *hundredths)
{
	size_t whole = 0;
	uint64_t number, decimals = 0;

	while (whole < length && word[whole] != '.' && word[whole] != ',')
		whole++;
	if (!read_whole(word, whole, MOST_HUNDREDTHS / 100, &number))
		return false;
	if (whole < length) {
		size_t digits = length - whole - 1;

		if (digits > 2)
			digits = 2;
		if (!read_whole(word + whole + 1, digits, 99, &decimals))
			return false;
		if (digits == 1)
			decimals *= 10;
	}
	*hundredths = (unsigned int)(number * 100 + decimals);
	return true;
}

/* --- lines */

static bool read_header(struct top_output *output)
{
	const char *at = output->line, *word;
	bool has_pid = false, has_cpu = false;
	size_t length;

	for (unsigned int column = 0; (word = next_word(&at, &length)); column++) {
		if (is_word(word, length, "PID")) {
			output->pid_column = column;
			has_pid = true;
		} else if (is_word(word, length, "%CPU")) {
			output->cpu_column = column;
			has_cpu = true;
		}
	}
	return has_pid && has_cpu;
}

/* "Tasks: 102 total,   2 running, ..." or "Threads: 116 total, ..." */
static void read_summary(struct top_output *output)
{
	const char *at = output->line;
	size_t length;
	const char *word = next_word(&at, &length);
	uint64_t number;

	if (!word || (!is_word(word, length, "Tasks:") && !is_word(word, length, "Threads:")))
		return;
	word = next_word(&at, &length);
	if (word && read_whole(word, length, TOP_TASKS_MAX, &number))
		output->expected = (size_t)number;
}

static int read_task(struct top_output *output)
{
	const char *at = output->line, *word;
	unsigned int hundredths = 0;
	bool has_tid = false, has_cpu = false;
	uint64_t tid = 0;
	size_t length;

	output->listed++;
	output->line[output->used] = '\0';
	for (unsigned int column = 0; (word = next_word(&at, &length)); column++) {
		if (column == output->pid_column)
			has_tid = read_whole(word, length, UINT32_MAX, &tid) && tid;
		if (column == output->cpu_column)
			has_cpu = read_hundredths(word, length, &hundredths);
	}
	if (!has_tid || !has_cpu || output->figures.count >= TOP_TASKS_MAX)
		return 0;
	return add_figure(&output->figures, (uint32_t)tid, hundredths);
}

bool top_output_is_open(const struct top_output *output)
{
	return output->in_list;
}

int top_output_finish(struct top_output *output, top_picture complete, void *context)
{
	int err = 0;

	if (output->in_list) {
		top_figures_sort(&output->figures);
		err = complete(context, &output->figures);
	}
	output->in_list = false;
	output->expected = output->listed = output->figures.count = 0;
	return err;
}

/* top ends the last line of a picture only when it begins the next one: are the figures of that line here already? */
static bool has_last_figures(struct top_output *output)
{
	const char *at = output->line;
	size_t length;
	unsigned int words = 0;

	if (!output->in_list || output->taken || output->listed + 1 != output->expected)
		return false;
	output->line[output->used] = '\0';
	while (next_word(&at, &length))
		words++;
	return words > output->pid_column + 1 && words > output->cpu_column + 1;
}

static int read_line(struct top_output *output, top_picture complete, void *context)
{
	int err = 0;

	output->line[output->used] = '\0';
	if (strncmp(output->line, "top - ", strlen("top - ")) == 0)
		return top_output_finish(output, complete, context);
	if (!output->in_list) {
		read_summary(output);
		output->in_list = read_header(output);
		return 0;
	}
	if (output->line[strspn(output->line, " \t")])
		err = read_task(output);
	if (!err && output->expected && output->listed >= output->expected)
		err = top_output_finish(output, complete, context);
	return err;
}

int top_output_feed(struct top_output *output, const char *text, size_t size, top_picture complete, void *context)
{
	int err = 0;

	for (size_t i = 0; !err && i < size; i++) {
		if (text[i] == '\n') {
			err = output->taken ? 0 : read_line(output, complete, context);
			output->taken = false;
			output->used = 0;
		} else if (output->used < sizeof(output->line) - 1) {
			output->line[output->used++] = text[i];
		}
	}
	if (err || !has_last_figures(output))
		return err;
	output->taken = true;
	err = read_task(output);
	return err ? err : top_output_finish(output, complete, context);
}

void top_output_free(struct top_output *output)
{
	free(output->figures.list);
	output->figures = (struct top_figures){ 0 };
}
