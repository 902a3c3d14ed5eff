// SPDX-License-Identifier: BSD-2-Clause
/*
 * bare enter|empty|ring COMMAND [ARG...]: runs COMMAND with BPF programs on every system call that do nothing (on its beginning only, or
 * on both its ends), or write a record into a BPF ring buffer that is emptied meanwhile. Prints records=N lost=N on stderr.
 * bare heap COMMAND [ARG...]: the same with programs that do nothing on malloc, at both its ends, and on free, at their first instructions.
 * bare walk PASSES: reads a record of each task, so many times. Prints tasks=N walk_ns=N (CPU time of one task) on stdout.
 * Root.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bare.skel.h"

enum { RECORD_BYTES = 64 };
#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"

static const struct {
	const char *name, *programs[2];
} modes[] = {
	{ "enter", { "empty_enter" } },
	{ "empty", { "empty_enter", "empty_leave" } },
	{ "ring", { "ring_enter", "ring_leave" } },
	{ "heap", { "probe_enter", "probe_leave" } },
	{ "walk", { "walk" } },
};

static int fail(const char *what)
{
	perror(what);
	return 2;
}

static int choose(struct bare_bpf *bpf, const char *name)
{
	struct bpf_program *program;
	int err = -1;

	bpf_object__for_each_program(program, bpf->obj)
		bpf_program__set_autoload(program, false);
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		for (int k = 0; k < 2 && modes[i].programs[k] && strcmp(name, modes[i].name) == 0; k++) {
			err = 0;
			bpf_program__set_autoload(bpf_object__find_program_by_name(bpf->obj, modes[i].programs[k]), true);
		}
	return err;
}

static int probe(struct bpf_program *program, pid_t pid, const char *function, bool leave)
{
	LIBBPF_OPTS(bpf_uprobe_opts, options, .func_name = function, .retprobe = leave);

	return bpf_program__attach_uprobe_opts(program, pid, LIBC, 0, &options) ? 0 : -1;
}

static int attach(struct bare_bpf *bpf, const char *mode, pid_t child)
{
	if (strcmp(mode, "heap") != 0)
		return bare_bpf__attach(bpf);
	return probe(bpf->progs.probe_enter, child, "malloc", false) || probe(bpf->progs.probe_leave, child, "malloc", true) ||
	       probe(bpf->progs.probe_enter, child, "free", false);
}

static unsigned long long cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec;
}

static int walk(struct bare_bpf *bpf, int passes)
{
	static char bytes[1 << 20];
	unsigned long long began = cpu_ns(), read_bytes = 0;
	int link = bpf_link__fd(bpf->links.walk);

	for (int i = 0; i < passes; i++) {
		int fd = bpf_iter_create(link);
		ssize_t size;

		if (fd < 0)
			return fail("bare: an iterator");
		while ((size = read(fd, bytes, sizeof(bytes))) > 0)
			read_bytes += (unsigned long long)size;
		close(fd);
	}
	if (!read_bytes)
		return fail("bare: no tasks");
	printf("tasks=%llu walk_ns=%.1f\n", read_bytes / RECORD_BYTES / (unsigned long long)passes,
	       (double)(cpu_ns() - began) * RECORD_BYTES / (double)read_bytes);
	return 0;
}

static int count_record(void *context, void *record, size_t size)
{
	(void)record, (void)size;
	++*(unsigned long *)context;
	return 0;
}

/* Waits for a byte, then becomes the command. */
static pid_t prepare(char **command, int *go)
{
	int ends[2];
	pid_t child;
	char c;

	if (pipe(ends))
		return -1;
	child = fork();
	if (child == 0) {
		close(ends[1]);
		if (read(ends[0], &c, 1) == 1)
			execvp(command[0], command);
		_exit(127);
	}
	close(ends[0]);
	*go = ends[1];
	return child;
}

static int run(struct bare_bpf *bpf, pid_t child, int go)
{
	unsigned long records = 0;
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(bpf->maps.ring), count_record, &records, NULL);
	int status = 0;

	if (!ring || write(go, "", 1) != 1)
		return fail("bare");
	while (waitpid(child, &status, WNOHANG) == 0) {
		ring_buffer__consume(ring);
		usleep(5000);
	}
	ring_buffer__consume(ring);
	fprintf(stderr, "records=%lu lost=%llu\n", records, (unsigned long long)bpf->bss->lost);
	ring_buffer__free(ring);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	struct bare_bpf *bpf = bare_bpf__open();
	bool walks = argc == 3 && strcmp(argv[1], "walk") == 0;
	pid_t child = 0;
	int go = -1, status;

	if (!bpf)
		return fail("bare");
	if (argc < 3 || choose(bpf, argv[1]))
		return fprintf(stderr, "usage: bare enter|empty|ring|heap COMMAND [ARG...]\n       bare walk PASSES\n"), 2;
	if (!walks)
		child = prepare(argv + 2, &go);
	if (child < 0)
		return fail("bare");
	bpf->rodata->tgid = (unsigned int)child;
	if (bare_bpf__load(bpf) || attach(bpf, argv[1], child))
		return fail("bare: BPF programs");
	status = walks ? walk(bpf, atoi(argv[2])) : run(bpf, child, go);
	bare_bpf__destroy(bpf);
	return status;
}
