/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The source of the pipeline: frames of the collector become rows, events and losses. Whatever bytes a task has put
 * into its name or a cgroup into its path are made harmless here, once.
 */
#ifndef TASKMON_SOURCE_H
#define TASKMON_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "calls.h"
#include "pipeline.h"
#include "row.h"
#include "wire.h"

enum { RULES_BYTES = 1024 }; /* of the names of rules of one row */

struct source {
	struct wire_catalogue catalogue;
	struct pipeline *pipeline;
	const struct probe_set *probes; /* that were asked for; NULL: none */
	bool has_baseline;              /* tick 0 is complete */
	uint64_t tick_wall_ns;          /* of the last tick that was complete */
	const uint8_t *cgroup_bytes;    /* of the wire, of which `cgroup` was made */
	char comm[ROW_COMM_BYTES], process_comm[ROW_COMM_BYTES];
	char rules[3 * RULES_BYTES];
	char cgroup[3 * WIRE_CGROUP_MAX + 1];
	struct call calls[CALLS_MAX];
	struct call_task call_tasks[CALLS_TASKS_MAX];
};

/** `welcome` has the catalogue that all later frames refer to. */
void source_init(struct source *source, const Taskmon__Welcome *welcome, struct pipeline *pipeline, const struct probe_set *probes);

/** Each returns 0; -EPROTO for a frame that contradicts itself; or what the pipeline returned. */
int source_samples(struct source *source, const Taskmon__Samples *samples);
int source_ended(struct source *source, const Taskmon__Ended *ended);
int source_events(struct source *source, const Taskmon__Events *events);
int source_syscalls(struct source *source, const Taskmon__Syscalls *syscalls);
int source_hits(struct source *source, const Taskmon__ProbeHits *hits); /* source_hits.c */
int source_loss(struct source *source, const Taskmon__Loss *loss);

#endif
