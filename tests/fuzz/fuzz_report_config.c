/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.json: whatever is in it, it is taken over or refused with a line, and what was taken over can be worked with.
 */
#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "file_of.h"
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
	char *path = file_of(data, size), *argv[] = { "taskmon-report", "-a", "-c", path, NULL };
	struct options options;
	char error[512] = "";

	if (options_parse(&options, 4, argv, error, sizeof(error)))
		assert(strncmp(error, path, strlen(path)) == 0 && !strchr(error, '\n'));
	else
		for (size_t i = 0; i < options.thresholds.count; i++)
			run_threshold(&options.thresholds.list[i]);
	options_free(&options);
	unlink(path);
	return 0;
}
