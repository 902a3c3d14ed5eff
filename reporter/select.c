/* SPDX-License-Identifier: BSD-2-Clause */
#include "select.h"

#include <fnmatch.h>
#include <stdlib.h>

void select_free(struct select *select)
{
	if (!select)
		return;
	for (size_t i = 0; i < select->name_count; i++)
		free(select->names[i]);
	free(select->names);
	free(select->uids);
	for (size_t i = 0; i < select->regex_count; i++)
		regfree(&select->regexes[i]);
	free(select->regexes);
	for (size_t i = 0; i < select->cgroup_count; i++)
		free(select->cgroups[i]);
	free(select->cgroups);
	*select = (struct select){ 0 };
}

bool select_narrows(const struct select *select)
{
	return select->name_count || select->uid_count || select->regex_count || select->cgroup_count;
}

static bool matches_name(const struct select *select, const char *comm)
{
	for (size_t i = 0; i < select->name_count; i++)
		if (fnmatch(select->names[i], comm, 0) == 0)
			return true;
	for (size_t i = 0; i < select->regex_count; i++)
		if (regexec(&select->regexes[i], comm, 0, NULL, 0) == 0)
			return true;
	return select->name_count == 0 && select->regex_count == 0;
}

static bool matches_user(const struct select *select, uint32_t uid)
{
	for (size_t i = 0; i < select->uid_count; i++)
		if (select->uids[i] == uid)
			return true;
	return select->uid_count == 0;
}

static bool matches_cgroup(const struct select *select, const char *cgroup)
{
	for (size_t i = 0; i < select->cgroup_count; i++)
		if (fnmatch(select->cgroups[i], cgroup, 0) == 0)
			return true;
	return select->cgroup_count == 0;
}

bool select_process(const struct select *select, const char *process_comm, uint32_t uid)
{
	return matches_user(select, uid) && matches_name(select, process_comm);
}

bool select_row(const struct select *select, const struct row *row)
{
	return select_process(select, row->process_comm, row->uid) && matches_cgroup(select, row->cgroup);
}

bool select_event(const struct select *select, const struct event *event, bool process_selected)
{
	bool is_process = event->tid == event->tgid;

	return process_selected || (is_process && event->renamed && select_process(select, event->old_comm, event->uid));
}
