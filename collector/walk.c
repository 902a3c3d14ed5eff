/* SPDX-License-Identifier: BSD-2-Clause */
#include "walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "log.h"
#include "taskmon.skel.h"

#define SUBSYSTEM "kernel"

enum { READ_BYTES = 64 << 10 }; /* an iterator returns 32 KiB at most (kernel/bpf/bpf_iter.c) */

/* What a part of a pass has found; its records and processes are there until the next one. */
struct part {
	struct listed_process behind; /* where it began */
	u32 records, listed;
};

struct walk {
	struct taskmon_bpf *bpf;
	struct bpf_link *link; /* iter/task */
	u32 generation;        /* of the watches that all tasks have been judged by */
	/* what the program that walks by itself has found, mapped; NULL: there is none */
	struct task_record *samples;
	const struct listed_process *processes;
	_Alignas(u64) char buffer[READ_BYTES];
};

const char *walk_not_quick(const struct btf *kernel)
{
	static const char *const needed[] = { "bpf_task_from_pid", "bpf_rcu_read_lock", "bpf_rdonly_cast" };
	const char *way = getenv("TASKMON_WALK");

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (btf__find_by_name_kind(kernel, needed[i], BTF_KIND_FUNC) <= 0)
			return "this kernel has no functions for it (they came with 6.2)";
	return way && strcmp(way, "iter") == 0 ? "TASKMON_WALK says so" : NULL;
}

void walk_choose(struct taskmon_bpf *bpf, bool quick)
{
	bpf_program__set_autoload(bpf->progs.sample_part, quick);
	bpf_map__set_max_entries(bpf->maps.samples, quick ? PASS_RECORDS : 1);
	bpf_map__set_max_entries(bpf->maps.process_list, quick ? PASS_PROCESSES : 1);
}

static size_t bytes_of(const struct bpf_map *map)
{
	return (size_t)bpf_map__value_size(map) * bpf_map__max_entries(map);
}

static int map_results(struct walk *walk)
{
	const struct bpf_map *samples = walk->bpf->maps.samples, *list = walk->bpf->maps.process_list;
	void *at = mmap(NULL, bytes_of(samples), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(samples), 0);

	if (at == MAP_FAILED)
		return -errno;
	walk->samples = at;
	at = mmap(NULL, bytes_of(list), PROT_READ, MAP_SHARED, bpf_map__fd(list), 0);
	if (at == MAP_FAILED)
		return -errno;
	walk->processes = at;
	return 0;
}

struct walk *walk_new(struct taskmon_bpf *bpf)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	int err = 0;

	if (!walk)
		return NULL;
	walk->bpf = bpf;
	walk->link = bpf_program__attach_iter(bpf->progs.sample_task, NULL);
	if (!walk->link)
		err = -errno;
	else if (bpf_program__fd(bpf->progs.sample_part) >= 0)
		err = map_results(walk);
	if (!err)
		return walk;
	walk_free(walk);
	errno = -err;
	return NULL;
}

void walk_free(struct walk *walk)
{
	if (!walk)
		return;
	if (walk->samples)
		munmap(walk->samples, bytes_of(walk->bpf->maps.samples));
	if (walk->processes)
		munmap((void *)walk->processes, bytes_of(walk->bpf->maps.process_list));
	bpf_link__destroy(walk->link);
	free(walk);
}

/* --- a program that walks by itself */

static int run(const struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	int err = bpf_prog_test_run_opts(bpf_program__fd(program), &run);

	return err ? err : (int)run.retval;
}

/*
 * What to go on behind has ended meanwhile: name the latest before it that may still live. All that were found behind that have
 * ended too, so nobody is found twice.
 */
static bool name_earlier(const struct walk *walk, struct pass_state *pass, struct part *before)
{
	if (pass->thread.tgid) {
		while (before->records > 0) {
			const struct task_record *record = &walk->samples[--before->records];

			if (!(record->flags & RECORD_THREAD) || record->tgid != pass->behind.tgid)
				break;
			pass->thread = (struct listed_process){ record->start_time_ns, record->tid };
			return true;
		}
		before->records = 0;
		pass->thread.tgid = 0; /* with all of a part gone in an instant, the process is ending too */
		return true;
	}
	if (before->listed > 0)
		pass->behind = walk->processes[--before->listed];
	else if (before->behind.tgid != pass->behind.tgid)
		pass->behind = before->behind; /* nobody that lives was found since then */
	else
		return false;
	return true;
}

static int sample_part(struct walk *walk, struct part *before)
{
	struct pass_state *pass = &walk->bpf->bss->pass;
	struct part this = { .behind = pass->behind };
	int err;

	do
		err = run(walk->bpf->progs.sample_part);
	while (!err && pass->gone && name_earlier(walk, pass, before));
	if (!err && pass->gone)
		return -ESRCH;
	this.records = pass->records;
	this.listed = pass->listed;
	*before = this;
	return err;
}

static int walk_quickly(struct walk *walk, kernel_sample_handler handler, void *context)
{
	struct pass_state *pass = &walk->bpf->bss->pass;
	struct part part = { 0 };
	int err;

	memset(pass, 0, sizeof(*pass));
	do {
		err = sample_part(walk, &part);
		for (u32 i = 0; i < pass->records; i++)
			handler(&walk->samples[i], context);
	} while (!err && !pass->complete);
	return err;
}

/* --- iter/task */

static ssize_t read_more(int fd, char *buffer)
{
	ssize_t size;

	do
		size = read(fd, buffer, READ_BYTES);
	while (size < 0 &&
	       (errno == EINTR || errno == EAGAIN)); /* EAGAIN: the kernel paused after a million tasks without a record */
	return size;
}

static int read_records(struct walk *walk, kernel_sample_handler handler, void *context)
{
	int fd = bpf_iter_create(bpf_link__fd(walk->link));
	ssize_t size;

	if (fd < 0)
		return fd;
	while ((size = read_more(fd, walk->buffer)) > 0)
		for (ssize_t at = 0; at + (ssize_t)sizeof(struct task_record) <= size; at += sizeof(struct task_record))
			handler((struct task_record *)(walk->buffer + at), context);
	close(fd);
	return size < 0 ? -errno : 0;
}

/* A process has the longest of its threads' open stretches; these are looked at in a walk of their own. */
static int read_all(struct walk *walk, const struct sample_request *request, kernel_sample_handler handler, void *context)
{
	static const struct sample_request preparation = { .prepare = 1 };
	int err = 0;

	if (walk->bpf->bss->settings.measured & METRICS_OF_SWITCHES) {
		walk->bpf->bss->request = preparation;
		err = read_records(walk, handler, context);
	}
	walk->bpf->bss->request = *request;
	return err ? err : read_records(walk, handler, context);
}

int walk_tasks(struct walk *walk, const struct sample_request *request, kernel_sample_handler handler, void *context)
{
	const struct watch_settings *settings = &walk->bpf->bss->settings;
	int err;

	walk->bpf->bss->request = *request;
	if (walk->samples && !settings->judging && settings->generation == walk->generation)
		err = walk_quickly(walk, handler, context);
	else
		err = read_all(walk, request, handler, context);
	if (err)
		log_error(SUBSYSTEM, "a pass broke off: %s", strerror(-err));
	else
		walk->generation = settings->generation;
	return err;
}

void walk_run_iterator(struct walk *walk, int link)
{
	int fd = link < 0 ? -1 : bpf_iter_create(link);

	if (fd < 0)
		return;
	while (read_more(fd, walk->buffer) > 0)
		;
	close(fd);
}
