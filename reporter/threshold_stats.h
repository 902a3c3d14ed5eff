/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is normal, learned sample by sample. Pure.
 */
#ifndef TASKMON_THRESHOLD_STATS_H
#define TASKMON_THRESHOLD_STATS_H

#include <stddef.h>

/**
 * Mean and variance in which a sample counts for exp(-age/N): the weight of a new one is 2/(window+1), more while there
 * are fewer samples, so that the first ones count alike.
 */
struct ewma {
	double mean, variance;
	size_t count;
};

/** `share` of the weight, up to 1, is given to this sample. */
void ewma_learn(struct ewma *ewma, double value, size_t window, double share);

/**
 * The last `window` samples, in the order of their age and of their size. Room for both follows it: allocate
 * sizeof(struct mad) + 2 * window * sizeof(double), zeroed.
 */
struct mad {
	size_t count, oldest;
	double values[];
};

void mad_learn(struct mad *mad, double value, size_t window);
double mad_median(const struct mad *mad, size_t window);

/** 1.4826 times the median distance from the median: σ, if they are spread as a bell. */
double mad_spread(const struct mad *mad, size_t window);

#endif
