/* SPDX-License-Identifier: BSD-2-Clause */
#include "threshold_stats.h"

#include <math.h>
#include <string.h>

#define BELL 1.4826 /* 1 / the 75 % quantile of the normal distribution */

/* Incremental mean and variance, Finch 2009, with the weight of a plain mean until that is less. */
void ewma_learn(struct ewma *ewma, double value, size_t window, double share)
{
	double plain = 1.0 / (double)(ewma->count + 1), fading = 2.0 / (double)(window + 1);
	double weight = (plain > fading ? plain : fading) * (ewma->count ? share : 1);
	double distance = value - ewma->mean;

	ewma->mean += weight * distance;
	ewma->variance = (1 - weight) * (ewma->variance + weight * distance * distance);
	ewma->count++;
}

/* Index of the first of the sorted values that is not less. */
static size_t lower_bound(const double *sorted, size_t count, double value)
{
	size_t low = 0;

	while (count) {
		size_t half = count / 2;

		if (sorted[low + half] < value) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return low;
}

void mad_learn(struct mad *mad, double value, size_t window)
{
	double *aged = mad->values, *sorted = mad->values + window;
	size_t at;

	if (mad->count == window) {
		mad->count--;
		at = lower_bound(sorted, mad->count, aged[mad->oldest]); /* in the last place if in none before it */
		memmove(&sorted[at], &sorted[at + 1], (mad->count - at) * sizeof(*sorted));
		aged[mad->oldest] = value;
		mad->oldest = (mad->oldest + 1) % window;
	} else {
		aged[mad->count] = value; /* `oldest` is 0 until the window is full */
	}
	at = lower_bound(sorted, mad->count, value);
	memmove(&sorted[at + 1], &sorted[at], (mad->count - at) * sizeof(*sorted));
	sorted[at] = value;
	mad->count++;
}

double mad_median(const struct mad *mad, size_t window)
{
	const double *sorted = mad->values + window;
	size_t half = mad->count / 2;

	if (!mad->count)
		return 0;
	return mad->count % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/* Distances grow from the median to both ends, so the half of them that are least are met by two fingers. */
double mad_spread(const struct mad *mad, size_t window)
{
	const double *sorted = mad->values + window;
	double median = mad_median(mad, window), distance = 0, before = 0;
	size_t right = lower_bound(sorted, mad->count, median), left = right;

	if (!mad->count)
		return 0;
	for (size_t taken = 0; taken <= mad->count / 2; taken++) {
		double to_left = left ? median - sorted[left - 1] : INFINITY;
		double to_right = right < mad->count ? sorted[right] - median : INFINITY;

		before = distance;
		if (to_left < to_right) {
			distance = to_left;
			left--;
		} else {
			distance = to_right;
			right++;
		}
	}
	return BELL * (mad->count % 2 ? distance : (before + distance) / 2);
}
