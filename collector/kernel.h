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

/** Gets each task_event, final task_record and probe_hit; those of a ring in the order in which they were written. */
typedef void (*kernel_event_handler)(const void *record, size_t size, void *context);
/** Gets each system call. */
typedef void (*kernel_syscall_handler)(const struct syscall_record *record, void *context);
/** Gets each record of a sampling pass, and may change it. */
typedef void (*kernel_sample_handler)(struct task_record *record, void *context);

/**
 * Load what every watch needs; attach nothing. A hook that this kernel lacks or refuses is left out and does not stop the rest; it is
 * logged, as is what makes the whole fail.
 */
int kernel_open(struct kernel **kernel, kernel_event_handler handler, void *context);
/** Detach and unload everything. */
void kernel_close(struct kernel *kernel);

/** How much memory system calls may wait in while somebody wants them. */
void kernel_set_stream_bytes(struct kernel *kernel, size_t bytes);
/**
 * Load programs that others attach, with the maps of all: a descriptor of each goes to `fds`. Closing these unloads them.
 * `attach_type`: enum bpf_attach_type, 0 for what they say themselves. May be called by any thread.
 */
int kernel_load_programs(const struct kernel *kernel, const char *const *names, size_t count, int attach_type, int *fds);
/** A map, for who reads or writes it by bpf(2); it stays the kernel side's. */
int kernel_map_fd(const struct kernel *kernel, const char *name);
/** Of HEAP_SLOTS flags. */
u32 *kernel_heap_armed(const struct kernel *kernel);
/** Likewise: has it had blocks in the shared ledger? Set by the kernel side. */
u32 *kernel_heap_shares(const struct kernel *kernel);

/** The root of the cgroup v2 hierarchy, for the programs on packets; -1: there is none. */
void kernel_set_cgroup(struct kernel *kernel, int cgroup_fd);

/**
 * Attach the programs that these metrics (and NEED_...) need, and the lifecycle programs if anything is watched; detach all others. One
 * that fails is logged, and its metrics are unavailable from then on.
 */
void kernel_need(struct kernel *kernel, u64 metrics, bool watching);

/** Why no program goes through the tasks by itself, so that iter/task does; NULL: one does. */
const char *kernel_not_quick(const struct kernel *kernel);

/** The programs on events, for people. */
const struct hooks *kernel_hooks(const struct kernel *kernel);

/**
 * A ring buffer of its own for programs that are loaded from now on, in place of the map of that name; its records come
 * as the others do. It lasts as long as the kernel side, which can have one. Returns 0 or a negative errno.
 */
int kernel_add_ring(struct kernel *kernel, const char *name, size_t bytes);

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

/** Terms that hold for the process of a pidfd, as it was judged last; none if nothing is known of it. A negative errno. */
int kernel_facts_of(const struct kernel *kernel, int pidfd, struct term_set *facts);

/** Look at all open sockets: whose owners have connections that a rule asks for? */
void kernel_find_connections(struct kernel *kernel);

/**
 * One pass over all tasks; see walk.h. `judge`: processes that are not watched yet are judged too, which is needed once after
 * the watches have changed.
 */
int kernel_sample(struct kernel *kernel, const struct sample_request *request, bool judge, kernel_sample_handler handler,
		  void *context);

/** Readable when lifecycle records wait; kernel_drain() then hands them to the handler. */
int kernel_event_fd(const struct kernel *kernel);
int kernel_drain(struct kernel *kernel);

/**
 * Hand over at most `most` of the system calls recorded so far, in the order of their times. They tell of themselves to nobody:
 * ask for them every now and then. Returns how many there were.
 */
size_t kernel_drain_syscalls(struct kernel *kernel, size_t most, kernel_syscall_handler handler, void *context);

/** What was lost per watch and cause since the kernel side was loaded. */
u64 kernel_lost(const struct kernel *kernel, unsigned int watch, enum loss_cause cause);

/** Count what user space had to leave out for these watches. */
void kernel_add_loss(struct kernel *kernel, u64 watches, enum loss_cause cause, u64 count);

/**
 * How often the kernel has skipped a program on an event, because it was running on that CPU already (recursion_misses of
 * bpf_prog_info). Never falls.
 */
u64 kernel_skipped(const struct kernel *kernel);

/** Why this kernel cannot tell of each system call; NULL if it can. */
const char *kernel_syscalls_unavailable(const struct kernel *kernel);
/** Some metrics have turned out not to be measurable. */
void kernel_set_unavailable(struct kernel *kernel, u64 metrics, const char *reason);
/** Why this kernel cannot measure the metric; NULL if it can. */
const char *kernel_metric_unavailable(const struct kernel *kernel, enum metric_id id);

#endif
