/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modules of --modules: each is one topic and one CSV file.
 */
#ifndef TASKMON_MODULES_H
#define TASKMON_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum module_id { MODULE_TASK, MODULE_CPU, MODULE_MEM, MODULE_NET, MODULE_SYSCALL, MODULE_MEMLEAK, MODULE_TOTAL };
#define MODULE_BIT(id) (1u << (id))

struct module {
	const char *name;
	const char *file; /* within the directory of --csv */
	const char *help;
	bool available; /* in this version */
	uint64_t needs; /* metrics that it shows whatever --metrics says */
};

extern const struct module modules[MODULE_TOTAL];

/** Those that run without --modules. */
#define MODULES_DEFAULT (MODULE_BIT(MODULE_TASK) | MODULE_BIT(MODULE_CPU))

/**
 * Parse NAME[,NAME...] into a bit set (bit = enum module_id).
 * Returns 0, or -EINVAL with one line in `error`.
 */
int modules_parse(const char *text, unsigned int *set, char *error, size_t error_size);

#endif
