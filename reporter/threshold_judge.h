/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One threshold and one task: figures in, alarms out. Pure: no clock, no files, no other task.
 */
#ifndef TASKMON_THRESHOLD_JUDGE_H
#define TASKMON_THRESHOLD_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "threshold_rule.h"

enum threshold_verdict { THRESHOLD_NOTHING, THRESHOLD_ALARM, THRESHOLD_CLEAR };

/** Why a verdict was given, for a person. */
struct threshold_finding {
	double value, limit;
	double baseline;   /* NAN: there is none, as the threshold is static */
	const char *cause; /* of a clear that the figure did not bring about: "gap", "ended", ...; NULL */
};

struct threshold_state;

/** State of a task under a rule: nothing is known. NULL: out of memory. */
struct threshold_state *threshold_state_new(const struct threshold_rule *rule);
void threshold_state_free(struct threshold_state *state);

/**
 * The next figure, at `time_ns`, of one every `interval_ns`. If some are missing, what was learned is forgotten first.
 * At most one verdict comes of it; `finding` is filled in with that.
 */
enum threshold_verdict threshold_judge(const struct threshold_rule *rule, struct threshold_state *state, uint64_t time_ns,
				       double value, uint64_t interval_ns, struct threshold_finding *finding);

/** Forget everything. THRESHOLD_CLEAR if an alarm ends by that, because of `cause`. */
enum threshold_verdict threshold_restart(struct threshold_state *state, const char *cause, struct threshold_finding *finding);

bool threshold_in_alarm(const struct threshold_state *state);

#endif
