/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * All state of the kernel side on one page. __weak, so that the linker merges what every object declares.
 */
#ifndef TASKMON_MAPS_BPF_H
#define TASKMON_MAPS_BPF_H

#include "kernel_types.h"

#include <bpf/bpf_helpers.h>

#include "record.h"

/* What threads leave behind that the kernel does not keep. */
struct thread_remains {
	u64 run_delay_ns;
	u64 off_cpu_ns;
	u64 migrations;
	u64 threads; /* how many have passed the exit program */
};

/* One per watched process, in its main thread's storage. Freed with that thread, or moved on by exec. */
struct process_state {
	struct term_set facts; /* terms of rules that hold for it; first, for kernel_facts_of() of the collector */
	u64 watches;           /* the verdict */
	u64 inherited;         /* the part of it that came from the parent */
	u32 generation;        /* of the settings under which it was judged */
	u32 dumpable;          /* as last seen: it cannot be read any more once the memory map is gone */
	u32 main_thread_ended;
	u32 ended;         /* the final record was sent */
	u32 handed_over;   /* by exec of another thread: the process goes on with that one's state */
	u64 threads_begun; /* that lived when the watch began, or were created since */
	char comm[TASK_COMM_BYTES];
	struct term_set hands_down; /* terms that its children get of it */
	struct thread_remains remains;
	/* what was sent last: counters never go back, and CPU time never grows faster than time */
	u64 time_ns;
	u64 threads_ended;
	u64 utime_ns, stime_ns;
	u64 last[METRIC_TOTAL];
	u64 figure[FIGURE_TOTAL]; /* of all its threads, counted since somebody wants them */
	u64 open[FIGURE_TOTAL];   /* maxima of stretches that were open when a pass began */
	/* for rules with limits */
	u64 limit_time_ns;
	u64 limit_last[LIMITS_MAX];
	u64 limit_until_ns[LIMITS_MAX];
};

/* One per thread of a watch that wants threads, or stretches. */
struct thread_state {
	u64 start_time_ns; /* exec gives the caller the main thread's */
	u32 tid;           /* and its number */
	u32 ended;         /* the final record was sent */
	u64 watches;       /* that get its records, as of the last time all were judged */
	u64 figure[FIGURE_TOTAL];
	u64 off_since_ns; /* it is off its CPU since then; 0: it is not */
	u32 io_wait;      /* and waits for I/O */
	u32 epoch;        /* of the settings under which the two were noted */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct process_state);
} processes SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_state);
} threads SEC(".maps") __weak;

/* A task that figures are charged to by whoever the event interrupts: its storage cannot be found from there. */
struct charge_key {
	u64 start_time_ns;
	u32 tid;
	u32 is_process;
};

struct charge {
	u64 figure[FIGURE_TOTAL];
	u64 open_request_ns; /* the longest of those in flight when a pass began */
	u64 in_flight;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct charge_key);
	__type(value, struct charge);
} charges SEC(".maps") __weak;

/* A block request in flight, by the address of its bio. One that is too large for the device is split into pieces. */
struct request_start {
	u64 time_ns;
	u64 watches;
	struct charge_key process, thread; /* that submitted it */
	u64 whole;                         /* for a piece: of which bio; it has no other field */
	u64 pieces;                        /* that are in flight beside what is left of the bio itself */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct request_start);
} requests SEC(".maps") __weak;

struct packets {
	u64 rx_bytes, rx_packets, tx_bytes, tx_packets;
};

/* Whose socket it is. */
struct socket_state {
	struct charge_key process, thread; /* that used it last; tid 0: nobody we watch */
	u64 foreign;                       /* somebody else uses it */
	struct packets unowned;            /* from before an owner was known */
	struct packets sent;               /* since it was used last: who sends shows when it is sent already */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
} sockets SEC(".maps") __weak;

/* Watches by process id: which ones name this process. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct pid_key);
	__type(value, u64);
} pid_watches SEC(".maps") __weak;

/* Terms of rules: which of them hold for a name, a token of argv, a user, a connection. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct name_key);
	__type(value, struct term_set);
} name_terms SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct prefix_key);
	__type(value, struct term_set); /* of this prefix and all that are shorter */
} prefix_terms SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, struct term_set);
} argv_terms SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct term_set);
} user_terms SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct connection_key);
	__type(value, struct term_set);
} connection_terms SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LIMITS_MAX);
	__type(key, u32);
	__type(value, struct limit);
} limits SEC(".maps") __weak;

/* Two lists; rule_settings says which one is in force. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * CLAUSES_MAX);
	__type(key, u32);
	__type(value, struct clause);
} clauses SEC(".maps") __weak;

/* argv terms of processes that existed before their rule: user space has read them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct pid_key);
	__type(value, struct term_set);
} argv_found SEC(".maps") __weak;

/* Names of processes that nobody watches and that execute something, between its renaming and the end of exec. */
struct old_name {
	char comm[TASK_COMM_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32); /* tid */
	__type(value, struct old_name);
} old_names SEC(".maps") __weak;

/* Watches that see only one user's tasks. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WATCH_MAX);
	__type(key, struct owner_key);
	__type(value, u64);
} owner_watches SEC(".maps") __weak;

/* Fork, exec, rename and final records. The collector sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} lifecycle SEC(".maps") __weak;

/* What a part of a pass has found, and where; the collector has both mapped. Not for iter/task. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PASS_RECORDS);
	__type(key, u32);
	__type(value, struct task_record);
} samples SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PASS_PROCESSES);
	__type(key, u32);
	__type(value, struct listed_process);
} process_list SEC(".maps") __weak;

/* Where the tasks of the last pass were. */
#define FETCH_TASKS 8
#define FETCHES 8192
struct fetch {
	u64 task[FETCH_TASKS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FETCHES);
	__type(key, u32);
	__type(value, struct fetch);
} fetches SEC(".maps") __weak;

/* Probed functions by slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PROBE_SLOTS);
	__type(key, u32);
	__type(value, struct probe_spec);
} probes SEC(".maps") __weak;

/* Where they are attached: the serial number of the attachment that counts. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROBE_TARGETS_MAX);
	__type(key, struct probe_target);
	__type(value, u32);
} probe_targets SEC(".maps") __weak;

/* Their calls and returns. The collector puts a real one here while somebody wants them. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} probe_hits SEC(".maps") __weak;

#define PROBE_NO_SLOT (~0U)

struct probe_call {
	u64 sp;            /* at its entry: where its return address is */
	u64 address;       /* of the function */
	u64 bytes, blocks; /* that the thread had added to the heap by then */
	u32 slot;          /* PROBE_NO_SLOT: it has returned */
	u32 pad;
};

/* One per thread that has called a probed function. */
struct probe_thread {
	u32 open_calls;
	u32 pad;
	struct probe_call calls[PROBE_CALLS_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct probe_thread);
} probe_threads SEC(".maps") __weak;

/* The rings of system calls, see struct stream_ring. The collector puts real ones here while somebody wants them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct stream_ring);
} stream_rings SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct syscall_record);
} stream_records SEC(".maps") __weak;

/* Threads that return from a signal handler, by tid: the number of the call that they will leave without it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, u32);
} signal_returns SEC(".maps") __weak;

/* What threads add up to. */
struct counters {
	u64 utime, stime, kept_runtime; /* as the kernel has them */
	u64 on_cpu;                     /* to the present moment */
	u64 min_flt, maj_flt, nvcsw, nivcsw;
	u64 rchar, wchar, syscr, syscw, read_bytes, write_bytes, cancelled_write_bytes;
	u64 run_delay, off_cpu, migrations;
};

struct thread_walk {
	struct list_head *head, *next;
	struct task_struct *leader;
	struct mm_struct *mm; /* of the first thread that still has one */
	struct files_struct *files;
	s64 cached_pages; /* resident ones that threads have not added to `mm` yet (up to 6.1) */
	u64 now;
	bool skip_leader; /* its remains are counted already */
	struct counters sum;
};

#define ARGV_CHUNK_BYTES 256

/* What filling a record takes. */
struct workspace {
	struct task_record record;
	union {
		struct thread_walk walk;
		char argv[ARGV_CHUNK_BYTES]; /* a piece of it */
	};
};

/*
 * Where records are put together: they are too large for the stack. An iterator can be preempted by a task that
 * exits on the same CPU, hence one place per program.
 */
enum scratch_user { SCRATCH_SAMPLE, SCRATCH_EXIT, SCRATCH_EXEC, SCRATCH_FREE, SCRATCH_USERS };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_USERS);
	__type(key, u32);
	__type(value, struct workspace);
} scratch SEC(".maps") __weak;

/* See percpu.bpf.c. */
#define CPUS_MAX 8192
u64 cpu_offset[CPUS_MAX] __weak;

/* CLOCK_BOOTTIME - clock of the run queues; 0: not known. See runtime.bpf.h. */
u64 clock_distance __weak;
u64 least_clock_distance __weak;

/* Requests that began before may be complete although nobody saw it. */
u64 requests_doubted __weak;

/* Processes that are probed: an entry is made when a watch wants it, or with a child of one that is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, HEAP_SLOTS);
	__type(key, u32); /* tgid */
	__type(value, struct process_heap);
} heaps SEC(".maps") __weak;

/* A template: the collector makes each ledger, with the size that it is configured to have. */
struct ledger {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u64)); /* address */
	__uint(value_size, sizeof(struct heap_block));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, HEAP_SLOTS);
	__type(key, u32);
	__array(values, struct ledger);
} ledgers SEC(".maps") __weak;

/* Slots with an empty ledger, for processes that need one at once. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, HEAP_SLOTS);
	__type(value, u32);
} spare_slots SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 10);
} heap_notices SEC(".maps") __weak;

/* A thread within a call of the family, and what it has allocated and freed. */
struct heap_thread {
	u64 epoch;                 /* of the heap that the call belongs to; 0: it is in no call */
	u64 stack;                 /* the address of the return address of the outermost call */
	u64 call;                  /* enum heap_call */
	u64 size;                  /* that was asked for */
	u64 out;                   /* where posix_memalign puts the address */
	u64 old_address, old_size; /* realloc: the block, taken out of the ledger; 0: it was in none */
	s64 net_size, net_times;   /* allocated - freed by this thread since its first call */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct heap_thread);
} heap_threads SEC(".maps") __weak;

/* enum heap_armed per slot: what has no probes has no figures. */
u32 heap_armed[HEAP_SLOTS] __weak;

/* Slots that have had blocks in the shared ledger. */
u32 heap_shares[HEAP_SLOTS] __weak;

struct watch_settings settings __weak;
struct rule_settings rules __weak;
struct sample_request request __weak;
struct pass_state pass __weak;
struct pass_owner owner __weak;
u64 lost[WATCH_MAX][LOSS_CAUSES] __weak;

#endif
