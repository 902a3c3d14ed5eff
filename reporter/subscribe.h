/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the options mean to the collector.
 */
#ifndef TASKMON_SUBSCRIBE_H
#define TASKMON_SUBSCRIBE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "link.h"
#include "options.h"
#include "wire.h"

#define SUBSCRIBE_PIDS_MAX 1024 /* the collector's limit */

/** Processes to be watched, if not all are. */
struct subscribe_targets {
	uint32_t pids[SUBSCRIBE_PIDS_MAX];
	uint64_t start_times_ns[SUBSCRIBE_PIDS_MAX]; /* 0: whoever has that number */
	size_t count;
};

/** Those that the options name, and `command` unless that is 0. Returns 0 or -E2BIG after it has been logged. */
int subscribe_targets_of(struct subscribe_targets *targets, const struct options *options, pid_t command);

/** Can the kernel side select by --name alone? Else it sends all, and the report selects. */
bool subscribe_names_suffice(const struct options *options);

/** Is it asked why rules select processes, or why not? */
bool subscribe_explains(const struct options *options);

/**
 * Ask for these processes (or all, if the options say so) with the metrics of the set `needs` as far as the collector
 * knows them. Returns 0 or a negative errno after it has been logged.
 */
int subscribe_begin(struct link *link, const struct options *options, struct subscribe_targets *targets, uint64_t needs,
		    const struct wire_catalogue *catalogue);

/** Ask for a last tick and the end of the feed. Returns 0 or a negative errno after it has been logged. */
int subscribe_end(struct link *link, uint32_t feed);

/** Ask which conditions of the rules hold for a process. Returns 0 or a negative errno after it has been logged. */
int subscribe_explain(struct link *link, uint32_t pid);

/** Warn of metrics that --metrics, a module or a threshold asks for and that cannot be measured. */
void subscribe_warn(const Taskmon__Welcome *welcome, const struct options *options);

/** Are functions to be probed, and is there an output that shows them? */
bool subscribe_wants_probes(const struct options *options);

/** How long the report takes, 0: no end. */
uint64_t subscribe_duration_ms(const struct options *options);

#endif
