/* SPDX-License-Identifier: BSD-2-Clause */
#include "str.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Well-formed UTF-8, The Unicode Standard, table 3-7: neither overlong forms nor surrogates. */
static const struct utf8_form {
	unsigned char first_low, first_high;
	unsigned char second_low, second_high;
	size_t length;
} utf8_forms[] = {
	{ 0x00, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
	{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
	{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

static bool within(unsigned char byte, unsigned char low, unsigned char high)
{
	return byte >= low && byte <= high;
}

/* Bytes of the character that starts at `in`, 0 if none does. */
static size_t utf8_length(const unsigned char *in, size_t size)
{
	for (size_t i = 0; i < sizeof(utf8_forms) / sizeof(utf8_forms[0]); i++) {
		const struct utf8_form *form = &utf8_forms[i];

		if (!within(in[0], form->first_low, form->first_high))
			continue;
		if (size < form->length)
			return 0;
		if (form->length > 1 && !within(in[1], form->second_low, form->second_high))
			return 0;
		for (size_t at = 2; at < form->length; at++)
			if (!within(in[at], 0x80, 0xbf))
				return 0;
		return form->length;
	}
	return 0;
}

/* C0, DEL and C1 (U+0080 to U+009F): a terminal may obey each of them. */
static bool is_control(const unsigned char *in, size_t length)
{
	return in[0] < 0x20 || in[0] == 0x7f || (length == 2 && in[0] == 0xc2 && in[1] < 0xa0);
}

size_t str_sanitize(char *out, size_t out_size, const void *bytes, size_t size)
{
	const unsigned char *in = size ? bytes : (const void *)"", *end = in + size; /* no bytes may be at NULL */
	size_t used = 0;

	if (out_size == 0)
		return 0;
	while (in < end) {
		size_t taken = within(*in, 0x20, 0x7e) ? 1 : utf8_length(in, (size_t)(end - in));
		const void *piece = in;
		size_t length = taken;

		if (taken == 0) {
			piece = "\xef\xbf\xbd"; /* U+FFFD */
			length = 3;
			taken = 1;
		} else if (is_control(in, taken)) {
			piece = "?";
			length = 1;
		}
		if (used + length >= out_size)
			break;
		memcpy(out + used, piece, length);
		used += length;
		in += taken;
	}
	out[used] = '\0';
	return used;
}

static const char digit_pairs[] = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940"
				  "41424344454647484950515253545556575859606162636465666768697071727374757677787980"
				  "8182838485868788899091929394959697989900";

void str_digits(char *out, uint64_t value, size_t count)
{
	for (; count >= 2; count -= 2, value /= 100)
		memcpy(out + count - 2, &digit_pairs[value % 100 * 2], 2);
	if (count)
		out[0] = (char)('0' + value % 10);
}

/* Decimal digits of a number from its bits: log10(2) is about 1233 / 4096. */
static size_t count_digits(uint64_t value)
{
	unsigned int guess = (64 - (unsigned int)__builtin_clzll(value | 1)) * 1233 >> 12;

	return guess + (value >= str_powers_of_ten[guess]);
}

size_t str_u64(char *out, uint64_t value)
{
	size_t count = count_digits(value | (value == 0));

	str_digits(out, value, count);
	return count;
}

size_t str_csv(char *out, const char *text)
{
	size_t length = strcspn(text, ",\"\r\n");

	if (!text[length]) {
		memcpy(out, text, length);
		return length;
	}
	length = 0;
	out[length++] = '"';
	for (; *text; text++) {
		if (*text == '"')
			out[length++] = '"';
		out[length++] = *text;
	}
	out[length++] = '"';
	return length;
}

/*
 * Day of the proleptic Gregorian calendar from days since 1970-01-01: years that start in March put the leap day
 * last, and 400 of them have 146097 days.
 */
static void civil_from_days(uint64_t days, uint64_t *year, uint64_t *month, uint64_t *day)
{
	uint64_t shifted = days + 719468; /* since 0000-03-01 */
	uint64_t era = shifted / 146097;
	uint64_t day_of_era = shifted % 146097;
	uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t march_month = (5 * day_of_year + 2) / 153;

	*day = day_of_year - (153 * march_month + 2) / 5 + 1;
	*month = march_month < 10 ? march_month + 3 : march_month - 9;
	*year = era * 400 + year_of_era + (*month <= 2);
}

size_t str_rfc3339(char *out, size_t out_size, uint64_t wall_ns)
{
	static const char form[] = "0000-00-00T00:00:00.000000000Z";
	uint64_t seconds = wall_ns / 1000000000, year, month, day;

	if (out_size < sizeof(form)) {
		if (out_size)
			out[0] = '\0';
		return 0;
	}
	civil_from_days(seconds / 86400, &year, &month, &day);
	memcpy(out, form, sizeof(form));
	str_digits(out, year, 4);
	str_digits(out + 5, month, 2);
	str_digits(out + 8, day, 2);
	str_digits(out + 11, seconds / 3600 % 24, 2);
	str_digits(out + 14, seconds / 60 % 60, 2);
	str_digits(out + 17, seconds % 60, 2);
	str_digits(out + 20, wall_ns % 1000000000, 9);
	return sizeof(form) - 1;
}

size_t str_distance(const char *a, const char *b)
{
	enum { ROW = 64 };
	size_t row[ROW], b_len = strlen(b);

	if (b_len >= ROW)
		return ROW;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
			size_t shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			diagonal = row[j];
			row[j] = substitute < shift ? substitute : shift;
		}
	}
	return row[b_len];
}

char *str_shorten(const char *text, size_t max)
{
	size_t length = strlen(text);
	char *copy;

	if (length <= max)
		return strdup(text);
	while (max > 0 && ((unsigned char)text[max] & 0xC0) == 0x80)
		max--;
	return asprintf(&copy, "%.*s...", (int)max, text) < 0 ? NULL : copy;
}
