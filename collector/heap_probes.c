/* SPDX-License-Identifier: BSD-2-Clause */
#include "heap_probes.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf_file.h"
#include "heap_functions.h"
#include "log.h"
#include "process_files.h"
#include "uprobe.h"

#define SUBSYSTEM "heap"

enum {
	FILES_MAX = 1024,   /* of one process that are looked at */
	PROBED_MAX = 32,    /* of these with functions of the family */
	KNOWN_MAX = 256,    /* files whose functions are remembered */
};

const char *const heap_program_names[HEAP_PROGRAMS] = {
	[HEAP_ON_CALL] = "on_heap_call",
	[HEAP_ON_RETURN] = "on_heap_return",
	[HEAP_ON_FREE] = "on_heap_free",
	[HEAP_ON_LIBRARIES] = "on_heap_libraries",
};

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
	int links[HEAP_FUNCTIONS_MAX][2]; /* at the call, at the return; -1: none */
};

struct heap_probes {
	pid_t tgid, tid;
	const int *programs;
	bool allocate, incomplete;
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

/* The main thread, or another one if that has exited. */
static pid_t live_thread(pid_t tgid, pid_t besides)
{
	char path[32];
	DIR *threads;
	struct dirent *entry;
	pid_t found = tgid;

	if (besides != tgid)
		return tgid;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)tgid);
	threads = opendir(path);
	while (threads && found == tgid && (entry = readdir(threads)))
		if (atoi(entry->d_name) > 0)
			found = (pid_t)atoi(entry->d_name);
	if (threads)
		closedir(threads);
	return found;
}

static int attach_one(struct heap_probes *probes, const struct probed_file *file, size_t i, bool at_return)
{
	static const enum heap_program entry_program[] = {
		[HEAP_MALLOC] = HEAP_ON_CALL,	    [HEAP_CALLOC] = HEAP_ON_CALL,  [HEAP_REALLOC] = HEAP_ON_CALL,
		[HEAP_REALLOCARRAY] = HEAP_ON_CALL, [HEAP_ALIGNED] = HEAP_ON_CALL, [HEAP_POSIX] = HEAP_ON_CALL,
		[HEAP_FREE] = HEAP_ON_FREE,	    [HEAP_LIBRARIES] = HEAP_ON_LIBRARIES,
	};
	const struct heap_function *function = &file->functions.list[i];
	struct uprobe uprobe = {
		.program_fd = probes->programs[at_return ? HEAP_ON_RETURN : entry_program[function->call]],
		.file_fd = file->fd,
		.tid = probes->tid,
		.offset = function->offset,
		.cookie = HEAP_COOKIE(probes->tgid, function->call),
		.at_return = at_return,
	};
	int link = uprobe_attach(&uprobe);

	if (link == -ESRCH) {
		uprobe.tid = probes->tid = live_thread(probes->tgid, probes->tid);
		link = uprobe_attach(&uprobe);
	}
	return link;
}

static bool returns(const struct heap_function *function)
{
	return function->call != HEAP_FREE && function->call != HEAP_LIBRARIES;
}

/*
 * What takes blocks first, then the returns, then the calls: whatever is called meanwhile, a block that is counted will be seen to be freed. A
 * function with only one of its two probes does no harm.
 */
static int attach_file(struct heap_probes *probes, struct probed_file *file)
{
	int err = 0;

	memset(file->links, 0xff, sizeof(file->links));
	for (int phase = 0; phase < 3; phase++) {
		for (size_t i = 0; i < file->functions.count; i++) {
			bool at_return = phase == 1;
			int link;

			if (returns(&file->functions.list[i]) != (phase > 0))
				continue;
			link = attach_one(probes, file, i, at_return);
			if (link < 0) {
				log_debug(SUBSYSTEM, "process %d: no probe at offset %#llx of a file: %s", (int)probes->tgid,
					  (unsigned long long)file->functions.list[i].offset, strerror(-link));
				err = link;
				if (link == -ESRCH)
					return err;
			} else {
				file->links[i][at_return] = link;
			}
		}
	}
	return err;
}

static void close_links(int (*links)[2], size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (int end = 0; end < 2; end++)
			if (links[i][end] >= 0)
				close(links[i][end]);
}

static void free_file(struct probed_file *file)
{
	close_links(file->links, file->functions.count);
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
	file->functions = *functions;
	probes->files[probes->file_count++] = file;
	probes->allocate |= functions->allocates;
	err = attach_file(probes, file);
	if (err && err != -ESRCH)
		probes->incomplete = true;
	return err == -ESRCH ? err : 0;
}

static int handle_ahead(int fd, const struct stat *file, void *context)
{
	struct heap_probes *probes = context;

	if (is_new(probes, file))
		return probe_file(probes, fd, file);
	close(fd);
	return 0;
}

/* What a mapped program needs will be mapped, too, if it is about to be started: a launched command has its program mapped. */
static int handle_mapped(int fd, const struct stat *file, void *context)
{
	struct heap_probes *probes = context;
	int ahead, err;

	if (!is_new(probes, file)) {
		close(fd);
		return 0;
	}
	ahead = dup(fd);
	err = probe_file(probes, fd, file);
	if (!err && ahead >= 0)
		err = process_files_ahead(probes->tgid, ahead, handle_ahead, probes);
	if (ahead >= 0)
		close(ahead);
	return err;
}

struct heap_probes *heap_probes_new(pid_t tgid, const int programs[HEAP_PROGRAMS])
{
	struct heap_probes *probes = calloc(1, sizeof(*probes));

	if (!probes)
		return NULL;
	probes->tgid = probes->tid = tgid;
	probes->programs = programs;
	return probes;
}

void heap_probes_free(struct heap_probes *probes)
{
	if (!probes)
		return;
	for (size_t i = 0; i < probes->file_count; i++)
		free_file(probes->files[i]);
	free(probes);
}

int heap_probes_update(struct heap_probes *probes)
{
	int err = process_files_mapped(probes->tgid, handle_mapped, probes);

	return err ? err : probes->incomplete ? -EIO : 0;
}

int heap_probes_move(struct heap_probes *probes)
{
	int old[HEAP_FUNCTIONS_MAX][2], err = 0;

	probes->tid = live_thread(probes->tgid, probes->tid);
	for (size_t i = 0; i < probes->file_count && err != -ESRCH; i++) {
		memcpy(old, probes->files[i]->links, sizeof(old));
		err = attach_file(probes, probes->files[i]);
		close_links(old, probes->files[i]->functions.count);
	}
	return err;
}

bool heap_probes_allocate(const struct heap_probes *probes)
{
	return probes->allocate;
}
