/* SPDX-License-Identifier: BSD-2-Clause */
#include "modules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "record.h"

const struct module modules[MODULE_TOTAL] = {
	[MODULE_TASK] = { "task", "task.csv", "the metrics of --metrics, cumulative, at every tick", true, 0 },
	[MODULE_CPU] = { "cpu", "cpu.csv", "time on and off the CPU within each interval", true,
			 METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_off_cpu_ns) },
	[MODULE_MEM] = { "mem", "mem.csv", "outstanding heap bytes and allocations", true,
			 METRIC_BIT(M_task_heap_size) | METRIC_BIT(M_task_heap_times) },
	[MODULE_NET] = { "net", "net.csv", "network traffic at the data-link layer", true,
			 METRIC_BIT(M_task_link_rx_bytes) | METRIC_BIT(M_task_link_tx_bytes) },
	[MODULE_SYSCALL] = { "syscall", "syscall.csv", "each system call, as it is entered and left", true, 0 },
	[MODULE_MEMLEAK] = { "memleak", "memleak.csv", "heap growth across calls of a function, with --probe", true,
			     METRIC_BIT(M_task_heap_size) | METRIC_BIT(M_task_heap_times) },
};

/* "task, cpu": what can be asked for in this version. */
static const char *available_names(char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (int id = 0; id < MODULE_TOTAL; id++)
		if (modules[id].available && used < size)
			used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", modules[id].name);
	return out;
}

static int parse_word(const char *word, size_t length, unsigned int *set, char *error, size_t error_size)
{
	char names[128];

	for (int id = 0; id < MODULE_TOTAL; id++) {
		if (strlen(modules[id].name) != length || memcmp(modules[id].name, word, length) != 0)
			continue;
		if (modules[id].available) {
			*set |= MODULE_BIT(id);
			return 0;
		}
		snprintf(error, error_size, "%s is not available in version " TASKMON_VERSION " (expected: %s)", modules[id].name,
			 available_names(names, sizeof(names)));
		return -EINVAL;
	}
	snprintf(error, error_size, "\"%.*s\" is not a module (expected: %s)", (int)length, word,
		 available_names(names, sizeof(names)));
	return -EINVAL;
}

int modules_parse(const char *text, unsigned int *set, char *error, size_t error_size)
{
	unsigned int parsed = 0;

	for (const char *word = text;; word++) {
		size_t length = strcspn(word, ",");
		int err = parse_word(word, length, &parsed, error, error_size);

		if (err)
			return err;
		word += length;
		if (!*word)
			break;
	}
	*set = parsed;
	return 0;
}
