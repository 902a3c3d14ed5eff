/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single conditions in the language of rules: names, arguments, users, connections and limits. Each becomes a term of the
 * rule, which must hold besides what has been read already.
 */
#ifndef TASKMON_RULE_SINGLE_H
#define TASKMON_RULE_SINGLE_H

#include "json_file.h"
#include "rule.h"

/** Alternatives: one of them must hold. */
struct rule_dnf {
	size_t count;
	struct rule_clause clauses[RULE_CLAUSES_MAX];
};

/** What a condition is read into: what must hold besides is in `dnf` already. */
struct rule_reading {
	struct rule *rule;
	struct rule_dnf *dnf;
};

/** As a json_setting has them: `reading` is a struct rule_reading. */
int rule_read_comm(void *reading, const cJSON *value, struct json_file *file);
int rule_read_kernel_thread(void *reading, const cJSON *value, struct json_file *file);
int rule_read_argv(void *reading, const cJSON *value, struct json_file *file);
int rule_read_user(void *reading, const cJSON *value, struct json_file *file);
int rule_read_limit(void *reading, const cJSON *value, struct json_file *file);
int rule_read_connection(void *reading, const cJSON *value, struct json_file *file);

#define RULE_NAMES_EXPECTED "a name of at most 15 bytes, or its beginning and *, or a list of those"
#define RULE_TOKENS_EXPECTED "a whole argument, or */ and the last part of a path, or a list of those"
#define RULE_PROTOCOLS_EXPECTED "\"tcp\", \"udp\" or \"any\""

/** Rows of a table of json_settings. */
#define RULE_SINGLE_CONDITIONS                                                                                              \
	{ "comm", rule_read_comm, RULE_NAMES_EXPECTED }, { "kernel_thread", rule_read_kernel_thread, RULE_NAMES_EXPECTED }, \
		{ "argv", rule_read_argv, RULE_TOKENS_EXPECTED },                                                           \
		{ "user", rule_read_user, "the name of an existing user, or a user id" },                                   \
		{ "limit", rule_read_limit, "{METRIC or METRIC_rate: {\"above\" or \"below\": NUMBER}}" },                  \
	{                                                                                                                   \
		"connection", rule_read_connection,                                                                         \
			RULE_PROTOCOLS_EXPECTED ", or {\"protocol\": one of those, \"port\": 1 to 65535}"                   \
	}

#endif
