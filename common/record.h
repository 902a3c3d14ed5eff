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
_Static_assert(METRIC_TOTAL <= 62, "presence bitmaps are one u64, of which two bits are for NEED_...");

/* Beside metrics in a set of needs: rules ask who opens connections, and subscriptions want each system call. */
#define NEED_CONNECTIONS (1ULL << 63)
#define NEED_SYSCALLS (1ULL << 62)
#define NEEDS_BESIDE_METRICS (NEED_CONNECTIONS | NEED_SYSCALLS)

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
#define METRICS_OF_LINK                                                                                             \
	(METRIC_BIT(M_task_link_rx_bytes) | METRIC_BIT(M_task_link_tx_bytes) | METRIC_BIT(M_task_link_rx_packets) | \
	 METRIC_BIT(M_task_link_tx_packets))
#define METRICS_OF_SOCKETS (METRICS_OF_LINK | METRIC_BIT(M_task_retransmit_count))

/* Metrics of what processes allocate: their programs are attached to each process. */
#define METRICS_OF_HEAP                                                                                       \
	(METRIC_BIT(M_task_heap_size) | METRIC_BIT(M_task_heap_times) | METRIC_BIT(M_task_heap_alloc_count) | \
	 METRIC_BIT(M_task_heap_alloc_bytes))

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
	RECORD_PROBE, /* struct probe_hit */
};

/* What a record stands for. */
enum record_flags {
	RECORD_THREAD = 1 << 0,        /* one thread; else a whole process, its figures summed over its threads */
	RECORD_PROCESS_ENDED = 1 << 1, /* no thread of the process is left */
	RECORD_RETIRED = 1 << 2,       /* a thread whose tid ends without an exit: it became the main thread by exec */
};

/** One task at one instant. Times are CLOCK_BOOTTIME in ns. */
struct task_record {
	u32 type;          /* RECORD_SAMPLE or RECORD_END */
	u32 flags;         /* enum record_flags */
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
	u32 uid;         /* real user id */
	u32 exit_status; /* as wait(2) gives it; with RECORD_END */
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
	u32 other_tid;                  /* fork: the creator; exec: the caller's tid before it; rename: 0 */
	u32 uid;                        /* real user id */
	char comm[TASK_COMM_BYTES];     /* after the change */
	char old_comm[TASK_COMM_BYTES]; /* exec and rename: before it; fork: of the creator */
};

enum syscall_flags {
	SYSCALL_LEAVE = 1 << 0,  /* else it was entered */
	SYSCALL_COMPAT = 1 << 1, /* of the 32-bit kind: numbers and arguments are those of i386 */
};

/** A thread entered or left a system call. */
struct syscall_record {
	u64 time_ns; /* CLOCK_BOOTTIME */
	u64 value;   /* the first argument; leave: the result, signed */
	u64 watches;
	u32 tid, tgid;
	u32 number;
	u32 flags;                  /* enum syscall_flags */
	char comm[TASK_COMM_BYTES]; /* of the thread */
};

/**
 * The stream of system calls has a ring of records per CPU, in two arrays that the collector maps: nothing is locked,
 * and nobody is woken up. On a CPU programs do not interrupt each other, so each ring has one writer at a time.
 */
struct stream_ring {
	u64 head;  /* records written; the programs on that CPU set it */
	u64 limit; /* up to which they may write, as they saw it last */
	u64 first; /* its place in the array of records */
	u64 slots; /* a power of two; 0: this CPU has none */
	u64 pad[4];
	u64 tail; /* records taken; the collector sets it. On a cache line of its own */
	u64 pad2[7];
};

/** Why something was lost in the kernel. */
enum loss_cause {
	LOSS_RING_FULL,    /* an event or a final record did not fit into the ring buffer */
	LOSS_STATE_FULL,   /* no memory for the state of a task: it is not watched */
	LOSS_TABLE_FULL,   /* no room for a block request in flight, or for what a task is charged from elsewhere */
	LOSS_PROBE_FULL,   /* a call or return of a probed function did not fit into the ring of these */
	LOSS_PROBE_RETURN, /* a call whose return the kernel will not show, because too many are open in its thread */
	LOSS_STREAM_FULL,  /* no room for a system call in the ring of its CPU */
	LOSS_HEAP_FULL,    /* a block that the ledger of its process had no room for, or a process that could not have a ledger */
	LOSS_HEAP_LATE,    /* a process that ran before the functions that it allocates with were probed */
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
	u64 all;         /* select every process */
	u64 children;    /* are inherited by forked processes */
	u64 threads;     /* want a record and events per thread too */
	u64 sees_all;    /* may see tasks of any user; the others: owner_watches */
	u64 used;        /* bits in use */
	u64 hooked;      /* want metrics of cost HOOK */
	u64 timed;       /* want METRICS_OF_SWITCHES */
	u64 windows;     /* want metrics of kind WINDOW */
	u64 syscalls;    /* want each system call */
	u64 heaped;      /* want METRICS_OF_HEAP */
	u64 metrics;     /* metrics that anybody wants: costly ones are left out otherwise */
	u64 measured;    /* metrics of cost HOOK whose programs are attached */
	u32 epoch;       /* counts attachments to sched_switch: what was noted under another one is old */
	u32 settled;     /* the first generation with these watches and rules: what was judged since then can be relied on */
	u32 generation;  /* counts changes, and passes that judge; a process judged under another one is judged again */
	u64 heap_blocks; /* that a process may have in its ledgers */
	u32 heap_era;    /* counts how often somebody wanted METRICS_OF_HEAP after nobody did: heaps of another one are old */
	u32 judging;     /* this pass of the sampler also judges processes that are not watched yet */
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
	struct term_set hands_down; /* terms of kind descent that hold for the children of what it selects */
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
	struct term_set names, argv, users, connections, limits, descent; /* terms of each kind */
	struct term_set used;      /* all of them: other bits are of terms that were given up */
	struct term_set argv_gate; /* names of which argv is looked at */
	u32 argv_always;           /* argv of every program is */
	u32 clause_base;           /* where the clauses begin: a new list is written beside the old one */
	u32 clause_count;
	u32 limit_count;
};

#define ARGV_HASH_SEED 14695981039346656037ULL /* FNV-1a, 64 bits */
#define ARGV_HASH_PRIME 1099511628211ULL
#define ARGV_BASENAME_SALT 0x9e3779b97f4a7c15ULL /* a token's last part, behind its last slash */

/*
 * Probes of functions. Each is in a slot; it is attached to one process at a time, with that process and its slot in the
 * cookie, since some kernels run a program for other processes that are probed at the same place, too. What is detached
 * may go on for a moment: by its serial number it is known not to count any more.
 */
enum {
	PROBE_SLOTS = 256,
	PROBE_ARGUMENTS_MAX = 16,
	PROBE_REGISTERS = 6,  /* that arguments are passed in; later ones are on the stack */
	PROBE_TEXT_MAX = 256, /* bytes of one text with its NUL */
	PROBE_TEXTS_BYTES = 1024,
	PROBE_CALLS_MAX = 64, /* nested calls of a thread whose return is shown: MAX_URETPROBE_DEPTH, include/linux/uprobes.h */
};

#define PROBE_SERIAL_MAX 0xffffff
#define PROBE_COOKIE(tgid, slot, serial) ((u64)(serial) << 40 | (u64)(slot) << 32 | (u32)(tgid))
#define PROBE_COOKIE_SLOT(cookie) ((cookie) >> 32 & (PROBE_SLOTS - 1))
#define PROBE_COOKIE_SERIAL(cookie) ((cookie) >> 40)

/** A function in a process. */
struct probe_target {
	u32 tgid, slot;
};

enum { PROBE_TARGETS_MAX = 1024 };

struct probe_argument {
	u16 place;      /* which register; from PROBE_REGISTERS on, which word on the stack */
	u16 text_bytes; /* it points to a text of at most so many bytes, NUL and all; 0: it is a number */
	u16 text_at;    /* where its text goes in the record */
	u16 pad;
};

struct probe_spec {
	u64 watches; /* that want it */
	u32 argument_count;
	u32 pad;
	struct probe_argument arguments[PROBE_ARGUMENTS_MAX];
};

enum probe_hit_flags {
	PROBE_RETURN = 1 << 0, /* else the function was called */
	PROBE_TOTALS = 1 << 1, /* heap_bytes and heap_blocks are known */
	PROBE_CHANGE = 1 << 2, /* the changes are known */
	PROBE_TEXTS = 1 << 3,  /* a struct probe_texts follows */
};

/** A call of a probed function, or its return. */
struct probe_hit {
	u32 type; /* RECORD_PROBE */
	u32 slot;
	u64 watches;
	u64 time_ns; /* CLOCK_BOOTTIME */
	u32 tid, tgid;
	u32 flags;                       /* enum probe_hit_flags */
	u32 depth;                       /* calls of this function that are open in this thread, this one included; 0: not known */
	u64 heap_bytes, heap_blocks;     /* outstanding, of the process */
	u64 bytes_change, blocks_change; /* return: what this thread has added since the call; signed */
	u64 present;                     /* bit per argument that could be read */
	u64 arguments[PROBE_ARGUMENTS_MAX]; /* as in the register or on the stack; of a text: its length with NUL */
};

struct probe_texts {
	struct probe_hit hit;
	char texts[PROBE_TEXTS_BYTES + PROBE_TEXT_MAX];
};

/*
 * Heaps. Each probed process has a ledger, a table of its outstanding blocks by address, in a slot of `ledgers`. The kernel allocates 16 bytes
 * for each block that a table has room for when it makes it, so that of a process is small: what does not fit is in a large one that all
 * share, in slot 0.
 */
enum {
	HEAP_SLOTS = 1024,
	/* in the ledger of a process; also what a forked child can inherit, which is copied while its parent waits */
	HEAP_OWN_BLOCKS = 32768,
	HEAP_SHARED_FACTOR = 4, /* how many times what a process may have fits into the shared one */
};

/** The key of a block in the shared ledger: addresses of user space have 47 bits. */
#define HEAP_SHARED_KEY(slot, address) ((u64)(slot) << 48 | (address))

/** How much is known of a heap. */
enum heap_armed {
	HEAP_UNARMED,     /* nothing is attached yet, or there is nothing to attach to */
	HEAP_ARMED,       /* all functions are probed */
	HEAP_ARMED_AHEAD, /* those of the program that it will execute, too */
};

/** What the arguments of a function mean. */
enum heap_call {
	HEAP_MALLOC,       /* (size) */
	HEAP_CALLOC,       /* (count, size) */
	HEAP_REALLOC,      /* (block, size) */
	HEAP_REALLOCARRAY, /* (block, count, size) */
	HEAP_ALIGNED,      /* (alignment, size) */
	HEAP_POSIX,        /* (&block, alignment, size), returns 0 */
	HEAP_FREE,         /* (block) */
	HEAP_LIBRARIES,    /* called by the dynamic linker when it has changed what is mapped */
};

/** The cookie of each attachment: the process that it is for, since some kernels run it for others, too. */
#define HEAP_COOKIE(tgid, call) ((u64)(call) << 32 | (u32)(tgid))

enum heap_notice_type {
	HEAP_WANTED = 1, /* probe it; it has `slot`, if that is not 0 */
	HEAP_UNWANTED,
	HEAP_EXEC,   /* it executes another program */
	HEAP_MAPPED, /* other files may be mapped */
	HEAP_MOVED,  /* another thread is the main thread now, which had the probes */
	HEAP_LEFT,   /* thread `tid` exits, which may have the probes */
};

/** From the kernel side to who attaches probes. */
struct heap_notice {
	u32 type;
	u32 tgid;
	u64 start_time_ns;
	u64 watches; /* that want it */
	u32 slot;
	u32 era; /* see struct watch_settings */
	u32 uid; /* real user id of the process */
	u32 tid; /* HEAP_LEFT: see there. HEAP_WANTED: the process that is the reason: its parent, itself, or who looks for processes */
};

/** What a probed process has outstanding. */
struct process_heap {
	u64 start_time_ns; /* with the number of the process: whose it is */
	u64 epoch;         /* when it began, or began anew by exec: blocks of another epoch are gone */
	u64 watches;       /* that want it */
	u32 slot;          /* of its ledger */
	u32 era;           /* of the settings under which it began */
	u32 borrowed;      /* its memory is still its parent's, as after vfork */
	u32 leaderless;    /* its main thread has exited */
	u64 size, times;   /* outstanding bytes and blocks */
	u64 alloc_count, alloc_bytes;
	u64 unknown_frees; /* of blocks that are in no ledger */
	u64 shared;        /* blocks in the shared ledger */
	u64 program;       /* program_of() when it began; 0: not known */
};

/** One outstanding block of a ledger, by its address. */
struct heap_block {
	u64 size;
	u64 epoch; /* of struct process_heap */
};

/** What one pass of the sampler shall emit. */
struct sample_request {
	u64 processes; /* watches that want process records */
	u64 threads;   /* watches that want thread records */
	u64 limits;    /* compare every process with the limits of rules */
	u64 prepare;   /* iter/task: emit nothing, but note stretches that are open; see stretch.bpf.h */
};

/* A pass by a program that walks by itself goes on in parts; see pass.bpf.h and collector/walk.c. */
enum {
	PASS_RECORDS = 512, /* of threads some 0.2 ms, of processes 0.5 */
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
	struct listed_process behind; /* go on behind this process; tgid 0: begin. Then it is the last one that was looked at */
	struct listed_process thread; /* but first with its threads behind this one; tgid 0: it is done with */
	u32 listed;                   /* processes that were gone into */
	u32 records;                  /* that have been found */
	u32 full;                     /* there was no room for more threads of `behind` */
	u32 complete;                 /* there are no others behind it */
	u32 gone;                     /* what to go on behind does not exist any more: name an earlier one */
	u32 visited;                  /* tasks so far; the collector begins with 0 */
};

/** Of the process that a pass is at: what goes into the records of its threads. For the kernel side alone. */
struct pass_owner {
	u64 watches; /* that may see it */
	struct term_set facts;
	u64 thread; /* the address of one of its threads */
};
#endif
