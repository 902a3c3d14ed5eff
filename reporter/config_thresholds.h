/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_CONFIG_THRESHOLDS_H
#define TASKMON_CONFIG_THRESHOLDS_H

#include "json_file.h"
#include "threshold_rule.h"

/** The list "thresholds" of report.json. Returns 0, -EINVAL after json_file_refuse() or if it is no list, or -ENOMEM. */
int config_thresholds(struct threshold_rules *rules, const cJSON *list, struct json_file *file);

#endif
