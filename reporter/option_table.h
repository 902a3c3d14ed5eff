/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of the command line: what they are called, what --help says of them, and what each does to struct options.
 */
#ifndef TASKMON_OPTION_TABLE_H
#define TASKMON_OPTION_TABLE_H

#include <popt.h>

#include "options.h"

#define OPTION_SOCKET_DEFAULT "/run/taskmon/collector.sock"

/** For popt; `val` says which it is. */
extern const struct poptOption option_table[];

/** The option has been given; `value` is NULL if it takes none. Returns 0, -ENOMEM, or -EINVAL with one line in `error`. */
int option_apply(struct options *options, int val, const char *value, char *error, size_t error_size);

/** Its long name. */
const char *option_name(int val);

#endif
