/* SPDX-License-Identifier: BSD-2-Clause */
#include "doctor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "kernel.h"
#include "metric.h"

static void ignore_event(const void *record, size_t size, void *context)
{
	(void)record;
	(void)size;
	(void)context;
}

int doctor_run(void)
{
	const struct kernel_hook *hooks;
	struct kernel *kernel;
	struct utsname name;
	size_t count;
	int err = kernel_open(&kernel, ignore_event, NULL);

	if (err)
		return err;
	uname(&name);
	printf("taskmon-collector %s on %s %s\n\n", TASKMON_VERSION, name.release, name.machine);
	kernel_attach(kernel);
	count = kernel_hooks(kernel, &hooks);
	printf("%-34s %s\n", "HOOK", "AVAILABLE");
	printf("%-34s %s\n", "iter/task", "yes: samples");
	for (size_t i = 0; i < count; i++) {
		printf("%-34s %s%s: %s\n", hooks[i].event, hooks[i].error ? "no: " : "yes",
		       hooks[i].error ? strerror(-hooks[i].error) : "", hooks[i].purpose);
		err = hooks[i].error ? -ENOTSUP : err;
	}
	printf("\n%-34s %s\n", "METRIC", "AVAILABLE");
	for (int id = 0; id < METRIC_TOTAL; id++) {
		const char *why = kernel_metric_unavailable(kernel, (enum metric_id)id);

		printf("%-34s %s%s\n", metrics[id].name, why ? "no: " : "yes", why ? why : "");
		err = why ? -ENOTSUP : err;
	}
	kernel_close(kernel);
	return err;
}
