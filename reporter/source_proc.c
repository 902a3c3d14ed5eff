/* SPDX-License-Identifier: BSD-2-Clause */
#include "source_proc.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "proc_rows.h"

enum {
	READINGS = 3, /* at most, until one did not take long */
	READING_NS = 1000000,
};

struct source_proc *source_proc_new(const struct source_proc_settings *settings, struct pipeline *pipeline)
{
	struct source_proc *source = calloc(1, sizeof(*source));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (!source)
		return NULL;
	source->settings = *settings;
	source->pipeline = pipeline;
	source->cpus = cpus > 0 ? (unsigned int)cpus : 1;
	return source;
}

/* --- processes */

static struct process *find_process(const struct source_proc *source, uint32_t pid)
{
	struct process *process;

	HASH_FIND(hh, source->processes, &pid, sizeof(pid), process);
	return process;
}

static struct process *add_process(struct source_proc *source, uint32_t pid, uint64_t start_ticks)
{
	struct process *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	process->pid = pid;
	process->start_ticks = start_ticks;
	HASH_ADD(hh, source->processes, pid, sizeof(process->pid), process);
	if (process->hh.tbl)
		return process;
	free(process);
	return NULL;
}

static void remove_process(struct source_proc *source, struct process *process)
{
	struct task *task, *next;

	HASH_ITER(hh, process->tasks, task, next)
		proc_remove_task(process, task);
	HASH_DEL(source->processes, process);
	free(process->cgroup);
	free(process);
}

void source_proc_free(struct source_proc *source)
{
	struct process *process, *next;

	if (!source)
		return;
	HASH_ITER(hh, source->processes, process, next)
		remove_process(source, process);
	free(source->found);
	free(source);
}

static int end_process(struct source_proc *source, struct process *process)
{
	int err = process->over ? 0 : proc_end_unseen(source, process, true);

	remove_process(source, process);
	return err;
}

/* --- reading /proc */

/* Between two looks at the clock, and again if that took long: somebody else had the CPU. */
static int read_stat(uint32_t pid, uint32_t tid, struct found *found)
{
	for (int i = 0; i < READINGS; i++) {
		uint64_t before_ns = proc_now_ns(CLOCK_BOOTTIME);
		int err = proc_stat_read(pid, tid, &found->stat);

		if (err)
			return err;
		found->pid = tid ? tid : pid;
		found->time_ns = proc_now_ns(CLOCK_BOOTTIME);
		found->slack_ns = found->time_ns - before_ns;
		if (found->slack_ns < READING_NS)
			break;
	}
	return 0;
}

/* Calls `each` for the numbers in a directory, until one returns an error. -ENOENT: there is no such directory. */
static int for_each_number(const char *path, int (*each)(void *context, uint32_t number), void *context)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	int err = 0;

	if (!directory)
		return -errno;
	while (!err && (errno = 0, entry = readdir(directory))) {
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			err = each(context, (uint32_t)strtoul(entry->d_name, NULL, 10));
	}
	closedir(directory);
	return err;
}

static bool is_gone(int err)
{
	return err == -ENOENT || err == -EACCES || err == -EPERM; /* or hidden from us: hidepid= */
}

static int cannot_read(uint32_t pid, int err)
{
	log_error(NULL, "/proc/%u/stat: %s", pid, err == -EPROTO ? "not understood" : strerror(-err));
	return err;
}

static int find_one(void *context, uint32_t pid)
{
	struct source_proc *source = context;
	int err;

	if (source->found_count == source->found_room) {
		size_t room = source->found_room ? 2 * source->found_room : 256;
		struct found *grown = realloc(source->found, room * sizeof(*grown));

		if (!grown) {
			log_error(NULL, "out of memory");
			return -ENOMEM;
		}
		source->found = grown;
		source->found_room = room;
	}
	err = read_stat(pid, 0, &source->found[source->found_count]);
	if (!err)
		source->found_count++;
	return !err || is_gone(err) ? 0 : cannot_read(pid, err);
}

/* Everybody, or only those who are watched. */
static int find_processes(struct source_proc *source)
{
	struct process *process, *next;
	int err = 0;

	source->found_count = 0;
	if (source->settings.all || source->settings.children) {
		err = for_each_number("/proc", find_one, source);
		if (err == -ENOENT || err == -EACCES)
			log_error(NULL, "/proc: %s", strerror(-err));
		return err;
	}
	HASH_ITER(hh, source->processes, process, next) {
		err = find_one(source, process->pid);
		if (err)
			break;
	}
	return err;
}

/* --- who is watched */

/* NULL with 0: not watched. */
static int watched(struct source_proc *source, const struct found *found, struct process **out)
{
	struct process *process = find_process(source, found->pid);
	int err = 0;

	if (!process && (source->settings.all || (source->settings.children && find_process(source, (uint32_t)found->stat.ppid)))) {
		process = add_process(source, found->pid, found->stat.start_ticks);
		if (!process) {
			log_error(NULL, "out of memory");
			err = -ENOMEM;
		} else if (source->scan == 1 && proc_stat_is_over(&found->stat)) {
			process->over = true;
		}
	}
	*out = process;
	return err;
}

struct thread_walk {
	struct source_proc *source;
	struct process *process;
	bool process_over;
};

static int sample_thread(void *context, uint32_t tid)
{
	struct thread_walk *walk = context;
	struct found found;
	int err = read_stat(walk->process->pid, tid, &found);

	if (err)
		return is_gone(err) ? 0 : cannot_read(tid, err);
	return proc_sample_task(walk->source, walk->process, &found, found.stat.state == 'Z' || found.stat.state == 'X',
				walk->process_over);
}

static int sample_threads(struct source_proc *source, struct process *process)
{
	struct thread_walk walk = { source, process, process->over };
	char path[64];
	int err = 0;

	/* of a process that is over only the main thread is left, and is to be the last */
	if (process->over) {
		struct task *main_thread = proc_find_task(process, process->pid);

		if (main_thread)
			main_thread->seen = source->scan;
		err = proc_end_unseen(source, process, main_thread && main_thread->over);
	}
	snprintf(path, sizeof(path), "/proc/%u/task", process->pid);
	if (!err)
		err = for_each_number(path, sample_thread, &walk);
	if (is_gone(err))
		err = 0;
	else if (err)
		log_error(NULL, "%s: %s", path, strerror(-err));
	return err || process->over ? err : proc_end_unseen(source, process, false);
}

static void identify(struct process *process, const struct proc_stat *stat)
{
	char cgroup[PROC_CGROUP_BYTES];
	uint32_t tgid;

	process->ppid = (uint32_t)stat->ppid;
	memcpy(process->comm, stat->comm, sizeof(process->comm));
	proc_status_read(process->pid, &process->uid, &tgid);
	if (process->cgroup && proc_stat_is_over(stat))
		return; /* it has left it */
	proc_cgroup_read(process->pid, cgroup);
	if (process->cgroup && strcmp(process->cgroup, cgroup) == 0)
		return;
	free(process->cgroup);
	process->cgroup = strdup(cgroup);
}

static int sample_process(struct source_proc *source, struct process *process, const struct found *found)
{
	process->seen = source->scan;
	if (process->over)
		return 0;
	identify(process, &found->stat);
	process->over = proc_stat_is_over(&found->stat);
	return source->settings.threads ? sample_threads(source, process) :
					  proc_sample_task(source, process, found, process->over, process->over);
}

int source_proc_name(struct source_proc *source, uint32_t pid)
{
	struct proc_stat stat;
	uint32_t uid, tgid;
	int err = proc_status_read(pid, &uid, &tgid);

	if (!err)
		err = proc_stat_read(pid, 0, &stat);
	if (err)
		return err;
	if (tgid != pid || proc_stat_is_over(&stat))
		return -ENOENT;
	return find_process(source, pid) || add_process(source, pid, stat.start_ticks) ? 0 : -ENOMEM;
}

/* --- ticks */

/* Their numbers mean somebody else now. Before anything else, as their children are not the others'. */
static int end_replaced(struct source_proc *source)
{
	int err = 0;

	for (size_t i = 0; !err && i < source->found_count; i++) {
		struct process *process = find_process(source, source->found[i].pid);

		if (process && process->start_ticks != source->found[i].stat.start_ticks)
			err = end_process(source, process);
	}
	return err;
}

/* Parents mostly come first, but a number may have begun anew between the two: again, until no child is found. */
static int sample_found(struct source_proc *source)
{
	bool more = true;
	int err = 0;

	while (!err && more) {
		more = false;
		for (size_t i = 0; !err && i < source->found_count; i++) {
			struct process *process = NULL;

			err = watched(source, &source->found[i], &process);
			if (err || !process || process->seen == source->scan)
				continue;
			more = source->settings.children;
			err = sample_process(source, process, &source->found[i]);
		}
	}
	return err;
}

static int end_vanished(struct source_proc *source)
{
	struct process *process, *next;
	int err = 0;

	HASH_ITER(hh, source->processes, process, next) {
		if (process->seen == source->scan)
			continue;
		err = end_process(source, process);
		if (err)
			break;
	}
	return err;
}

/* Returns its instant. */
static uint64_t begin_scan(struct source_proc *source)
{
	uint64_t now_ns = proc_now_ns(CLOCK_BOOTTIME);

	source->scan++;
	source->wall_offset_ns = proc_now_ns(CLOCK_REALTIME) - now_ns;
	source->tick_wall_ns = now_ns + source->wall_offset_ns;
	return now_ns;
}

int source_proc_tick(struct source_proc *source, const struct top_figures *top)
{
	uint64_t tick_ns = begin_scan(source);
	int err;

	source->top = top;
	if (source->scan == 1)
		pipeline_arm(source->pipeline, tick_ns);
	err = find_processes(source);
	if (!err)
		err = end_replaced(source);
	if (!err)
		err = sample_found(source);
	if (!err)
		err = end_vanished(source);
	return err ? err : pipeline_tick_complete(source->pipeline, tick_ns);
}

int source_proc_end(struct source_proc *source, uint32_t pid)
{
	struct process *process = find_process(source, pid);
	struct found found;
	int err;

	if (!process || process->over)
		return 0;
	begin_scan(source);
	err = read_stat(pid, 0, &found);
	if (is_gone(err) || (!err && found.stat.start_ticks != process->start_ticks))
		return end_process(source, process);
	if (err)
		return cannot_read(pid, err);
	return proc_stat_is_over(&found.stat) ? sample_process(source, process, &found) : 0;
}
