/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every kernel field that we read, and nothing else. The kernel's own layout is found when the programs are loaded
 * (CO-RE), so only names and types matter here, and the build does not depend on the build machine's kernel.
 * Where kernels differ, the version is told at the field.
 */
#ifndef TASKMON_KERNEL_TYPES_H
#define TASKMON_KERNEL_TYPES_H

#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef int pid_t;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next;
};

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic_long_t;

/* include/linux/refcount_types.h, include/linux/cpumask_types.h: see typed.bpf.h */
struct refcount_struct {
	atomic_t refs;
};

struct cpumask {
	unsigned long bits[1];
};

typedef struct {
	u32 val;
} kuid_t;

typedef struct {
	u32 val;
} kgid_t;

/* include/linux/cred.h */
struct cred {
	kuid_t uid, suid, euid;
	kgid_t gid, sgid, egid;
};

/* include/linux/percpu_counter.h */
struct percpu_counter {
	s64 count;
	s32 *counters; /* __percpu */
};

/* include/linux/mm_types_task.h, up to 6.1 */
struct mm_rss_stat {
	atomic_long_t count[4];
};

/* likewise: pages of a thread that are not in mm_rss_stat yet */
struct task_rss_stat {
	int count[4];
};

enum { MM_FILEPAGES = 0, MM_ANONPAGES = 1, MM_SHMEMPAGES = 3 };

typedef struct {
	unsigned long __mm_flags[1];
} mm_flags_t;

/* kernel/events/uprobes.c, include/linux/uprobes.h: where a process has its trampoline for functions that return */
struct xol_area {
	unsigned long vaddr;
};

struct uprobes_state {
	struct xol_area *xol_area;
};

/* include/linux/mm_types.h */
struct mm_struct {
	unsigned long total_vm;
	unsigned long arg_start, arg_end;
	struct percpu_counter rss_stat[4];  /* since 6.2 */
	mm_flags_t flags;                   /* since 6.18 */
	struct uprobes_state uprobes_state; /* CONFIG_UPROBES */
};

struct mm_struct___before_6_18 {
	unsigned long flags;
};

struct mm_struct___before_6_2 {
	struct mm_rss_stat rss_stat;
};

#define MMF_DUMPABLE_MASK 3 /* include/linux/sched/coredump.h (mm_types.h since 6.18) */
#define SUID_DUMP_USER 1

/* 7.x; before, the same was in mm_struct */
enum task_dumpable {
	TASK_DUMPABLE_OWNER = 1,
};

struct task_exec_state {
	enum task_dumpable dumpable;
};

/* include/linux/fdtable.h */
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
};

struct files_struct {
	struct fdtable *fdt;
};

/* include/linux/fs.h, include/linux/net.h, include/net/sock.h */
struct file {
	void *private_data;
	const struct file_operations *f_op;
};

struct sock_common {
	unsigned short skc_family;
	volatile unsigned char skc_state;
	u16 skc_dport; /* of the other side, in network order */
	u16 skc_num;   /* its own, in host order */
};

struct sock {
	struct sock_common __sk_common;
	u16 sk_protocol;
};

struct socket {
	struct sock *sk;
	struct file *file;
};

struct kernfs_node {
	u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

/* include/linux/cgroup-defs.h */
struct css_set {
	struct cgroup *dfl_cgrp; /* of the cgroup v2 hierarchy */
};

struct prev_cputime {
	u64 utime, stime;
};

/* include/linux/task_io_accounting.h; CONFIG_TASK_XACCT and CONFIG_TASK_IO_ACCOUNTING */
struct task_io_accounting {
	u64 rchar, wchar, syscr, syscw;
	u64 read_bytes, write_bytes, cancelled_write_bytes;
};

/* include/linux/sched.h; CONFIG_SCHED_INFO */
struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_queued; /* on the run queue's clock: it waits for a CPU since then; 0: it does not */
};

/* kernel/sched/sched.h */
struct rq {
	u64 clock;
	u64 clock_task; /* without the time that interrupts and the hypervisor took */
};

struct cfs_rq {
	struct rq *rq; /* CONFIG_FAIR_GROUP_SCHED */
};

struct sched_entity {
	u64 exec_start;
	u64 sum_exec_runtime;
	u64 nr_migrations;
	struct cfs_rq *cfs_rq; /* CONFIG_FAIR_GROUP_SCHED */
};

typedef struct {
	unsigned int sequence;
} seqcount_t;

typedef struct {
	seqcount_t seqcount;
} seqcount_spinlock_t;

typedef struct {
	seqcount_spinlock_t seqcount; /* since 5.10 */
} seqlock_t;

struct task_struct;

/* include/linux/pid.h */
struct hlist_head {
	struct hlist_node *first;
};

struct pid {
	struct hlist_head tasks[4];
};

/* include/linux/bpf_local_storage.h */
struct bpf_local_storage {
	struct bpf_local_storage_data *cache[1];
};

/* arch/x86/include/asm/thread_info.h */
struct thread_info {
	u32 status;
};

#define TS_COMPAT 0x0002 /* a 32-bit system call is being made */

/* include/linux/sched/signal.h */
struct signal_struct {
	atomic_t live;
	int nr_threads;
	struct list_head thread_head;
	int group_exit_code;
	struct task_struct *group_exec_task; /* since 5.16 */
	unsigned int flags;
	seqlock_t stats_lock;
	u64 utime, stime; /* these and the rest: of threads that are gone */
	struct prev_cputime prev_cputime;
	unsigned long nvcsw, nivcsw;
	unsigned long min_flt, maj_flt;
	struct task_io_accounting ioac;
	unsigned long long sum_sched_runtime;
	struct mm_struct *oom_mm; /* set by mark_oom_victim(), mm/oom_kill.c */
};

#define SIGNAL_GROUP_EXIT 4 /* include/linux/sched/signal.h */

/* include/linux/sched.h */
struct task_struct {
	struct thread_info thread_info; /* CONFIG_THREAD_INFO_IN_TASK */
	unsigned int __state;           /* since 5.14 */
	unsigned int flags;
	int on_cpu;
	struct sched_entity se;
	struct sched_info sched_info;
	struct mm_struct *mm;
	struct task_rss_stat rss_stat;      /* up to 6.1 */
	struct task_exec_state *exec_state; /* 7.x */
	int exit_state;
	int exit_code;
	unsigned int in_execve : 1;
	unsigned int in_iowait : 1;
	pid_t pid, tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct list_head tasks; /* of a main thread: the next process */
	struct list_head thread_node;
	u64 utime, stime;
	struct prev_cputime prev_cputime;
	unsigned long nvcsw, nivcsw;
	u64 start_boottime;
	u64 self_exec_id; /* counts execs */
	unsigned long min_flt, maj_flt;
	const struct cred *real_cred;
	char comm[16];
	struct files_struct *files;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct task_io_accounting ioac;
	atomic_t rcu_users;
	struct bpf_local_storage *bpf_storage; /* of all its task storages; CONFIG_BPF_SYSCALL */
};

#define PF_EXITING 0x00000004  /* include/linux/sched.h */
#define EXIT_ZOMBIE 0x00000020 /* likewise */
#define PF_KTHREAD 0x00200000
#define ESRCH 3
#define TASK_UNINTERRUPTIBLE 0x0002
#define TASK_NOLOAD 0x0400
#define TASK_IDLE (TASK_UNINTERRUPTIBLE | TASK_NOLOAD)
#define TASK_REPORT 0x007f
#define TASK_RTLOCK_WAIT 0x1000
#define TASK_FROZEN 0x8000 /* since 6.1 */

struct linux_binprm;
struct kernel_siginfo;
struct k_sigaction;
struct folio;
struct address_space;
struct msghdr;
struct request_queue;

/* include/linux/skbuff.h, include/net/tcp.h */
struct sk_buff {
	char cb[48];
};

struct tcp_skb_cb { /* in cb */
	u16 tcp_gso_segs;
};

/* include/linux/blk_types.h */
struct bvec_iter {
	unsigned int bi_size;
};

struct bio {
	struct bio *bi_next;
	struct bvec_iter bi_iter;
	void *bi_private;
};

/* include/linux/blk-mq.h */
struct request {
	struct bio *bio;
	void *end_io;
};

/* arch/x86/include/asm/ptrace.h */
struct pt_regs {
	unsigned long bx, dx, si, di, ax, sp;
	unsigned long orig_ax;
};

/* include/linux/bpf.h */
struct bpf_array {
	void *pptrs[0]; /* __percpu */
};

/* include/linux/seq_file.h */
struct seq_file {
	unsigned long size, count; /* bytes of its buffer, and in it */
};

/* kernel/bpf/task_iter.c */

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif
