/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * thresholds [-v] [set=N] [KEY=VALUE...]: how well thresholds find what is wrong. Series whose anomalies are known, because
 * they are made here, go through the code of the reporter with its defaults (or k=, window=, warmup=, for=, clear=).
 *
 * Every background (steady at several levels, noisy, spiky noise, daily rhythm, drift) comes with every anomaly (step,
 * ramp, spike, stall) and without any. An alarm within an anomaly finds it; a second one in the same, or one outside,
 * is false. The best fixed threshold is the pair of limits, above and below, with the best F1 on the whole set, found with
 * hindsight; the last line gives every series the best pair of its own, which nobody could have set beforehand.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "threshold_judge.h"

enum {
	SAMPLES = 3000,
	INTERVAL_S = 5,
	ANOMALIES = 8, /* of a series that has any */
	GAP = 300,     /* samples from one to the next, at least */
	SEEDS = 5,
	GRACE = 3, /* samples after an anomaly that still count as in it */
	GRID = 60,
};
#define NS 1000000000ULL

enum background { STEADY_LOW, STEADY_MIDDLE, STEADY_HIGH, NOISY, HEAVY_TAILS, DAILY, DRIFT, BACKGROUNDS };
enum anomaly { NONE, STEP, RAMP, SPIKE, STALL, KINDS };

static const char *const background_names[] = { "steady 3 %",  "steady 20 %",  "steady 60 %", "noisy",
						"heavy tails", "daily rhythm", "drift" };
static const char *const anomaly_names[] = { "none", "step", "ramp", "spike", "stall" };

struct series {
	enum background background;
	enum anomaly anomaly;
	double value[SAMPLES];
	int count, begin[ANOMALIES], end[ANOMALIES];
};

struct score {
	int anomalies, found, alarms;
	double delay; /* samples, summed over what was found */
};

static struct series *set;
static int set_count;

/* --- series */

static uint64_t seed;

static double uniform(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return ((double)(seed >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

static double level_at(enum background background, int at)
{
	static const double levels[] = { 3, 20, 60, 30, 15, 30, 10 };
	double level = levels[background];

	if (background == DAILY)
		level *= 1 + 0.6 * sin(2 * M_PI * at / 1440);
	if (background == DRIFT)
		level *= 1 + 4.0 * at / SAMPLES;
	return level;
}

static void make_background(struct series *series)
{
	double wander = 0;

	for (int i = 0; i < SAMPLES; i++) {
		double level = level_at(series->background, i), noise = 0.05 * level * normal();

		if (series->background == NOISY) {
			wander = 0.7 * wander + normal();
			noise = 0.15 * level * wander;
		} else if (series->background == HEAVY_TAILS) {
			noise = level * (0.15 * (exp(0.6 * normal()) - 1) + 0.05 * normal());
		}
		series->value[i] = level + noise;
	}
}

/* An anomaly multiplies what is there, by a factor that differs each time. */
static void add_anomaly(struct series *series, int begin)
{
	static const int shortest[] = { 0, 30, 60, 2, 20 }, longest[] = { 0, 150, 150, 4, 80 };
	enum anomaly kind = series->anomaly;
	int length = shortest[kind] + (int)(uniform() * (longest[kind] - shortest[kind] + 1));
	double factor = kind == STALL ? 0.02 : kind == SPIKE ? 3 + 3 * uniform() : 2 + 2 * uniform();

	for (int i = 0; i < length; i++) {
		double share = kind == RAMP ? fmin(1, i / (0.7 * length)) : 1;

		series->value[begin + i] *= 1 + (factor - 1) * share;
	}
	series->begin[series->count] = begin;
	series->end[series->count++] = begin + length;
}

static void make_series(struct series *series)
{
	make_background(series);
	if (series->anomaly != NONE)
		for (int i = 0; i < ANOMALIES; i++)
			add_anomaly(series, 300 + i * (GAP + 30) + (int)(uniform() * (GAP - 160)));
	/* as it is written: hundredths, and no less than nothing */
	for (int i = 0; i < SAMPLES; i++)
		series->value[i] = fmax(0, round(series->value[i] * 100) / 100);
}

static void make_set(uint64_t which)
{
	set = calloc(BACKGROUNDS * KINDS * SEEDS, sizeof(*set));
	if (!set)
		exit(1);
	for (int s = 0; s < SEEDS; s++)
		for (int b = 0; b < BACKGROUNDS; b++)
			for (int k = 0; k < KINDS; k++) {
				struct series *series = &set[set_count++];

				seed = 88172645463325252ULL ^ (((uint64_t)set_count + which * 1000003) * 0x9e3779b97f4a7c15ULL);
				for (int i = 0; i < 16; i++)
					uniform();
				series->background = (enum background)b;
				series->anomaly = (enum anomaly)k;
				make_series(series);
			}
}

/* --- scores */

static void judge_series(const struct threshold_rule *rule, const struct series *series, struct score *score, bool verbose)
{
	struct threshold_state *state = threshold_state_new(rule);
	bool found[ANOMALIES] = { false };
	struct threshold_finding finding;

	for (int i = 0; i < SAMPLES; i++) {
		uint64_t time_ns = (uint64_t)(i + 1) * INTERVAL_S * NS;
		int within = -1;

		if (threshold_judge(rule, state, time_ns, series->value[i], INTERVAL_S * NS, &finding) != THRESHOLD_ALARM)
			continue;
		score->alarms++;
		for (int a = 0; a < series->count; a++)
			if (i >= series->begin[a] && i < series->end[a] + GRACE)
				within = a;
		if (within >= 0 && !found[within]) {
			found[within] = true;
			score->found++;
			score->delay += i - series->begin[within];
		} else if (verbose) {
			printf("    false: %s, %s, at %d%s: %.2f beyond %.2f, baseline %.2f\n",
			       background_names[series->background], anomaly_names[series->anomaly], i,
			       within >= 0 ? " (again)" : "", finding.value, finding.limit, finding.baseline);
		}
	}
	score->anomalies += series->count;
	threshold_state_free(state);
}

static struct score judge_set(const struct threshold_rule *rule, int background, int anomaly, bool verbose)
{
	struct score score = { 0 };

	for (int i = 0; i < set_count; i++)
		if ((background < 0 || (int)set[i].background == background) && (anomaly < 0 || (int)set[i].anomaly == anomaly))
			judge_series(rule, &set[i], &score, verbose);
	return score;
}

static double precision(const struct score *score)
{
	return score->alarms ? (double)score->found / score->alarms : 1;
}

static double recall(const struct score *score)
{
	return score->anomalies ? (double)score->found / score->anomalies : 1;
}

static double f1(const struct score *score)
{
	int all = score->alarms + score->anomalies;

	return all ? 2.0 * score->found / all : 1;
}

static void print_score(const char *name, const struct score *score)
{
	printf("%-34s %9d %6d %6d %9.3f %7.3f %6.3f %7.1f\n", name, score->anomalies, score->found, score->alarms - score->found,
	       precision(score), recall(score), f1(score), score->found ? score->delay / score->found : NAN);
}

/* --- the best fixed threshold */

static double grid_value(int at)
{
	return 0.2 * pow(600 / 0.2, (double)at / (GRID - 1)); /* 0.2 to 600 % */
}

static void init_fixed(struct threshold_rule *rule, double above, double below, const struct threshold_rule *like)
{
	char error[256];

	threshold_rule_init(rule);
	rule->method = THRESHOLD_STATIC;
	rule->figure = THRESHOLD_CPU_PERCENT;
	rule->name = (char *)"fixed";
	rule->above = above;
	rule->below = below;
	rule->for_ns = like->for_ns; /* it may wait as long before it cries */
	if (threshold_rule_complete(rule, error, sizeof(error)))
		exit(1);
}

static void try_pair(double above, double below, const struct threshold_rule *like, const struct series *only, struct score *best,
		     double *best_above, double *best_below)
{
	struct threshold_rule rule;
	struct score score = { 0 };

	init_fixed(&rule, above, below, like);
	if (only)
		judge_series(&rule, only, &score, false);
	else
		score = judge_set(&rule, -1, -1, false);
	if (f1(&score) > f1(best)) {
		*best = score;
		*best_above = above;
		*best_below = below;
	}
}

static struct score best_fixed(const struct threshold_rule *like, const struct series *only, double *above, double *below)
{
	struct score best = { .anomalies = only ? only->count : 1 };

	*above = *below = NAN;
	if (only && !only->count) /* with hindsight: none needed */
		return best;
	for (int i = 0; i < GRID; i++)
		try_pair(grid_value(i), NAN, like, only, &best, above, below);
	if (isnan(*above))
		*above = grid_value(GRID - 1);
	for (int i = 0; i < GRID && grid_value(i) < *above; i++)
		try_pair(*above, grid_value(i), like, only, &best, above, below);
	return best;
}

static struct score best_fixed_per_series(const struct threshold_rule *like)
{
	struct score sum = { 0 };

	for (int i = 0; i < set_count; i++) {
		double above, below;
		struct score one = best_fixed(like, &set[i], &above, &below);

		sum.anomalies += set[i].count;
		sum.found += one.found;
		sum.alarms += one.alarms;
		sum.delay += one.delay;
	}
	return sum;
}

/* --- the command line */

static void init_rule(struct threshold_rule *rule, enum threshold_method method, char **settings)
{
	char error[256];

	threshold_rule_init(rule);
	rule->method = method;
	rule->figure = THRESHOLD_CPU_PERCENT;
	rule->metric = M_task_on_cpu_ns;
	rule->name = (char *)threshold_method_name(method);
	for (; *settings; settings++) {
		const char *value = strchr(*settings, '=');
		double number = value ? atof(value + 1) : NAN;

		if (strncmp(*settings, "k=", 2) == 0)
			rule->k = number;
		else if (strncmp(*settings, "window=", 7) == 0)
			rule->window = (size_t)number;
		else if (strncmp(*settings, "warmup=", 7) == 0)
			rule->warmup = (size_t)number;
		else if (strncmp(*settings, "for=", 4) == 0)
			rule->for_ns = (uint64_t)(number * NS);
		else if (strncmp(*settings, "clear=", 6) == 0)
			rule->clear = number;
		else if (strncmp(*settings, "floor=", 6) == 0)
			rule->floor = number;
	}
	if (threshold_rule_complete(rule, error, sizeof(error))) {
		fprintf(stderr, "thresholds: %s\n", error);
		exit(2);
	}
}

static void print_details(const struct threshold_rule *rule)
{
	char name[64];

	for (int b = 0; b < BACKGROUNDS; b++) {
		struct score score = judge_set(rule, b, -1, true);

		snprintf(name, sizeof(name), "  %s on %s", rule->name, background_names[b]);
		print_score(name, &score);
	}
	for (int k = 0; k < KINDS; k++) {
		struct score score = judge_set(rule, -1, k, false);

		snprintf(name, sizeof(name), "  %s, %s", rule->name, anomaly_names[k]);
		print_score(name, &score);
	}
}

static uint64_t number_of_set(char **settings)
{
	for (; *settings; settings++)
		if (strncmp(*settings, "set=", 4) == 0)
			return strtoull(*settings + 4, NULL, 10);
	return 0;
}

int main(int argc, char **argv)
{
	static const enum threshold_method methods[] = { THRESHOLD_EWMA, THRESHOLD_MAD };
	bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	double above, below, learned = 1;
	struct score fixed, hindsight;
	struct threshold_rule rule;
	char name[64];

	make_set(number_of_set(argv));
	printf("%d series of %d samples; delay in samples\n", set_count, SAMPLES);
	printf("%-34s %9s %6s %6s %9s %7s %6s %7s\n", "", "anomalies", "found", "false", "precision", "recall", "F1", "delay");
	for (int m = 0; m < 2; m++) {
		struct score score;

		init_rule(&rule, methods[m], argv + 1 + verbose);
		score = judge_set(&rule, -1, -1, false);
		snprintf(name, sizeof(name), "%s k=%g window=%zu", rule.name, rule.k, rule.window);
		print_score(name, &score);
		learned = fmin(learned, f1(&score));
		if (verbose)
			print_details(&rule);
	}
	fixed = best_fixed(&rule, NULL, &above, &below);
	snprintf(name, sizeof(name), "best fixed: above %.1f, below %.1f", above, below);
	print_score(name, &fixed);
	hindsight = best_fixed_per_series(&rule);
	print_score("best fixed of each series", &hindsight);
	free(set);
	return learned > f1(&fixed) ? 0 : 1;
}
