/* SPDX-License-Identifier: BSD-2-Clause */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "people.h"

#define ERASE "\r\033[K"

static bool is_shown;

bool progress_is_wanted(const struct options *options)
{
	bool to_terminal = options->json_path ? strcmp(options->json_path, "-") == 0 && isatty(STDOUT_FILENO) : !options->csv_dir;

	return options->duration_ns && options->action == ACTION_REPORT && !to_terminal && isatty(STDERR_FILENO);
}

void progress_format(const struct progress *progress, char *out, size_t size)
{
	const unsigned long long s = 1000000000;
	char bytes[PEOPLE_BYTES_ROOM], gaps[40] = "";

	if (progress->gaps)
		snprintf(gaps, sizeof(gaps), ", %llu gap%s", (unsigned long long)progress->gaps, progress->gaps == 1 ? "" : "s");
	snprintf(out, size, "%llu of %llu s, %llu rows, %llu lost%s, %s bytes written", progress->elapsed_ns / s,
		 (progress->duration_ns + s - 1) / s, (unsigned long long)progress->rows, (unsigned long long)progress->lost, gaps,
		 people_bytes(bytes, progress->written_bytes));
}

void progress_show(const struct progress *progress)
{
	char line[256];

	progress_format(progress, line, sizeof(line));
	fprintf(stderr, ERASE "%s", line);
	log_set_erase(ERASE); /* whatever else is said takes the place of the line */
	is_shown = true;
}

void progress_end(void)
{
	if (is_shown)
		fputc('\n', stderr);
	is_shown = false;
	log_set_erase("");
}
