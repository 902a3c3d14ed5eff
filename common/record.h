/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel side and the collector share: the records that BPF programs emit and the settings that the
 * collector hands them. Included by both, so it uses nothing but fixed-width types.
 */
#ifndef TASKMON_RECORD_H
#define TASKMON_RECORD_H

#ifdef __bpf__
#include "kernel_types.h" /* u32, u64 */
#else
#include <stdint.h>
typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;
#endif

enum metric_id {
#define METRIC(name, kind, scope, unit, cost, help) M_##name,
#include "metrics.def"
#undef METRIC
	METRIC_TOTAL
};

#define METRIC_BIT(id) (1ULL << (id))
#define METRIC_ALL_BITS (METRIC_BIT(METRIC_TOTAL) - 1)
_Static_assert(METRIC_TOTAL <= 63, "presence bitmaps are one u64, of which one bit is for NEED_CONNECTIONS");

/* Beside metrics in a set of needs: rules ask who opens connections. */
#define NEED_CONNECTIONS (1ULL << 63)

/* Bit sets of one kind, scope or cost, usable in constant expressions on both sides. */
enum metric_class {
	CLASS_COUNTER = 1,
	CLASS_GAUGE = 2,
	CLASS_WINDOW = 4,
	CLASS_THREAD = 8,
	CLASS_PROCESS = 16,
	CLASS_FREE = 32,
	CLASS_HOOK = 64,
	CLASS_WALK = 128,
};
#define METRIC(name, kind, scope, unit, cost, help) \
	| ((u64)(((CLASS_##kind | CLASS_##scope | CLASS_##cost) & METRIC_CLASS) != 0) << M_##name)
__attribute__((unused)) static const u64 metric_counter_bits =
#define METRIC_CLASS CLASS_COUNTER
	0ULL
#include "metrics.def"
#undef METRIC_CLASS
	;
__attribute__((unused)) static const u64 metric_window_bits =
#define METRIC_CLASS CLASS_WINDOW
	0ULL
#include "metrics.def"
#undef METRIC_CLASS
	;
__attribute__((unused)) static const u64 metric_thread_bits =
#define METRIC_CLASS CLASS_THREAD
	0ULL
#include "metrics.def"
#undef METRIC_CLASS
	;
__attribute__((unused)) static const u64 metric_free_bits =
#define METRIC_CLASS CLASS_FREE
	0ULL
#include "metrics.def"
#undef METRIC_CLASS
	;
__attribute__((unused)) static const u64 metric_hook_bits =
#define METRIC_CLASS CLASS_HOOK
	0ULL
#include "metrics.def"
#undef METRIC_CLASS
	;
__attribute__((unused)) static const u64 metric_walk_bits =
#define METRIC_CLASS CLASS_WALK
	0ULL
#include "metrics.def"
#undef METRIC_CLASS
	;
#undef METRIC

/* Maxima of the scheduler's: their open stretches are kept with each thread. */
#define METRICS_OF_SWITCHES \
	(METRIC_BIT(M_task_switch_offcpu_time_max) | METRIC_BIT(M_task_io_wait_time_max) | METRIC_BIT(M_task_run_delay_max))

/* Metrics for which the owner of each socket must be known. */
#define METRICS_OF_LINK                                                                        \
	(METRIC_BIT(M_task_link_rx_bytes) | METRIC_BIT(M_task_link_tx_bytes) |                   \
	 METRIC_BIT(M_task_link_rx_packets) | METRIC_BIT(M_task_link_tx_packets))
#define METRICS_OF_SOCKETS (METRICS_OF_LINK | METRIC_BIT(M_task_retransmit_count))

/* Metrics of cost HOOK are counted by programs on events; the places where they are. */
enum hook_figure {
#define FIGURE_OF_FREE(name)
#define FIGURE_OF_WALK(name)
#define FIGURE_OF_HOOK(name) F_##name,
#define METRIC(name, kind, scope, unit, cost, help) FIGURE_OF_##cost(name)
#include "metrics.def"
#undef METRIC
#undef FIGURE_OF_HOOK
#undef FIGURE_OF_WALK
#undef FIGURE_OF_FREE
	FIGURE_TOTAL
};

#define TASK_COMM_BYTES 16 /* TASK_COMM_LEN, include/linux/sched.h: at most 15 bytes and a NUL */
#define WATCH_MAX 64       /* one bit of a verdict each */

/* First word of every record, in the ring buffer and in the sampler's stream. */
enum record_type {
	RECORD_SAMPLE = 1, /* struct task_record: a task that lives */
	RECORD_END,        /* struct task_record: the final figures of a task; stands for its exit event too */
	RECORD_FORK,       /* struct task_event, like all that follow */
	RECORD_EXEC,
	RECORD_RENAME,
};

/* What a record stands for. */
enum record_flags {
	RECORD_THREAD = 1 << 0,        /* one thread; else a whole process, its figures summed over its threads */
	RECORD_PROCESS_ENDED = 1 << 1, /* no thread of the process is left */
	RECORD_RETIRED = 1 << 2,       /* a thread whose tid ends without an exit: it became the main thread by exec */
};

/** One task at one instant. Times are CLOCK_BOOTTIME in ns. */
struct task_record {
	u32 type;  /* RECORD_SAMPLE or RECORD_END */
	u32 flags; /* enum record_flags */
	u64 watches;       /* the watches that select it, may see it and asked for it now */
	u64 folds;         /* those that did not ask now, but want the maxima of the window that this record ends */
	u64 time_ns;       /* when it was measured */
	u64 start_time_ns; /* with tid: the identity of the task */
	u64 cgroup_id;     /* cgroup v2: inode number of its directory */
	u64 present;       /* bit per metric: value[] holds a measured value */
	u64 facts[2];      /* struct term_set: terms that hold for its process */
	/*
	 * Of a thread, in ns: what task_utime_jiffies and task_stime_jiffies are to add up to, and what the kernel has last
	 * shown of them. These two are in ns of ticks then, and on-CPU and off-CPU time may go back: see collector/settle.h.
	 */
	u64 kept_runtime_ns, shown_utime_ns, shown_stime_ns;
	u32 tid;
	u32 tgid;
	u32 ppid;
	u32 uid;                            /* real user id */
	u32 exit_status;                    /* as wait(2) gives it; with RECORD_END */
	u32 pad;
	char comm[TASK_COMM_BYTES];         /* of the task itself */
	char process_comm[TASK_COMM_BYTES]; /* of the main thread */
	u64 value[METRIC_TOTAL];
};

/** One change in the life of a task. RECORD_THREAD: it concerns one thread only, not the process. */
struct task_event {
	u32 type;  /* RECORD_FORK, RECORD_EXEC or RECORD_RENAME */
	u32 flags; /* enum record_flags */
	u64 watches;
	u64 time_ns;
	u64 start_time_ns;
	u32 tid;
	u32 tgid;
	u32 other_tid; /* fork: the creator; exec: the caller's tid before it; rename: 0 */
	u32 uid;       /* real user id */
	char comm[TASK_COMM_BYTES];     /* after the change */
	char old_comm[TASK_COMM_BYTES]; /* exec and rename: before it; fork: of the creator */
};

/** Why something was lost in the kernel. */
enum loss_cause {
	LOSS_RING_FULL,  /* an event or a final record did not fit into the ring buffer */
	LOSS_STATE_FULL, /* no memory for the state of a task: it is not watched */
	LOSS_TABLE_FULL, /* no room for a block request in flight, or for what a task is charged from elsewhere */
	LOSS_CAUSES
};

/** A process named by a client; start_ticks guards against a reused number. */
struct pid_key {
	u64 start_ticks; /* field 22 of /proc/PID/stat: CLOCK_BOOTTIME in USER_HZ ticks */
	u32 tgid;
	u32 pad; /* zero */
};

/** The user on whose behalf a watch with limited sight looks. */
struct owner_key {
	u32 uid;
	u32 gid;
};

/** What the collector asks of the kernel side. Bit sets of watches. */
struct watch_settings {
	u64 all;        /* select every process */
	u64 children;   /* are inherited by forked processes */
	u64 threads;    /* want a record and events per thread too */
	u64 sees_all;   /* may see tasks of any user; the others: owner_watches */
	u64 used;       /* bits in use */
	u64 hooked;     /* want metrics of cost HOOK */
	u64 timed;      /* want METRICS_OF_SWITCHES */
	u64 windows;    /* want metrics of kind WINDOW */
	u64 metrics;    /* metrics that anybody wants: costly ones are left out otherwise */
	u64 measured;   /* metrics of cost HOOK whose programs are attached */
	u32 epoch;      /* counts attachments to sched_switch: what was noted under another one is old */
	u32 pad;
	u32 generation; /* counts changes; a process judged under another one is judged again */
	u32 judging;    /* this pass of the sampler also judges processes that are not watched yet */
};

/*
 * Rules. A term is one condition on a process, such as "its name is one of these"; which terms hold is known per
 * process. A clause selects the processes of which all terms of `need` hold and none of `except`.
 */
enum {
	TERM_WORDS = 2,
	TERMS_MAX = 64 * TERM_WORDS,
	CLAUSES_MAX = 512,
	LIMITS_MAX = 16,
};

struct term_set {
	u64 bits[TERM_WORDS];
};

struct clause {
	struct term_set need, except;
	u64 watches;
};

/** A whole name, or of a prefix_key the first bytes of one; kernel threads have names of their own. */
struct name_key {
	char comm[TASK_COMM_BYTES];
	u32 is_kernel_thread;
};

struct prefix_key {
	u32 length_bits; /* of what follows; struct bpf_lpm_trie_key */
	u8 is_kernel_thread;
	char comm[TASK_COMM_BYTES - 1];
};

/** Port 0: any. */
struct connection_key {
	u16 protocol; /* IPPROTO_TCP, IPPROTO_UDP; 0: any */
	u16 port;     /* of either side, in host order */
};

/** A metric of cost FREE, or its rate per second, that must not be above (below) a value. */
struct limit {
	u64 value;
	u64 hold_ns; /* how long the term holds after the value was crossed last */
	u32 metric;
	u32 term;
	u32 is_rate;
	u32 below;
};

/** What the rules in use ask the programs to find out. */
struct rule_settings {
	struct term_set names, argv, users, connections, limits; /* terms of each kind */
	struct term_set argv_gate; /* names of which argv is looked at */
	u32 argv_always;           /* argv of every program is */
	u32 clause_base;           /* where the clauses begin: a new list is written beside the old one */
	u32 clause_count;
	u32 limit_count;
};

#define ARGV_HASH_SEED 14695981039346656037ULL /* FNV-1a, 64 bits */
#define ARGV_HASH_PRIME 1099511628211ULL
#define ARGV_BASENAME_SALT 0x9e3779b97f4a7c15ULL /* a token's last part, behind its last slash */

/** What one pass of the sampler shall emit. */
struct sample_request {
	u64 processes; /* watches that want process records */
	u64 threads;   /* watches that want thread records */
	u64 limits;    /* compare every process with the limits of rules */
	u64 prepare;   /* iter/task: emit nothing, but note stretches that are open; see stretch.bpf.h */
};

/* A pass with task iterators goes on in parts; see sample.bpf.c and collector/walk.c. */
enum {
	PASS_RECORDS = 512, /* some 0.2 ms */
	PASS_PROCESSES = 1024,
	PASS_VISITS = 4096,
};

/** A process, or a thread: not another one that has got its number. */
struct listed_process {
	u64 start_time_ns;
	u32 tgid; /* its number */
	u32 pad;
};

struct pass_state {
	struct listed_process behind; /* list the processes behind this one; tgid 0: all */
	struct listed_process thread; /* go on behind this thread of process `at`; tgid 0: begin with it */
	u32 listed;                   /* processes in the list, which is a part of those selected */
	u32 list_complete;            /* there are no others behind it */
	u32 at;                       /* which one of the list to sample */
	u32 thread_gone;              /* `thread` does not exist any more: name an earlier one */
	u32 records;                  /* that have been found */
	u32 visited;                  /* threads so far; the collector begins with 0 */
	u32 pad;
	u32 full;                     /* there was no room for more of process `at` */
};
#endif
