/* SPDX-License-Identifier: BSD-2-Clause */
#include "doctor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "cgroup.h"
#include "heap_worker.h"
#include "hooks.h"
#include "kernel.h"
#include "metric.h"
#include "privilege.h"

static void ignore_event(const void *record, size_t size, void *context)
{
	(void)record;
	(void)size;
	(void)context;
}

static int print_hooks(const struct hooks *hooks, const char *not_quick, const char *heap_unavailable)
{
	const struct hook *table;
	size_t count = hooks_table(&table);
	int err = 0;

	printf("%-34s %s\n", "HOOK", "AVAILABLE");
	printf("%-34s %s\n", "iter/task", "yes: samples");
	printf("%-34s %s%s\n", "sample_part", not_quick ? "no: " : "yes: samples at half the cost", not_quick ? not_quick : "");
	for (size_t i = 0; i < count; i++) {
		const char *why = hooks_reason(hooks, i);
		bool spare = hooks_spare(hooks, i);

		if (table[i].instead_of && why)
			continue; /* told of the event that it would stand in for */
		printf("%-34s %s%s%s", table[i].event,
		       spare ? "not needed: there is " :
		       why   ? "no: " :
			       "yes",
		       spare ? table[i].instead_of :
		       why   ? why :
			       "",
		       table[i].purpose ? ": " : "\n");
		if (table[i].purpose)
			printf("%s\n", table[i].purpose);
		err = why && table[i].purpose ? -ENOTSUP : err;
	}
	printf("%-34s %s%s\n", "uprobe", heap_unavailable ? "no: " : "yes", heap_unavailable ? heap_unavailable : "");
	return err;
}

static int print_metrics(const struct kernel *kernel)
{
	int err = 0;

	printf("\n%-34s %s\n", "METRIC", "AVAILABLE");
	for (int id = 0; id < METRIC_TOTAL; id++) {
		const char *why = kernel_metric_unavailable(kernel, (enum metric_id)id);

		printf("%-34s %s%s\n", metrics[id].name, why ? "no: " : "yes", why ? why : "");
		err = why ? -ENOTSUP : err;
	}
	return err;
}

int doctor_run(void)
{
	struct cgroups *cgroups = cgroups_new();
	struct kernel *kernel = NULL;
	struct utsname name;
	int err, lacking;

	/* as a collector does, so that what a privilege is missing for shows */
	err = cgroups ? privilege_drop() : -ENOMEM;
	if (!err)
		err = kernel_open(&kernel, ignore_event, NULL);
	if (err)
		goto out;
	uname(&name);
	printf("taskmon-collector %s on %s %s\n\n", TASKMON_VERSION, name.release, name.machine);
	kernel_set_cgroup(kernel, cgroup_root(cgroups));
	kernel_need(kernel, METRIC_ALL_BITS | NEED_SYSCALLS, true); /* really attach everything, once */
	if (!kernel_metric_unavailable(kernel, M_task_heap_size))
		heap_worker_try(kernel);
	lacking = print_hooks(kernel_hooks(kernel), kernel_not_quick(kernel), kernel_metric_unavailable(kernel, M_task_heap_size));
	err = print_metrics(kernel);
	err = lacking ? lacking : err;
	privilege_print();
	kernel_close(kernel);
out:
	cgroups_free(cgroups);
	return err;
}
