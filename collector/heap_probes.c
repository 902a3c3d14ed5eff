/* SPDX-License-Identifier: BSD-2-Clause */
#include "heap_probes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "closer.h"
#include "elf_file.h"
#include "heap_functions.h"
#include "kernel.h"
#include "log.h"
#include "process_files.h"
#include "uprobe.h"

#define SUBSYSTEM "heap"

enum {
	FILES_MAX = 1024, /* of one process that are looked at */
	PROBED_MAX = 32,  /* of these with functions of the family */
	KNOWN_MAX = 256,  /* files whose functions are remembered */
};

/* What reading the files of a process may take; a web browser with all its symbols stays below. */
#define READING_NS 3000000000ULL

static const char *const program_names[HEAP_PROGRAMS] = {
	[HEAP_ON_CALL] = "on_heap_call",
	[HEAP_ON_RETURN] = "on_heap_return",
};

/* --- programs */

static int load_single(struct heap_programs *programs)
{
	int err = 0;

	if (programs->single[0] < 0)
		err = kernel_load_programs(programs->kernel, program_names, HEAP_PROGRAMS, 0, programs->single);
	if (err)
		log_error(SUBSYSTEM, "the kernel refuses the programs: %s (-v tells more)", strerror(-err));
	return err;
}

int heap_programs_load(struct heap_programs *programs)
{
	memset(programs->single, 0xff, sizeof(programs->single));
	memset(programs->multi, 0xff, sizeof(programs->multi));
	if (uprobe_has_multi() &&
	    kernel_load_programs(programs->kernel, program_names, HEAP_PROGRAMS, UPROBE_MULTI_TYPE, programs->multi) == 0)
		return 0;
	return load_single(programs);
}

void heap_programs_unload(struct heap_programs *programs)
{
	for (int i = 0; i < HEAP_PROGRAMS; i++) {
		if (programs->single[i] >= 0)
			close(programs->single[i]);
		if (programs->multi[i] >= 0)
			close(programs->multi[i]);
	}
}

/* A file as it was: another one with the same number, or changed, is not it. */
struct identity {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

struct probed_file {
	int fd;
	struct heap_functions functions;
	size_t link_count;
	int links[2 * HEAP_FUNCTIONS_MAX];
};

struct heap_probes {
	pid_t tgid, tid;
	struct heap_programs *programs;
	bool allocate, incomplete;
	bool seen_ahead, ahead; /* of a mapped file; of a program that is about to be executed */
	uint64_t until_ns;      /* of this thread's CPU time: then no more files are read */
	size_t seen_count, file_count;
	struct identity seen[FILES_MAX];
	struct probed_file *files[PROBED_MAX];
};

static struct identity identity_of(const struct stat *file)
{
	struct identity identity;

	memset(&identity, 0, sizeof(identity)); /* padding is compared */
	identity.device = file->st_dev;
	identity.inode = file->st_ino;
	identity.size = file->st_size;
	identity.changed = file->st_ctim;
	return identity;
}

/* --- what is known of files: most processes have the same few libraries */

static struct known {
	struct identity file;
	struct heap_functions *functions; /* NULL: it has none */
} known[KNOWN_MAX];
static size_t known_count, known_next;

static struct heap_functions *read_functions(int fd)
{
	struct heap_functions *functions = malloc(sizeof(*functions));
	char error[ELF_FILE_ERROR_BYTES];

	if (functions && (heap_functions_find(functions, fd, error) || functions->count == 0)) {
		free(functions);
		functions = NULL;
	}
	return functions;
}

static const struct heap_functions *functions_of(int fd, const struct stat *file)
{
	struct identity identity = identity_of(file);
	struct known *entry;

	for (size_t i = 0; i < known_count; i++)
		if (memcmp(&known[i].file, &identity, sizeof(identity)) == 0)
			return known[i].functions;
	entry = &known[known_next];
	known_next = (known_next + 1) % KNOWN_MAX;
	known_count += known_count < KNOWN_MAX;
	free(entry->functions);
	entry->file = identity;
	entry->functions = read_functions(fd);
	return entry->functions;
}

void heap_probes_forget_files(void)
{
	for (size_t i = 0; i < known_count; i++)
		free(known[i].functions);
	memset(known, 0, sizeof(known));
	known_count = known_next = 0;
}

/* --- attaching */

static bool lives(pid_t tid)
{
	char path[32], text[512] = "";
	const char *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
	file = fopen(path, "re");
	if (!file)
		return false;
	end = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	return end && end[1] && !strchr("ZXx", end[2]);
}

/*
 * The main thread, or another one if that has exited: a thread that has exited has no memory that could be probed or looked at. Not
 * `leaving`, which may not have got so far.
 */
static pid_t live_thread(pid_t tgid, pid_t leaving)
{
	char path[32];
	DIR *threads;
	struct dirent *entry;
	pid_t found = tgid;

	if (tgid != leaving && lives(tgid))
		return tgid;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)tgid);
	threads = opendir(path);
	while (threads && found == tgid && (entry = readdir(threads)))
		if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != leaving && lives((pid_t)atoi(entry->d_name)))
			found = (pid_t)atoi(entry->d_name);
	if (threads)
		closedir(threads);
	return found;
}

static bool returns(const struct heap_function *function)
{
	return function->call != HEAP_FREE && function->call != HEAP_LIBRARIES;
}

/* Functions that take blocks first: whatever is called meanwhile, a block that is counted will be seen to be freed. */
static size_t choose(const struct probed_file *file, pid_t tgid, bool at_return, uint64_t *offsets, uint64_t *cookies)
{
	size_t count = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < file->functions.count; i++) {
			const struct heap_function *function = &file->functions.list[i];

			if (returns(function) != (pass == 1) || (at_return && !returns(function)))
				continue;
			offsets[count] = function->offset;
			cookies[count++] = HEAP_COOKIE(tgid, function->call);
		}
	}
	return count;
}

static int attach_each(struct heap_probes *probes, struct probed_file *file, struct uprobe *uprobe, const uint64_t *offsets,
		       const uint64_t *cookies, size_t count)
{
	int err = load_single(probes->programs);

	if (err)
		return err;
	uprobe->program_fd = probes->programs->single[uprobe->at_return ? HEAP_ON_RETURN : HEAP_ON_CALL];
	for (size_t i = 0; i < count; i++) {
		int link;

		uprobe->offset = offsets[i];
		uprobe->cookie = cookies[i];
		link = uprobe_attach(uprobe);
		if (link >= 0)
			file->links[file->link_count++] = link;
		else
			err = link;
		if (link == -ESRCH)
			break;
	}
	return err;
}

/* One after the other where they cannot be attached together: also if one of them is the reason. */
static int attach_end(struct heap_probes *probes, struct probed_file *file, bool at_return)
{
	uint64_t offsets[HEAP_FUNCTIONS_MAX], cookies[HEAP_FUNCTIONS_MAX];
	size_t count = choose(file, probes->tgid, at_return, offsets, cookies);
	struct uprobe uprobe = { .file_fd = file->fd, .tid = probes->tid, .at_return = at_return };
	int link = -1;

	if (count == 0)
		return 0;
	uprobe.program_fd = probes->programs->multi[at_return ? HEAP_ON_RETURN : HEAP_ON_CALL];
	if (uprobe.program_fd >= 0 && probes->tid == probes->tgid)
		link = uprobe_attach_multi(&uprobe, offsets, cookies, count);
	if (link < 0)
		return attach_each(probes, file, &uprobe, offsets, cookies, count);
	file->links[file->link_count++] = link;
	return 0;
}

/* Returns first: one that had no call is ignored. */
static int attach_file(struct heap_probes *probes, struct probed_file *file)
{
	int err = attach_end(probes, file, true);
	int calls = err == -ESRCH ? 0 : attach_end(probes, file, false);

	err = err ? err : calls;
	if (err && err != -ESRCH)
		log_debug(SUBSYSTEM, "process %d: not all functions of a file are probed: %s", (int)probes->tgid, strerror(-err));
	return err;
}

static void free_file(struct probed_file *file, struct closer *closer)
{
	for (size_t i = 0; i < file->link_count; i++)
		closer_add(closer, file->links[i]);
	close(file->fd);
	free(file);
}

/* --- the files of a process */

static bool is_new(struct heap_probes *probes, const struct stat *file)
{
	struct identity identity = identity_of(file);

	for (size_t i = 0; i < probes->seen_count; i++)
		if (memcmp(&probes->seen[i], &identity, sizeof(identity)) == 0)
			return false;
	if (probes->seen_count == FILES_MAX)
		return false;
	if (clock_ns(CLOCK_THREAD_CPUTIME_ID) > probes->until_ns) {
		probes->incomplete = true;
		return false;
	}
	probes->seen[probes->seen_count++] = identity;
	return true;
}

static int probe_file(struct heap_probes *probes, int fd, const struct stat *stat)
{
	const struct heap_functions *functions = functions_of(fd, stat);
	struct probed_file *file = functions && probes->file_count < PROBED_MAX ? malloc(sizeof(*file)) : NULL;
	int err;

	if (!file) {
		close(fd);
		return functions ? -ENOSPC : 0;
	}
	file->fd = fd;
	file->link_count = 0;
	file->functions = *functions;
	probes->files[probes->file_count++] = file;
	probes->allocate |= functions->allocates;
	err = attach_file(probes, file);
	if (err && err != -ESRCH)
		probes->incomplete = true;
	return err == -ESRCH ? err : 0;
}

static int handle_ahead(int fd, const struct stat *file, bool code, void *context)
{
	struct heap_probes *probes = context;

	(void)code;
	probes->seen_ahead = true;
	if (is_new(probes, file))
		return probe_file(probes, fd, file);
	close(fd);
	return 0;
}

/*
 * What a mapped program needs will be mapped, too. Its process is about to execute it if it is mapped for nothing: a command that a
 * reporter launches does that (reporter/launch.c).
 */
static int handle_mapped(int fd, const struct stat *file, bool code, void *context)
{
	struct heap_probes *probes = context;
	size_t probed_before = probes->file_count;
	int ahead, err;

	if (!is_new(probes, file)) {
		close(fd);
		return 0;
	}
	ahead = dup(fd);
	err = probe_file(probes, fd, file);
	probes->seen_ahead = false;
	if (!err && ahead >= 0)
		err = process_files_ahead(probes->tid, ahead, handle_ahead, probes);
	if (!code)
		probes->ahead |= probes->seen_ahead || probes->file_count > probed_before;
	if (ahead >= 0)
		close(ahead);
	return err;
}

struct heap_probes *heap_probes_new(pid_t tgid, struct heap_programs *programs)
{
	struct heap_probes *probes = calloc(1, sizeof(*probes));

	if (!probes)
		return NULL;
	probes->tgid = tgid;
	probes->tid = live_thread(tgid, 0);
	probes->programs = programs;
	return probes;
}

void heap_probes_free(struct heap_probes *probes)
{
	if (!probes)
		return;
	for (size_t i = 0; i < probes->file_count; i++)
		free_file(probes->files[i], probes->programs->closer);
	free(probes);
}

int heap_probes_inherit(struct heap_probes *probes, const struct heap_probes *parent)
{
	struct stat stat;
	int err = 0;

	for (size_t i = 0; i < parent->file_count && !err; i++) {
		int fd = fcntl(parent->files[i]->fd, F_DUPFD_CLOEXEC, 0);

		if (fd >= 0 && fstat(fd, &stat) == 0 && is_new(probes, &stat))
			err = probe_file(probes, fd, &stat);
		else if (fd >= 0)
			close(fd);
	}
	return err;
}

size_t heap_probes_count(const struct heap_probes *probes)
{
	return probes->file_count;
}

int heap_probes_update(struct heap_probes *probes)
{
	int err;

	probes->until_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) + READING_NS;
	err = process_files_mapped(probes->tid, handle_mapped, probes);
	return err ? err : probes->incomplete ? -EIO : 0;
}

int heap_probes_move(struct heap_probes *probes, pid_t leaving)
{
	int err = 0;

	if (leaving && leaving != probes->tid)
		return 0;
	probes->tid = live_thread(probes->tgid, leaving);
	for (size_t i = 0; i < probes->file_count && err != -ESRCH; i++) {
		struct probed_file *file = probes->files[i];
		struct probed_file old = *file;

		file->link_count = 0;
		err = attach_file(probes, file);
		for (size_t l = 0; l < old.link_count; l++)
			closer_add(probes->programs->closer, old.links[l]);
	}
	return err;
}

enum heap_armed heap_probes_armed(const struct heap_probes *probes)
{
	return !probes->allocate ? HEAP_UNARMED : probes->ahead ? HEAP_ARMED_AHEAD : HEAP_ARMED;
}

void heap_probes_executed(struct heap_probes *probes)
{
	probes->ahead = false;
}
