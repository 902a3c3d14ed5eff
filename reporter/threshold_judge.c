/* SPDX-License-Identifier: BSD-2-Clause */
#include "threshold_judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "threshold_stats.h"

/*
 * Figures beyond the limit are not what is normal, but they may become so: of them only a part is learned, and what
 * has been beyond for many windows is normal from then on.
 */
#define SPREAD_LEAST 0.03 /* of the baseline: what hardly varies may still vary by so much */
enum {
	SHARE_BEYOND = 20, /* every n-th is learned */
	ACCEPT_WINDOWS = 10,
	MISSED_MAX = 3, /* intervals without a figure, and what a machine may stand still: more is a gap */
};

#define LATE_NS 2000000000ULL

struct threshold_state {
	uint64_t time_ns;              /* of the last figure; 0: none */
	uint64_t since_ns;             /* what would change the state has been so since then */
	bool alarm, turning;           /* turning: `since_ns` counts */
	bool high;                     /* what was beyond was too much */
	size_t seen;                   /* figures since the start */
	size_t beyond;                 /* figures in a row that were beyond a limit or in alarm */
	double value, limit, baseline; /* of the last figure that was judged */
	struct ewma ewma;
	struct mad mad; /* last: its values follow */
};

/* Bounds around the baseline, `reach` deviations wide; the one of `static` is given. */
struct band {
	double low, high;
};

struct threshold_state *threshold_state_new(const struct threshold_rule *rule)
{
	size_t values = rule->method == THRESHOLD_MAD ? 2 * rule->window : 0;

	return calloc(1, sizeof(struct threshold_state) + values * sizeof(double));
}

void threshold_state_free(struct threshold_state *state)
{
	free(state);
}

bool threshold_in_alarm(const struct threshold_state *state)
{
	return state->alarm;
}

enum threshold_verdict threshold_restart(struct threshold_state *state, const char *cause, struct threshold_finding *finding)
{
	bool alarm = state->alarm;

	*finding = (struct threshold_finding){ state->value, state->limit, state->baseline, cause };
	/* what follows `mad` need not be wiped: its count says that nothing is there */
	memset(state, 0, sizeof(*state));
	return alarm ? THRESHOLD_CLEAR : THRESHOLD_NOTHING;
}

static void learn(const struct threshold_rule *rule, struct threshold_state *state, double value)
{
	bool beyond = state->beyond > 0;

	if (rule->method == THRESHOLD_EWMA)
		ewma_learn(&state->ewma, value, rule->window, beyond ? 1.0 / SHARE_BEYOND : 1);
	else if (rule->method == THRESHOLD_MAD && (!beyond || state->beyond % SHARE_BEYOND == 0))
		mad_learn(&state->mad, value, rule->window);
}

static double spread_of(const struct threshold_rule *rule, const struct threshold_state *state)
{
	double spread = rule->method == THRESHOLD_EWMA ? sqrt(state->ewma.variance) : mad_spread(&state->mad, rule->window);
	double least = SPREAD_LEAST * fabs(state->baseline);

	return spread > least ? spread : least;
}

static struct band band_of(const struct threshold_rule *rule, const struct threshold_state *state, double reach)
{
	double spread = spread_of(rule, state);

	return (struct band){ state->baseline - reach * spread, state->baseline + reach * spread };
}

/* Beyond a limit that matters? Says which. */
static bool is_beyond(const struct threshold_rule *rule, struct threshold_state *state, struct band band, double value)
{
	/* what falls is judged by what it fell from */
	double fell_from = rule->method == THRESHOLD_STATIC ? INFINITY : state->baseline;

	if ((rule->sides & THRESHOLD_ABOVE) && value > band.high && value >= rule->floor) {
		state->limit = band.high;
		state->high = true;
		return true;
	}
	if ((rule->sides & THRESHOLD_BELOW) && value < band.low && fell_from >= rule->floor) {
		state->limit = band.low;
		state->high = false;
		return true;
	}
	return false;
}

/* Has it been so for long enough? `so` begins or breaks the time. */
static bool has_lasted(struct threshold_state *state, bool so, uint64_t time_ns, uint64_t for_ns)
{
	if (so && !state->turning)
		state->since_ns = time_ns;
	state->turning = so;
	return so && time_ns - state->since_ns >= for_ns;
}

static enum threshold_verdict judge_learned(const struct threshold_rule *rule, struct threshold_state *state, uint64_t time_ns,
					    double value, uint64_t interval_ns)
{
	bool is_static = rule->method == THRESHOLD_STATIC;
	struct band limits, back;
	bool beyond;

	state->baseline = is_static                      ? NAN :
			  rule->method == THRESHOLD_EWMA ? state->ewma.mean :
							   mad_median(&state->mad, rule->window);
	limits = is_static ? (struct band){ rule->below, rule->above } : band_of(rule, state, rule->k);
	back = is_static ? (struct band){ rule->clear_below, rule->clear } : band_of(rule, state, rule->clear);
	beyond = is_beyond(rule, state, state->alarm ? back : limits, value);
	state->beyond = beyond || state->alarm ? state->beyond + 1 : 0;
	if (!has_lasted(state, state->alarm ? !beyond : beyond, time_ns, threshold_for_ns(rule, interval_ns)))
		return THRESHOLD_NOTHING;
	state->alarm = !state->alarm;
	state->turning = false;
	if (state->alarm)
		return THRESHOLD_ALARM;
	state->beyond = 0;
	state->limit = state->high ? back.high : back.low;
	return THRESHOLD_CLEAR;
}

enum threshold_verdict threshold_judge(const struct threshold_rule *rule, struct threshold_state *state, uint64_t time_ns,
				       double value, uint64_t interval_ns, struct threshold_finding *finding)
{
	enum threshold_verdict verdict = THRESHOLD_NOTHING;
	bool restarted = false;

	if (state->time_ns && time_ns - state->time_ns > MISSED_MAX * interval_ns + LATE_NS) {
		verdict = threshold_restart(state, "gap", finding);
		restarted = true;
	} else if (rule->method != THRESHOLD_STATIC && state->beyond > ACCEPT_WINDOWS * rule->window) {
		verdict = threshold_restart(state, "normal by now", finding);
		restarted = true;
	}
	if (!restarted && state->seen >= rule->warmup)
		verdict = judge_learned(rule, state, time_ns, value, interval_ns);
	learn(rule, state, value);
	state->time_ns = time_ns;
	state->seen++;
	state->value = value;
	if (!restarted)
		*finding = (struct threshold_finding){ value, state->limit, state->baseline, NULL };
	return verdict;
}
