/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_STR_H
#define TASKMON_STR_H

#include <stddef.h>
#include <stdint.h>

/**
 * Copy `size` bytes as valid UTF-8 without control characters, terminated: each offending byte becomes U+FFFD for
 * invalid UTF-8 and '?' for a control character. Returns the length; the output is cut at a character boundary.
 */
size_t str_sanitize(char *out, size_t out_size, const void *bytes, size_t size);

/** Decimal digits of `value` at `out` (room for 20), not terminated; returns how many. */
size_t str_u64(char *out, uint64_t value);

/** Exactly `count` digits of `value`, with leading zeros. */
void str_digits(char *out, uint64_t value, size_t count);

static const uint64_t str_powers_of_ten[] = {
	1ULL,
	10ULL,
	100ULL,
	1000ULL,
	10000ULL,
	100000ULL,
	1000000ULL,
	10000000ULL,
	100000000ULL,
	1000000000ULL,
	10000000000ULL,
	100000000000ULL,
	1000000000000ULL,
	10000000000000ULL,
	100000000000000ULL,
	1000000000000000ULL,
	10000000000000000ULL,
	100000000000000000ULL,
	1000000000000000000ULL,
	10000000000000000000ULL,
};

/**
 * `value` / 10^scale in plain decimals with `digits` decimals (digits <= scale <= 19), rounded half up;
 * e.g. ns as ms with 3 decimals: str_fixed(out, ns, 6, 3). Room for 22; not terminated; returns the length.
 * Inline: scale and digits are constants, so that the compiler makes multiplications of its divisions.
 */
static inline size_t str_fixed(char *out, uint64_t value, unsigned int scale, unsigned int digits)
{
	uint64_t dropped = str_powers_of_ten[scale - digits];
	uint64_t kept = value / dropped;
	size_t used;

	if (dropped > 1 && value % dropped >= dropped / 2)
		kept++;
	used = str_u64(out, kept / str_powers_of_ten[digits]);
	if (digits) {
		out[used++] = '.';
		str_digits(out + used, kept % str_powers_of_ten[digits], digits);
		used += digits;
	}
	return used;
}

/** One cell of CSV, quoted if RFC 4180 wants it so. Room for twice the text and two; not terminated; returns the length. */
size_t str_csv(char *out, const char *text);

/** Wall clock ns since the epoch as RFC 3339 in UTC with 9 decimals ("2026-11-22T03:04:05.123456789Z"); needs 31. */
size_t str_rfc3339(char *out, size_t out_size, uint64_t wall_ns);

/** How many characters must be put in, taken out or replaced to make `b` of `a`; a `b` of 64 bytes or more is just far. */
size_t str_distance(const char *a, const char *b);

/** A copy; of a longer text its first `max` bytes and "...", without cutting a character of UTF-8. NULL when out of memory. */
char *str_shorten(const char *text, size_t max);

#endif
