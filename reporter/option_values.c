/* SPDX-License-Identifier: BSD-2-Clause */
#include "option_values.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A word of a list becomes a number. */
typedef int (*word_parser)(const char *word, uint32_t *number, char *error, size_t error_size);

static int append_number(uint32_t number, uint32_t **list, size_t *count)
{
	uint32_t *grown = realloc(*list, (*count + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	grown[(*count)++] = number;
	*list = grown;
	return 0;
}

static int parse_list(const char *text, word_parser parse, uint32_t **list, size_t *count, char *error, size_t error_size)
{
	for (const char *at = text;; at++) {
		size_t length = strcspn(at, ",");
		char *word = strndup(at, length);
		uint32_t number = 0;
		int err = word ? parse(word, &number, error, error_size) : -ENOMEM;

		free(word);
		if (!err)
			err = append_number(number, list, count);
		if (err)
			return err;
		at += length;
		if (!*at)
			return 0;
	}
}

/* Digits only: strtoul alone takes signs, spaces and numbers that do not fit. */
static int parse_number(const char *word, unsigned long max, uint32_t *number)
{
	unsigned long value;

	if (!*word || word[strspn(word, "0123456789")])
		return -EINVAL;
	errno = 0;
	value = strtoul(word, NULL, 10);
	if (errno || value > max)
		return -EINVAL;
	*number = (uint32_t)value;
	return 0;
}

static int parse_pid(const char *word, uint32_t *pid, char *error, size_t error_size)
{
	if (parse_number(word, INT_MAX, pid) == 0 && *pid > 0)
		return 0;
	snprintf(error, error_size, "\"%s\" is not a process id (expected a positive number)", word);
	return -EINVAL;
}

/* As elsewhere, a user whose name is a number goes before the number. */
static int parse_user(const char *word, uint32_t *uid, char *error, size_t error_size)
{
	const struct passwd *user = *word ? getpwnam(word) : NULL;

	if (user) {
		*uid = user->pw_uid;
		return 0;
	}
	if (parse_number(word, UINT32_MAX - 1, uid) == 0)
		return 0;
	snprintf(error, error_size, "\"%s\" is not a user (expected a user name or number)", word);
	return -EINVAL;
}

int value_pids(const char *text, uint32_t **pids, size_t *count, char *error, size_t error_size)
{
	return parse_list(text, parse_pid, pids, count, error, error_size);
}

int value_users(const char *text, uint32_t **uids, size_t *count, char *error, size_t error_size)
{
	return parse_list(text, parse_user, uids, count, error, error_size);
}

int value_seconds(const char *text, double min, double max, uint64_t *ns, char *error, size_t error_size)
{
	const char *digits = text + (*text == '-');
	char *end;
	double seconds = strtod(text, &end);

	/* neither "inf", "nan" nor hexadecimal */
	if (end == text || *end || digits[strspn(digits, "0123456789.")]) {
		snprintf(error, error_size, "\"%s\" is not a number (expected %.10g to %.10g seconds)", text, min, max);
		return -EINVAL;
	}
	if (seconds < min || seconds > max) {
		snprintf(error, error_size, "%s is out of range (expected %.10g to %.10g seconds)", text, min, max);
		return -EINVAL;
	}
	*ns = (uint64_t)llround(seconds * 1e9);
	return 0;
}

static int refuse_number(const char *text, uint64_t min, uint64_t max, char *error, size_t error_size)
{
	snprintf(error, error_size, "\"%s\" is not a number in range (expected %llu to %llu)", text, (unsigned long long)min,
		 (unsigned long long)max);
	return -EINVAL;
}

/* `suffixes`: each stands for 1024 times the one before. */
static int parse_u64(const char *text, const char *suffixes, uint64_t *number)
{
	size_t digits = strspn(text, "0123456789");
	const char *suffix = text[digits] ? strchr(suffixes, text[digits]) : NULL;
	unsigned int shift = suffix ? 10 * (unsigned int)(suffix - suffixes + 1) : 0;

	if (digits == 0 || (text[digits] && (!suffix || text[digits + 1])))
		return -EINVAL;
	errno = 0;
	*number = strtoull(text, NULL, 10);
	if (errno || *number > UINT64_MAX >> shift)
		return -EINVAL;
	*number <<= shift;
	return 0;
}

int value_number(const char *text, uint64_t min, uint64_t max, uint64_t *number, char *error, size_t error_size)
{
	if (parse_u64(text, "", number) == 0 && *number >= min && *number <= max)
		return 0;
	return refuse_number(text, min, max, error, error_size);
}

int value_bytes(const char *text, uint64_t min, uint64_t max, uint64_t *bytes, char *error, size_t error_size)
{
	if (parse_u64(text, "KMGT", bytes) == 0 && *bytes >= min && *bytes <= max)
		return 0;
	return refuse_number(text, min, max, error, error_size);
}

int value_text(const char *text, const char *what, char **copy, char *error, size_t error_size)
{
	if (!*text) {
		snprintf(error, error_size, "it is empty (expected %s)", what);
		return -EINVAL;
	}
	free(*copy);
	*copy = strdup(text);
	return *copy ? 0 : -ENOMEM;
}

int value_append_text(const char *text, char ***list, size_t *count)
{
	char **grown = realloc(*list, (*count + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[*count] = strdup(text);
	if (!grown[*count])
		return -ENOMEM;
	(*count)++;
	return 0;
}
