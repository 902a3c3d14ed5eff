/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The language of rules, as config/README.md has it: what a rule's object in a file says becomes alternatives of terms.
 */
#ifndef TASKMON_RULE_CONDITION_H
#define TASKMON_RULE_CONDITION_H

#include "json_file.h"
#include "rule.h"

/** Fill a new rule from its object. -EINVAL with the line in the file's error, or -ENOMEM. */
int rule_read(struct rule *rule, const cJSON *object, struct json_file *file);

#endif
