/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Do the options go together? And what follows from them that nobody has said.
 */
#ifndef TASKMON_OPTION_CHECK_H
#define TASKMON_OPTION_CHECK_H

#include "options.h"

/** Returns 0, -ENOMEM, or -EINVAL with one line in `error`. */
int option_check(struct options *options, char *error, size_t error_size);

#endif
