/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * First stage: which rows and events this report is about. The collector has narrowed them to the subscription
 * already; names, users and cgroups are judged here, because a report may ask for any pattern and the kernel side may not.
 */
#ifndef TASKMON_SELECT_H
#define TASKMON_SELECT_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "row.h"

/** Filters of --name and --regex, of --user, and of --cgroup; one that is empty lets everything pass. */
struct select {
	char **names; /* globs on the name of the process */
	size_t name_count;
	uint32_t *uids; /* real user ids */
	size_t uid_count;
	regex_t *regexes; /* on a part of that name; one of these or of `names` must match */
	size_t regex_count;
	char **cgroups; /* globs on its path, or that of a cgroup above it */
	size_t cgroup_count;
	char **rules; /* of a threshold: names of rules of the collector */
	size_t rule_count;
};

/** One more POSIX extended regular expression. Returns 0, -ENOMEM, or -EINVAL with one line in `error`. */
int select_add_regex(struct select *select, const char *text, char *error, size_t error_size);

void select_free(struct select *select);

/** Is there anything that may be turned away? */
bool select_narrows(const struct select *select);

/** By name and user. */
bool select_process(const struct select *select, const char *process_comm, uint32_t uid);
bool select_cgroup(const struct select *select, const char *cgroup);
bool select_row(const struct select *select, const struct row *row);

/**
 * `process_selected`: the verdict on the event's process by name and user, which decides for its threads. A process that
 * takes or gives up a selected name is shown doing so.
 */
bool select_event(const struct select *select, const struct event *event, bool process_selected);

#endif
