/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.json: whatever is in it, it is taken over or refused with a line, and what was taken over can be worked with.
 */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "threshold_judge.h"

/* Figures of every kind; nothing may come of them that is no number. */
static void run_threshold(const struct threshold_rule *rule)
{
	static const double figures[] = { 0, 1, 100, 1e18, 3, 3, 3, 3, 3, 3, 90, 90, 90, 0, 0, 0 };
	struct threshold_state *state = rule->window <= 1000 ? threshold_state_new(rule) : NULL;
	struct threshold_finding finding;

	for (size_t i = 0; state && i < sizeof(figures) / sizeof(figures[0]); i++)
		if (threshold_judge(rule, state, (i + 1) * 1000000000, figures[i], 1000000000, &finding))
			assert(!isnan(finding.value) && !isnan(finding.limit));
	threshold_state_free(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[] = { "taskmon-report", "-a", "-c", NULL, NULL };
	static char path[64];
	struct options options;
	char error[512] = "";
	FILE *file;

	if (!path[0])
		snprintf(path, sizeof(path), "/tmp/taskmon-fuzz-%d", (int)getpid());
	argv[3] = path;
	file = fopen(path, "w");
	assert(file && fwrite(data, 1, size, file) == size);
	fclose(file);
	if (options_parse(&options, 4, argv, error, sizeof(error)))
		assert(strncmp(error, path, strlen(path)) == 0 && !strchr(error, '\n'));
	else
		for (size_t i = 0; i < options.thresholds.count; i++)
			run_threshold(&options.thresholds.list[i]);
	options_free(&options);
	unlink(path);
	return 0;
}
