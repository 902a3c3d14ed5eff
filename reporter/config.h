/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --config FILE, report.json: the keys of the seed's config.json and those of our own beside them. See config/README.md.
 */
#ifndef TASKMON_REPORT_CONFIG_H
#define TASKMON_REPORT_CONFIG_H

#include <stddef.h>

#include "options.h"

/**
 * Take the settings of a file over into options that have their defaults. Returns 0, -ENOMEM, or -EINVAL with
 * `FILE:LINE: what, and what was expected` in `error`.
 */
int config_read(struct options *options, const char *path, char *error, size_t error_size);

#endif
