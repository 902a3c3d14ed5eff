// SPDX-License-Identifier: BSD-2-Clause
/*
 * bare empty|ring COMMAND [ARG...]: runs COMMAND with programs on every system call that do nothing, or write a record
 * into a BPF ring buffer that is emptied meanwhile. Prints records=N lost=N on stderr. Root.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "bare.skel.h"

static int count_record(void *context, void *record, size_t size)
{
	(void)record, (void)size;
	++*(unsigned long *)context;
	return 0;
}

static int fail(const char *what)
{
	perror(what);
	return 2;
}

int main(int argc, char **argv)
{
	struct ring_buffer *ring = NULL;
	struct bare_bpf *bpf = bare_bpf__open();
	unsigned long records = 0;
	int status = 0, go[2];
	bool with_ring;
	pid_t child;
	char c;

	if (argc < 3)
		return fprintf(stderr, "usage: bare empty|ring COMMAND [ARG...]\n"), 2;
	with_ring = strcmp(argv[1], "ring") == 0;
	if (!bpf || pipe(go))
		return fail("bare");
	child = fork();
	if (child == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) == 1)
			execvp(argv[2], argv + 2);
		_exit(127);
	}
	close(go[0]);
	bpf->rodata->tgid = (unsigned int)child;
	bpf_program__set_autoload(bpf->progs.ring_enter, with_ring);
	bpf_program__set_autoload(bpf->progs.ring_leave, with_ring);
	bpf_program__set_autoload(bpf->progs.empty_enter, !with_ring);
	bpf_program__set_autoload(bpf->progs.empty_leave, !with_ring);
	if (bare_bpf__load(bpf) || bare_bpf__attach(bpf))
		return fail("bare: BPF programs");
	ring = ring_buffer__new(bpf_map__fd(bpf->maps.ring), count_record, &records, NULL);
	if (!ring || write(go[1], "", 1) != 1)
		return fail("bare");
	while (waitpid(child, &status, WNOHANG) == 0) {
		ring_buffer__consume(ring);
		usleep(5000);
	}
	ring_buffer__consume(ring);
	fprintf(stderr, "records=%lu lost=%llu\n", records, (unsigned long long)bpf->bss->lost);
	ring_buffer__free(ring);
	bare_bpf__destroy(bpf);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
