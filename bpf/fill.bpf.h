/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One task at one instant as a record. The sampler and the exit program both use it, so that a final record means
 * the same as every other.
 */
#ifndef TASKMON_FILL_BPF_H
#define TASKMON_FILL_BPF_H

#include "charge.bpf.h"
#include "cputime.h"
#include "memory.bpf.h"
#include "runtime.bpf.h"
#include "stretch.bpf.h"
#include "typed.bpf.h"
#include "watch.bpf.h"

#define HAS_RUN_DELAY bpf_core_field_exists(struct sched_info, run_delay)

#define ADD_IO(sum, from, READ)                                                                 \
	do {                                                                                    \
		if (bpf_core_field_exists(struct task_io_accounting, rchar)) {                  \
			(sum)->rchar += READ(from, ioac.rchar);                                 \
			(sum)->wchar += READ(from, ioac.wchar);                                 \
			(sum)->syscr += READ(from, ioac.syscr);                                 \
			(sum)->syscw += READ(from, ioac.syscw);                                 \
		}                                                                               \
		if (bpf_core_field_exists(struct task_io_accounting, read_bytes)) {             \
			(sum)->read_bytes += READ(from, ioac.read_bytes);                       \
			(sum)->write_bytes += READ(from, ioac.write_bytes);                     \
			(sum)->cancelled_write_bytes += READ(from, ioac.cancelled_write_bytes); \
		}                                                                               \
	} while (0)

/* What the kernel keeps of a thread, dead or alive. */
#define ADD_KEPT(sum, task, READ)                                       \
	do {                                                            \
		(sum)->utime += READ(task, utime);                      \
		(sum)->stime += READ(task, stime);                      \
		(sum)->kept_runtime += READ(task, se.sum_exec_runtime); \
		(sum)->min_flt += READ(task, min_flt);                  \
		(sum)->maj_flt += READ(task, maj_flt);                  \
		(sum)->nvcsw += READ(task, nvcsw);                      \
		(sum)->nivcsw += READ(task, nivcsw);                    \
		ADD_IO(sum, task, READ);                                \
	} while (0)

/* What goes with a thread and is kept by us: struct thread_remains. `runtime`: runtime_at(task, now). */
#define ADD_OWN(sum, task, now, runtime, READ)                                                        \
	do {                                                                                          \
		u64 delay_ = HAS_RUN_DELAY ? READ(task, sched_info.run_delay) : 0;                    \
		/* the kernel adds a wait to run_delay when it is over */                             \
		u64 wait_ = HAS_RUN_DELAY ? wait_so_far(READ(task, sched_info.last_queued), now) : 0; \
		u64 busy_ = (runtime) + delay_ + wait_;                                               \
                                                                                                      \
		(sum)->run_delay += delay_;                                                           \
		(sum)->off_cpu += minus(minus(now, READ(task, start_boottime)), busy_);               \
		(sum)->migrations += READ(task, se.nr_migrations);                                    \
	} while (0)

/*
 * Between the moment a thread starts to exit and the moment its remains are counted it is in neither sum: too little
 * for an instant, never too much, and counters that were sent do not go back.
 */
#define ADD_THREAD(walk, task, is_leader, READ)                                             \
	do {                                                                                \
		u64 runtime_ = runtime_at(task, (walk)->now, READ);                         \
		ADD_KEPT(&(walk)->sum, task, READ);                                         \
		(walk)->sum.on_cpu += runtime_;                                             \
		if ((is_leader) ? !(walk)->skip_leader : !(READ(task, flags) & PF_EXITING)) \
			ADD_OWN(&(walk)->sum, task, (walk)->now, runtime_, READ);           \
		if (bpf_core_field_exists((task)->rss_stat))                                \
			(walk)->cached_pages += READ(task, rss_stat.count[MM_FILEPAGES]) +  \
						READ(task, rss_stat.count[MM_ANONPAGES]) +  \
						READ(task, rss_stat.count[MM_SHMEMPAGES]);  \
		if (!(walk)->mm)                                                            \
			(walk)->mm = READ(task, mm);                                        \
		if (!(walk)->files)                                                         \
			(walk)->files = READ(task, files);                                  \
	} while (0)

struct thread_step {
	struct thread_walk *walk; /* too large for the stack */
};

static long add_thread(u32 index, struct thread_step *step)
{
	struct thread_walk *walk = step->walk;
	struct list_head *node = walk->next;
	struct task_struct *task;
	bool is_leader;

	if (!node || node == walk->head)
		return 1;
	task = (void *)node - bpf_core_field_offset(struct task_struct, thread_node);
	is_leader = task == walk->leader;
	if (HAS_TYPES) {
		struct task_struct *typed = TYPED(task_struct, task);

		ADD_THREAD(walk, typed, is_leader, READ_DIRECT);
		walk->next = typed->thread_node.next;
	} else {
		ADD_THREAD(walk, task, is_leader, READ_CHECKED);
		walk->next = BPF_CORE_READ(node, next);
	}
	return 0;
}

/* What the threads that are gone have left. */
static __always_inline void add_dead_threads(struct counters *sum, struct process_state *state, struct signal_struct *signal)
{
	sum->utime = signal->utime;
	sum->stime = signal->stime;
	sum->kept_runtime = sum->on_cpu = signal->sum_sched_runtime;
	sum->min_flt = signal->min_flt;
	sum->maj_flt = signal->maj_flt;
	sum->nvcsw = signal->nvcsw;
	sum->nivcsw = signal->nivcsw;
	ADD_IO(sum, signal, READ_DIRECT);
	sum->run_delay = state->remains.run_delay_ns;
	sum->off_cpu = state->remains.off_cpu_ns;
	sum->migrations = state->remains.migrations;
}

/*
 * The sum over all threads. One that exits meanwhile moves from the list into `signal` under a sequence lock, of
 * which a program can only see that it moved. False: that happened.
 */
static __always_inline bool sum_once(struct thread_walk *walk, struct process_state *state, struct task_struct *leader)
{
	struct signal_struct *signal = leader->signal;
	u32 sequence = signal->stats_lock.seqcount.seqcount.sequence;
	struct list_head *head = (void *)signal + bpf_core_field_offset(struct signal_struct, thread_head);
	struct thread_step step = { walk };

	__builtin_memset(&walk->sum, 0, sizeof(walk->sum));
	walk->leader = leader;
	walk->head = head;
	walk->next = signal->thread_head.next;
	walk->cached_pages = 0;
	walk->skip_leader = state->main_thread_ended;
	add_dead_threads(&walk->sum, state, signal);
	bpf_loop(THREADS_MAX, add_thread, &step, 0);
	return !(sequence & 1) && sequence == signal->stats_lock.seqcount.seqcount.sequence;
}

/* Three attempts; not a loop, which 6.1 refuses around bpf_loop(). After that it may be too little for an instant. */
static __always_inline void sum_threads(struct thread_walk *walk, struct process_state *state, struct task_struct *leader)
{
	if (!sum_once(walk, state, leader) && !sum_once(walk, state, leader))
		sum_once(walk, state, leader);
}

/** The letter of /proc/PID/stat, field 3: __task_state_index() and task_index_to_char(), include/linux/sched.h. */
static __always_inline u64 state_letter(struct task_struct *task)
{
	const u64 letters = 0x505a587454445352ULL; /* "RSDTtXZP", first letter lowest */
	u32 state = task->__state, reported = (state | task->exit_state) & TASK_REPORT;

	if ((state & TASK_IDLE) == TASK_IDLE)
		return 'I';
	if (state & (TASK_RTLOCK_WAIT | TASK_FROZEN))
		return 'D';
	/* how many bits up to the highest that is set: without a loop, of which the verifier would follow every way out */
	reported |= reported >> 1;
	reported |= reported >> 2;
	reported |= reported >> 4;
	reported -= reported >> 1 & 0x55;
	reported = (reported & 0x33) + (reported >> 2 & 0x33);
	return letters >> (8 * ((reported + (reported >> 4)) & 0x7)) & 0xff;
}

#define SET(record, metric, measured) ((record)->value[M_##metric] = (measured))

static __always_inline void set_counters(struct task_record *record, const struct counters *sum)
{
	SET(record, task_minor_pagefault_count, sum->min_flt);
	SET(record, task_major_pagefault_count, sum->maj_flt);
	SET(record, task_rchar_bytes, sum->rchar);
	SET(record, task_wchar_bytes, sum->wchar);
	SET(record, task_syscr_count, sum->syscr);
	SET(record, task_syscw_count, sum->syscw);
	SET(record, task_read_bytes, sum->read_bytes);
	SET(record, task_write_bytes, sum->write_bytes);
	SET(record, task_cancelled_write_bytes, sum->cancelled_write_bytes);
	SET(record, task_migration_count, sum->migrations);
	SET(record, task_on_cpu_ns, sum->on_cpu);
	SET(record, task_run_delay_ns, sum->run_delay);
	SET(record, task_off_cpu_ns, sum->off_cpu);
	SET(record, task_voluntary_switch_count, sum->nvcsw);
	SET(record, task_involuntary_switch_count, sum->nivcsw);
}

static __always_inline void set_cputime(struct task_record *record, u64 utime_ns, u64 stime_ns)
{
	SET(record, task_utime_jiffies, utime_ns / ns_per_tick);
	SET(record, task_stime_jiffies, stime_ns / ns_per_tick);
}

/* Two loads: a helper would cost ten times as much. */
static __always_inline void copy_comm(char *to, struct task_struct *task)
{
	((u64 *)to)[0] = ((u64 *)task->comm)[0];
	((u64 *)to)[1] = ((u64 *)task->comm)[1];
}

static __always_inline void fill_identity(struct task_record *record, struct task_struct *task, u64 watches, u64 now)
{
	record->type = RECORD_SAMPLE;
	record->flags = 0;
	record->watches = watches;
	record->folds = 0;
	record->facts[0] = record->facts[1] = 0; /* a thread's are its process's, which the callers know */
	record->time_ns = now;
	record->start_time_ns = task->start_boottime;
	record->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	record->tid = task->pid;
	record->tgid = task->tgid;
	record->ppid = task->real_parent->tgid;
	record->uid = task->real_cred->uid.val;
	record->exit_status = record->pad = 0;
	record->kept_runtime_ns = record->shown_utime_ns = record->shown_stime_ns = 0;
	copy_comm(record->comm, task);
	copy_comm(record->process_comm, task->group_leader);
	SET(record, task_state, state_letter(task));
}

/* Gauges of the address space; absent if it went away before or while it was read. */
static __always_inline void fill_memory(struct task_record *record, struct mm_struct *mm, s64 cached_pages)
{
	if (!mm)
		return;
	SET(record, task_vm_size, read_vm_bytes(mm));
	record->present |= METRIC_BIT(M_task_vm_size);
	if (!(settings.metrics & METRIC_BIT(M_task_pm_size)))
		return;
	SET(record, task_pm_size, read_rss_bytes(mm, cached_pages));
	record->present |= METRIC_BIT(M_task_pm_size);
}

static __always_inline void fill_files(struct task_record *record, struct files_struct *files)
{
	if (!files || !(settings.metrics & METRIC_BIT(M_task_fd_count)))
		return;
	SET(record, task_fd_count, read_fd_count(files));
	record->present |= METRIC_BIT(M_task_fd_count);
}

/* A window ends here: what comes later belongs to the next one. */
static __always_inline u64 take(u64 *longest)
{
	return __sync_lock_test_and_set(longest, 0);
}

static __always_inline void set_longest(struct task_record *record, enum metric_id id, u64 a, u64 b)
{
	record->value[id] = a > b ? a : b;
}

/*
 * Figures of cost HOOK: what the task counted itself, and what it was charged. The table says which of them there are.
 * `own`: its figures; `charge`: may be NULL.
 */
static __always_inline void fill_figures(struct task_record *record, u64 *own, struct charge *charge)
{
#define FIGURE_OF_FREE(name, kind)
#define FIGURE_OF_WALK(name, kind)
#define FIGURE_OF_HOOK(name, kind) FIGURE_##kind(name)
#define FIGURE_GAUGE(name)
#define FIGURE_COUNTER(name) SET(record, name, own[F_##name] + (charge ? charge->figure[F_##name] : 0));
#define FIGURE_WINDOW(name) set_longest(record, M_##name, take(&own[F_##name]), charge ? take(&charge->figure[F_##name]) : 0);
#define METRIC(name, kind, scope, unit, cost, help) FIGURE_OF_##cost(name, kind)
#include "metrics.def"
#undef METRIC
#undef FIGURE_WINDOW
#undef FIGURE_GAUGE
#undef FIGURE_COUNTER
#undef FIGURE_OF_HOOK
#undef FIGURE_OF_WALK
#undef FIGURE_OF_FREE
	if (charge)
		set_longest(record, M_task_io_request_time_max, record->value[M_task_io_request_time_max],
			    take(&charge->open_request_ns));
}

static __always_inline void include_open(struct task_record *record, const struct stretches *open)
{
	set_longest(record, M_task_switch_offcpu_time_max, record->value[M_task_switch_offcpu_time_max], open->off_cpu_ns);
	set_longest(record, M_task_io_wait_time_max, record->value[M_task_io_wait_time_max], open->io_wait_ns);
	set_longest(record, M_task_run_delay_max, record->value[M_task_run_delay_max], open->run_delay_ns);
}

static __always_inline void fill_thread_figures(struct task_record *record, struct thread_state *state, struct task_struct *task,
						u64 now)
{
	struct charge_key key = thread_key(task);
	struct stretches open = {};

	fill_figures(record, state->figure, bpf_map_lookup_elem(&charges, &key));
	if (settings.timed) {
		open = open_stretches(state, task, now);
		include_open(record, &open);
	}
	record->present |= settings.measured & metric_thread_bits;
}

static __always_inline void fill_heap(struct task_record *record, struct process_heap *heap)
{
	if (!heap || heap->borrowed || !heap_armed[heap->slot & (HEAP_SLOTS - 1)])
		return;
	SET(record, task_heap_size, heap->size);
	SET(record, task_heap_times, heap->times);
	SET(record, task_heap_alloc_count, heap->alloc_count);
	SET(record, task_heap_alloc_bytes, heap->alloc_bytes);
	record->present |= METRICS_OF_HEAP;
}

static __always_inline void fill_process_figures(struct task_record *record, struct process_state *state,
						 struct task_struct *leader, u64 now)
{
	struct thread_state *thread = settings.timed ? bpf_task_storage_get(&threads, leader, NULL, 0) : NULL;
	struct charge_key key = process_key(leader);
	struct stretches open = {};

	fill_figures(record, state->figure, bpf_map_lookup_elem(&charges, &key));
	if (thread && !state->main_thread_ended)
		open = open_stretches(thread, leader, now);
	include_open(record, &open);
	/* of the other threads, as prepare() found them */
	open.off_cpu_ns = take(&state->open[F_task_switch_offcpu_time_max]);
	open.io_wait_ns = take(&state->open[F_task_io_wait_time_max]);
	open.run_delay_ns = take(&state->open[F_task_run_delay_max]);
	include_open(record, &open);
	record->present |= settings.measured & ~METRICS_OF_HEAP;
	if (settings.heaped)
		fill_heap(record, heap_of(leader));
}

/* What was sent is a lower limit of what will be; on-CPU time is also limited from above by the time there was. */
static __always_inline void settle_process(struct task_record *record, struct process_state *state, u32 threads)
{
	u64 now = record->time_ns, ended = state->remains.threads;

	if (state->time_ns && now > state->time_ns) {
		u64 room = (now - state->time_ns) * (threads + ended - state->threads_ended);
		u64 limit = state->last[M_task_on_cpu_ns] + room;

		if (record->value[M_task_on_cpu_ns] > limit)
			record->value[M_task_on_cpu_ns] = limit;
	}
#pragma unroll /* half of them are none: that is known now, not when each process is looked at */
	for (int id = 0; id < METRIC_TOTAL; id++) {
		u64 value = record->value[id];

		if (!((metric_counter_bits & ~METRICS_OF_HEAP) >> id & 1))
			continue; /* a heap may have begun anew */
		value = value < state->last[id] ? state->last[id] : value;
		record->value[id] = state->last[id] = value;
	}
	state->time_ns = now;
	state->threads_ended = ended;
}

/** A whole process: `leader` is its main thread. */
static __always_inline void fill_process(struct task_record *record, struct thread_walk *walk, struct process_state *state,
					 struct task_struct *leader, u64 watches)
{
	u32 threads = leader->signal->nr_threads;

	walk->now = bpf_ktime_get_boot_ns();
	walk->mm = leader->mm;
	walk->files = leader->files;
	sum_threads(walk, state, leader);
	fill_identity(record, leader, watches, walk->now);
	record->facts[0] = state->facts.bits[0];
	record->facts[1] = state->facts.bits[1];
	record->present = (metric_free_bits & metric_counter_bits) | METRIC_BIT(M_task_state) | METRIC_BIT(M_task_thread_count);
	set_counters(record, &walk->sum);
	adjust_cputime(walk->sum.utime, walk->sum.stime, walk->sum.kept_runtime, &state->utime_ns, &state->stime_ns);
	set_cputime(record, state->utime_ns, state->stime_ns);
	SET(record, task_thread_count, threads);
	SET(record, task_oom_count, leader->signal->oom_mm != NULL);
	fill_memory(record, walk->mm, walk->cached_pages);
	fill_files(record, walk->files);
	if (settings.measured && watches) /* a look that is for nobody ends no window */
		fill_process_figures(record, state, leader, walk->now);
	settle_process(record, state, threads);
}

/**
 * What the kernel forgets of a thread, added to what its process has of others. `now` is that of its final record, so
 * that a process ends with the sum of its threads.
 */
static __always_inline void keep_remains(struct process_state *state, struct task_struct *task, u64 now)
{
	u64 on_cpu = runtime_at(task, now, READ_DIRECT);
	struct counters own = {};

	ADD_OWN(&own, task, now, on_cpu, READ_DIRECT);
	__sync_fetch_and_add(&state->remains.run_delay_ns, own.run_delay);
	__sync_fetch_and_add(&state->remains.off_cpu_ns, own.off_cpu);
	__sync_fetch_and_add(&state->remains.migrations, own.migrations);
	__sync_fetch_and_add(&state->remains.threads, 1);
	if (task->pid == task->tgid)
		state->main_thread_ended = 1;
}

/** As wait(2) gives it for the process: wait_task_zombie(), kernel/exit.c. */
static __always_inline u32 exit_status_of(struct task_struct *task, bool process_ended)
{
	struct signal_struct *signal = task->signal;

	if (process_ended && signal->flags & SIGNAL_GROUP_EXIT)
		return signal->group_exit_code;
	return task->exit_code;
}

/** The final record of a process. `status`: of exit_status_of(), for the thread that exits last. */
static __always_inline void fill_process_end(struct task_record *record, struct thread_walk *walk, struct process_state *state,
					     struct task_struct *leader, u64 watches, u32 status)
{
	fill_process(record, walk, state, leader, watches);
	record->type = RECORD_END;
	record->flags |= RECORD_PROCESS_ENDED;
	record->exit_status = status;
}

/** The state of a thread for its records; NULL if there is no memory for it. */
static __always_inline struct thread_state *thread_state_of(struct task_struct *task, u64 watches)
{
	struct thread_state *state = make_state(&threads, task);

	if (!state) {
		count_loss(watches, LOSS_STATE_FULL);
		return NULL;
	}
	if (!state->tid) {
		state->tid = task->pid;
		state->watches = watches;
		state->start_time_ns = task->start_boottime;
	}
	return state;
}

/**
 * One thread, at this instant. `state` may be NULL if no metric of cost HOOK is measured. What must never go back is seen to
 * by the collector (settle.h): a memory of it here would double the cost of a pass.
 */
static __always_inline void fill_thread(struct task_record *record, struct thread_state *state, struct task_struct *task,
					u64 watches, u64 now)
{
	struct counters sum = {};

	sum.on_cpu = runtime_at(task, now, READ_DIRECT);
	ADD_KEPT(&sum, task, READ_DIRECT);
	ADD_OWN(&sum, task, now, sum.on_cpu, READ_DIRECT);

	fill_identity(record, task, watches, now);
	record->flags = RECORD_THREAD;
	record->present = metric_free_bits & metric_thread_bits;
	set_counters(record, &sum);
	SET(record, task_utime_jiffies, sum.utime);
	SET(record, task_stime_jiffies, sum.stime);
	record->kept_runtime_ns = sum.kept_runtime;
	record->shown_utime_ns = task->prev_cputime.utime;
	record->shown_stime_ns = task->prev_cputime.stime;
	if (state && settings.measured)
		fill_thread_figures(record, state, task, now);
}

#endif
