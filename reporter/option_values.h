/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Values of options: text in, checked figures out. Each returns 0, -ENOMEM, or -EINVAL with one line in `error`:
 * what was wrong and what was expected.
 */
#ifndef TASKMON_OPTION_VALUES_H
#define TASKMON_OPTION_VALUES_H

#include <stddef.h>
#include <stdint.h>

/** N[,N...], appended to the list. */
int value_pids(const char *text, uint32_t **pids, size_t *count, char *error, size_t error_size);

/** USER[,USER...], names or numbers, appended to the list. */
int value_users(const char *text, uint32_t **uids, size_t *count, char *error, size_t error_size);

/** Seconds with decimals, as ns. */
int value_seconds(const char *text, double min, double max, uint64_t *ns, char *error, size_t error_size);

/** A whole number. */
int value_number(const char *text, uint64_t min, uint64_t max, uint64_t *number, char *error, size_t error_size);

/** A whole number of bytes, or of K, M or G (1024) of them. */
int value_bytes(const char *text, uint64_t min, uint64_t max, uint64_t *bytes, char *error, size_t error_size);

/** A copy of `text`, which must not be empty; `what` is what was expected. */
int value_text(const char *text, const char *what, char **copy, char *error, size_t error_size);

/** Append a copy of `text` to a list. */
int value_append_text(const char *text, char ***list, size_t *count);

#endif
