/* SPDX-License-Identifier: BSD-2-Clause */
#include "walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "log.h"
#include "taskmon.skel.h"

#define SUBSYSTEM "kernel"

enum { READ_BYTES = 64 << 10 }; /* an iterator returns 32 KiB at most (kernel/bpf/bpf_iter.c) */

struct walk {
	struct taskmon_bpf *bpf;
	struct bpf_link *link; /* iter/task */
	u32 generation;        /* of the watches that all tasks have been judged by */
	/* what the programs that walk by themselves have found, mapped; NULL: there are none */
	struct task_record *samples;
	const struct listed_process *processes;
	_Alignas(u64) char buffer[READ_BYTES];
};

/* Loading an earlier form of these programs made a guest of 768 MiB with 7.3 run out of memory; on 6.18 it takes 10. */
static bool verifier_is_frugal(void)
{
	struct utsname name;

	return uname(&name) == 0 && strtoul(name.release, NULL, 10) < 7;
}

bool walk_is_quick(const struct btf *kernel)
{
	static const char *const needed[] = { "bpf_task_from_pid", "bpf_rcu_read_lock", "bpf_rdonly_cast" };
	const char *way = getenv("TASKMON_WALK");

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (btf__find_by_name_kind(kernel, needed[i], BTF_KIND_FUNC) <= 0)
			return false;
	return way ? strcmp(way, "iter") != 0 : verifier_is_frugal();
}

void walk_choose(struct taskmon_bpf *bpf, bool quick)
{
	bpf_program__set_autoload(bpf->progs.list_processes, quick);
	bpf_program__set_autoload(bpf->progs.sample_listed_process, quick);
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
	else if (bpf_program__fd(bpf->progs.sample_listed_process) >= 0)
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

/* --- programs that walk by themselves */

static int run(const struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	int err = bpf_prog_test_run_opts(bpf_program__fd(program), &run);

	return err ? err : (int)run.retval;
}

/*
 * The thread to go on behind has ended meanwhile: name the latest before it that may still live. With all of a part gone in
 * an instant, the process is ending too.
 */
static bool name_earlier_thread(const struct walk *walk, struct pass_state *pass, u32 *left)
{
	while (*left > 0) {
		const struct task_record *record = &walk->samples[--*left];

		if (!(record->flags & RECORD_THREAD) || record->tgid != walk->processes[pass->at].tgid)
			break;
		pass->thread.tgid = record->tid;
		pass->thread.start_time_ns = record->start_time_ns;
		return true;
	}
	return false;
}

static void hand_over(struct walk *walk, kernel_sample_handler handler, void *context)
{
	struct pass_state *pass = &walk->bpf->bss->pass;

	for (u32 i = 0; i < pass->records; i++)
		handler(&walk->samples[i], context);
	pass->records = 0;
}

/* A process whose threads do not fit is gone on with. */
static int sample_process(struct walk *walk, kernel_sample_handler handler, void *context)
{
	struct pass_state *pass = &walk->bpf->bss->pass;
	u32 before = 0; /* records of the previous part */
	int err;

	pass->thread.tgid = 0;
	if (pass->records + 2 > PASS_RECORDS)
		hand_over(walk, handler, context);
	do {
		err = run(walk->bpf->progs.sample_listed_process);
		if (err)
			return err;
		if (pass->full) {
			before = pass->records;
			hand_over(walk, handler, context);
		}
	} while (pass->full || (pass->thread_gone && name_earlier_thread(walk, pass, &before)));
	return 0;
}

/* The next part of the list; a process that has ended has no successor, so the ones before it are tried. */
static int list_more(struct walk *walk)
{
	struct pass_state *pass = &walk->bpf->bss->pass;
	u32 left = pass->listed;
	int err = run(walk->bpf->progs.list_processes);

	while (err && left > 0) {
		pass->behind = walk->processes[--left];
		err = run(walk->bpf->progs.list_processes);
	}
	return err;
}

static int walk_quickly(struct walk *walk, kernel_sample_handler handler, void *context)
{
	struct pass_state *pass = &walk->bpf->bss->pass;
	int err;

	memset(pass, 0, sizeof(*pass));
	do {
		err = list_more(walk);
		for (pass->at = 0; !err && pass->at < pass->listed; pass->at++)
			err = sample_process(walk, handler, context);
	} while (!err && !pass->list_complete);
	hand_over(walk, handler, context);
	return err;
}

/* --- iter/task */

static ssize_t read_more(int fd, char *buffer)
{
	ssize_t size;

	do
		size = read(fd, buffer, READ_BYTES);
	while (size < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: the kernel paused after a million tasks without a record */
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
