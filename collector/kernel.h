/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The BPF programs and maps: nobody else knows libbpf.
 */
#ifndef TASKMON_KERNEL_H
#define TASKMON_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "record.h"

struct hooks;
struct kernel;

/** Gets each task_event and final task_record in the order in which the kernel wrote them. */
typedef void (*kernel_event_handler)(const void *record, size_t size, void *context);
/** Gets each record of a sampling pass, and may change it. */
typedef void (*kernel_sample_handler)(struct task_record *record, void *context);

/**
 * Load what every watch needs; attach nothing. A hook that this kernel lacks or refuses is left out and does not stop the rest; it is
 * logged, as is what makes the whole fail.
 */
int kernel_open(struct kernel **kernel, kernel_event_handler handler, void *context);
/** Detach and unload everything. */
void kernel_close(struct kernel *kernel);

/** The root of the cgroup v2 hierarchy, for the programs on packets; -1: there is none. */
void kernel_set_cgroup(struct kernel *kernel, int cgroup_fd);

/**
 * Attach the programs that these metrics need, and the lifecycle programs if anything is watched; detach all others. One
 * that fails is logged, and its metrics are unavailable from then on.
 */
void kernel_need(struct kernel *kernel, u64 metrics, bool watching);

/** The programs on events, for people. */
const struct hooks *kernel_hooks(const struct kernel *kernel);

/**
 * Measure how far the clock of the run queues is from the boot clock; the on-CPU time of running tasks is as exact as
 * this is recent. Each pass does it too.
 */
void kernel_measure_clock(struct kernel *kernel);

/** The settings that the programs read; changes take effect at once. */
struct watch_settings *kernel_settings(struct kernel *kernel);

/** Which watches name this process, or belong to this user; 0 removes the entry. */
int kernel_set_pid_watches(struct kernel *kernel, const struct pid_key *key, u64 watches);
int kernel_set_owner_watches(struct kernel *kernel, const struct owner_key *key, u64 watches);

/** Tables that rules are made of; keys and values as the maps in maps.bpf.h have them. */
enum kernel_table {
	TABLE_NAMES,       /* struct name_key: struct term_set */
	TABLE_PREFIXES,    /* struct prefix_key: struct term_set */
	TABLE_ARGV,        /* u64: struct term_set */
	TABLE_USERS,       /* u32: struct term_set */
	TABLE_CONNECTIONS, /* struct connection_key: struct term_set */
	TABLE_ARGV_FOUND,  /* struct pid_key: struct term_set */
	TABLE_LIMITS,      /* u32: struct limit */
	TABLE_CLAUSES,     /* u32: struct clause */
	TABLE_COUNT
};

/** Set an entry, or remove it (`value` NULL); a negative errno. */
int kernel_table_set(struct kernel *kernel, enum kernel_table table, const void *key, const void *value);
void kernel_table_clear(struct kernel *kernel, enum kernel_table table);

/** What the programs shall find out for rules. */
struct rule_settings *kernel_rules(struct kernel *kernel);

/** Look at all open sockets: whose owners have connections that a rule asks for? */
void kernel_find_connections(struct kernel *kernel);

/**
 * One pass over all tasks; see walk.h. `judge`: processes that are not watched yet are judged too, which is needed once after
 * the watches have changed.
 */
int kernel_sample(struct kernel *kernel, const struct sample_request *request, bool judge,
		  kernel_sample_handler handler, void *context);

/** Readable when lifecycle records wait; kernel_drain() then hands them to the handler. */
int kernel_event_fd(const struct kernel *kernel);
int kernel_drain(struct kernel *kernel);

/** What was lost per watch and cause since the kernel side was loaded. */
u64 kernel_lost(const struct kernel *kernel, unsigned int watch, enum loss_cause cause);

/**
 * How often the kernel has skipped a program on an event, because it was running on that CPU already (recursion_misses of
 * bpf_prog_info). Never falls.
 */
u64 kernel_skipped(const struct kernel *kernel);

/** Why this kernel cannot measure the metric; NULL if it can. */
const char *kernel_metric_unavailable(const struct kernel *kernel, enum metric_id id);

#endif
