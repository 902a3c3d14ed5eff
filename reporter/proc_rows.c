/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "str.h"
#include "top_output.h"

enum { NS_PER_S = 1000000000 };

uint64_t proc_now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- tasks */

struct task *proc_find_task(const struct process *process, uint32_t tid)
{
	struct task *task;

	HASH_FIND(hh, process->tasks, &tid, sizeof(tid), task);
	return task;
}

static struct task *add_task(struct process *process, uint32_t tid, uint64_t start_ticks)
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->tid = tid;
	task->start_ticks = start_ticks;
	proc_clock_begin(&task->clock, proc_ticks_to_ns(start_ticks));
	HASH_ADD(hh, process->tasks, tid, sizeof(task->tid), task);
	if (task->hh.tbl)
		return task;
	free(task);
	return NULL;
}

void proc_remove_task(struct process *process, struct task *task)
{
	HASH_DEL(process->tasks, task);
	free(task);
}

/* --- rows */

static int send_row(struct source_proc *source, const struct process *process, const struct task *task, uint64_t present,
		    const uint64_t *value, bool process_ended)
{
	char comm[ROW_COMM_BYTES], process_comm[ROW_COMM_BYTES], cgroup[3 * PROC_CGROUP_BYTES] = "";
	struct row row = {
		.time_ns = task->clock.time_ns,
		.start_time_ns = proc_ticks_to_ns(task->start_ticks),
		.wall_ns = task->clock.time_ns + source->wall_offset_ns,
		.tick_wall_ns = task->over ? 0 : source->tick_wall_ns,
		.tid = task->tid,
		.tgid = process->pid,
		.ppid = process->ppid,
		.uid = process->uid,
		.baseline = source->scan == 1,
		.ended = task->over,
		.process_ended = process_ended,
		.comm = comm,
		.process_comm = process_comm,
		.cgroup = cgroup,
		.rules = "",
		.present = present,
		.hidden = METRIC_BIT(M_task_off_cpu_ns) | (source->top ? METRIC_BIT(M_task_on_cpu_ns) : 0),
		.value = value,
	};

	str_sanitize(comm, sizeof(comm), task->comm, strlen(task->comm));
	str_sanitize(process_comm, sizeof(process_comm), process->comm, strlen(process->comm));
	if (process->cgroup)
		str_sanitize(cgroup, sizeof(cgroup), process->cgroup, strlen(process->cgroup));
	return pipeline_row(source->pipeline, &row);
}

/* Its last row, of which nothing is known but that it is the last. */
static int send_unknown_end(struct source_proc *source, const struct process *process, struct task *task, bool process_ended)
{
	static const uint64_t nothing[METRIC_TOTAL];

	task->over = true;
	task->clock.time_ns = proc_now_ns(CLOCK_BOOTTIME);
	return send_row(source, process, task, 0, nothing, process_ended);
}

/* Those that this scan did not see; `all_ended`: with them the process. */
int proc_end_unseen(struct source_proc *source, struct process *process, bool all_ended)
{
	struct task *task, *next, *last = NULL;
	int err = 0;

	HASH_ITER(hh, process->tasks, task, next) {
		if (task->seen == source->scan)
			continue;
		if (!task->over && all_ended && (!last || task->tid == process->pid)) {
			if (last)
				err = send_unknown_end(source, process, last, false);
			last = task;
		} else if (!task->over) {
			err = send_unknown_end(source, process, task, false);
		}
		if (err)
			return err;
		if (!all_ended)
			proc_remove_task(process, task);
	}
	return last ? send_unknown_end(source, process, last, true) : 0;
}

/* The share that top tells is as good as the time that it stands for. */
static uint64_t put_top_time(const struct source_proc *source, struct task *task, const struct proc_reading *reading,
			     uint64_t value[METRIC_TOTAL])
{
	uint64_t window_ns = reading->time_ns > task->clock.time_ns ? reading->time_ns - task->clock.time_ns : 0;
	unsigned int hundredths;
	bool known = !task->over && top_figures_find(source->top, task->tid, &hundredths);

	if (known)
		task->clock.on_cpu_ns += (uint64_t)((unsigned __int128)window_ns * hundredths / 10000);
	task->clock.time_ns = reading->time_ns;
	value[M_task_on_cpu_ns] = task->clock.on_cpu_ns;
	return known ? METRIC_BIT(M_task_on_cpu_ns) : 0;
}

static uint64_t put_time(const struct source_proc *source, struct task *task, const struct proc_reading *reading,
			 uint64_t value[METRIC_TOTAL])
{
	if (source->top)
		return put_top_time(source, task, reading, value);
	proc_clock_advance(&task->clock, reading, source->cpus);
	value[M_task_on_cpu_ns] = task->clock.on_cpu_ns;
	value[M_task_off_cpu_ns] = task->clock.off_cpu_ns;
	return METRIC_BIT(M_task_on_cpu_ns) | METRIC_BIT(M_task_off_cpu_ns);
}

/* What a child of ours that nobody has waited for has used, exactly; without its children's part, if it has one. */
static bool used_by_child(uint32_t pid, uint64_t *used_ns)
{
	struct rusage usage;
	siginfo_t info = { 0 };

	/* wait4() would take it away, waitid() of the C library tells no usage */
	if (syscall(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT, &usage) < 0 || !info.si_pid)
		return false;
	*used_ns = ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * NS_PER_S +
		   ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000;
	return true;
}

int proc_sample_task(struct source_proc *source, struct process *process, const struct found *found, bool over, bool process_over)
{
	bool thread = source->settings.threads;
	struct proc_reading reading = {
		.time_ns = found->time_ns,
		.slack_ns = found->slack_ns,
		.used_ns = proc_ticks_to_ns(found->stat.user_ticks + found->stat.system_ticks),
		.threads = thread ? 1 : found->stat.threads,
	};
	struct task *task = proc_find_task(process, found->pid);
	uint64_t value[METRIC_TOTAL], present;
	int err = 0;

	if (process_over && !thread && found->stat.children_ticks == 0)
		used_by_child(found->pid, &reading.used_ns);
	if (task && (task->start_ticks != found->stat.start_ticks ||
		     (thread && !task->over && !source->top && !proc_clock_fits(&task->clock, &reading)))) {
		if (!task->over)
			err = send_unknown_end(source, process, task, false);
		proc_remove_task(process, task);
		task = NULL;
	}
	if (!err && !task && !(task = add_task(process, found->pid, found->stat.start_ticks))) {
		log_error(NULL, "out of memory");
		err = -ENOMEM;
	}
	if (err)
		return err;
	task->seen = source->scan;
	if (task->over)
		return 0;
	task->over = over;
	memcpy(task->comm, found->stat.comm, sizeof(task->comm));
	present = proc_metrics(&found->stat, thread, value) | put_time(source, task, &reading, value);
	return send_row(source, process, task, present, value, process_over);
}
