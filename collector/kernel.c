/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel_state.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "clock.h"
#include "hooks.h"
#include "log.h"
#include "stream.h"
#include "walk.h"

#define SUBSYSTEM "kernel"

enum {
	CLOCK_ATTEMPTS = 4,
	STREAM_BYTES = 1 << 20, /* unless the configuration says otherwise */
};

int kernel_open(struct kernel **out, kernel_event_handler handler, void *context)
{
	struct kernel *kernel = calloc(1, sizeof(*kernel));
	int err;

	if (!kernel)
		return -ENOMEM;
	kernel->stream_bytes = STREAM_BYTES;
	kernel_rings_init(&kernel->rings, handler, context);
	err = kernel_load(kernel);
	if (!err)
		err = kernel_rings_open(&kernel->rings, bpf_map__fd(kernel->bpf->maps.lifecycle));
	if (err)
		goto out;
	malloc_trim(0); /* loading takes 16 MiB for a moment, most of it for the kernel's types */
	kernel->walk = walk_new(kernel->bpf);
	if (!kernel->walk) {
		err = -errno;
		log_error(SUBSYSTEM, "cannot go through the tasks: %s", strerror(-err));
		goto out;
	}
out:
	if (err) {
		kernel_close(kernel);
		kernel = NULL;
	}
	*out = kernel;
	return err;
}

void kernel_close(struct kernel *kernel)
{
	if (!kernel)
		return;
	hooks_free(kernel->hooks);
	stream_close(kernel->stream);
	walk_free(kernel->walk);
	kernel_rings_close(&kernel->rings);
	taskmon_bpf__destroy(kernel->bpf);
	free(kernel);
}

void kernel_set_stream_bytes(struct kernel *kernel, size_t bytes)
{
	kernel->stream_bytes = bytes;
}

u32 *kernel_heap_armed(const struct kernel *kernel)
{
	return kernel->bpf->bss->heap_armed;
}

u32 *kernel_heap_shares(const struct kernel *kernel)
{
	return kernel->bpf->bss->heap_shares;
}

void kernel_set_cgroup(struct kernel *kernel, int cgroup_fd)
{
	hooks_set_cgroup(kernel->hooks, cgroup_fd);
}

/* While their programs are detached nobody sees requests complete and tasks end. */
static void forget(struct kernel *kernel, bool watching)
{
	if (!(kernel_settings(kernel)->measured & METRIC_BIT(M_task_io_request_time_max)))
		kernel_empty(kernel->bpf->maps.requests);
	if (!watching)
		kernel_empty(kernel->bpf->maps.charges);
}

static void set_stream(struct kernel *kernel, struct stream *stream)
{
	kernel->stream = stream;
	hooks_set_map(kernel->hooks, "stream_rings", stream ? stream_rings_fd(stream) : -1);
	hooks_set_map(kernel->hooks, "stream_records", stream ? stream_records_fd(stream) : -1);
}

/* Rings of system calls before their programs. Without memory for them the programs count what is lost. */
static void open_stream(struct kernel *kernel)
{
	struct stream *stream;
	int err = stream_open(&stream, kernel->stream_bytes);

	if (err)
		log_error(SUBSYSTEM, "no memory for system calls (stream_bytes): %s", strerror(-err));
	else
		set_stream(kernel, stream);
}

static void close_stream(struct kernel *kernel)
{
	stream_close(kernel->stream);
	set_stream(kernel, NULL);
}

void kernel_need(struct kernel *kernel, u64 metrics, bool watching)
{
	struct watch_settings *settings = kernel_settings(kernel);
	bool syscalls = watching && metrics & NEED_SYSCALLS;
	u64 measured;

	if (syscalls && !kernel->stream)
		open_stream(kernel);
	forget(kernel, kernel->watching);
	settings->metrics = metrics;
	settings->measured = hooks_measured(kernel->hooks) & metrics; /* what goes away is not told any more */
	hooks_need(kernel->hooks, kernel->bpf, metrics, watching);
	measured = hooks_measured(kernel->hooks);
	if (measured & ~settings->measured & METRICS_OF_SWITCHES)
		settings->epoch++;
	settings->measured = measured;
	kernel->watching = watching;
	forget(kernel, watching);
	if (!syscalls && kernel->stream)
		close_stream(kernel);
	if (!watching)
		kernel_drain(kernel);
}

const char *kernel_not_quick(const struct kernel *kernel)
{
	return kernel->not_quick;
}

const struct hooks *kernel_hooks(const struct kernel *kernel)
{
	return kernel->hooks;
}

int kernel_add_ring(struct kernel *kernel, const char *name, size_t bytes)
{
	int fd = kernel_rings_add(&kernel->rings, name, bytes);

	if (fd < 0)
		return fd;
	hooks_set_map(kernel->hooks, name, fd);
	return 0;
}

void kernel_measure_clock(struct kernel *kernel)
{
	struct taskmon_bpf *bpf = kernel->bpf;

	bpf->bss->least_clock_distance = UINT64_MAX;
	for (int i = 0; i < CLOCK_ATTEMPTS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, run);

		sched_yield();
		if (bpf_prog_test_run_opts(bpf_program__fd(bpf->progs.measure_clock_distance), &run) || run.retval)
			return;
	}
	bpf->bss->clock_distance = bpf->bss->least_clock_distance;
}

/* A completion that was skipped would leave its request open for ever, so older ones count when they are complete, if ever. */
static void doubt_open_requests(struct kernel *kernel)
{
	u64 skipped = hooks_skipped_of(kernel->hooks, M_task_io_request_time_max);

	if (skipped != kernel->skipped_requests)
		kernel->bpf->bss->requests_doubted = clock_boot_ns();
	kernel->skipped_requests = skipped;
}

/* What is open at the beginning of a pass. */
static void prepare(struct kernel *kernel)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);

	if (!(kernel_settings(kernel)->measured & METRIC_BIT(M_task_io_request_time_max)))
		return;
	doubt_open_requests(kernel);
	bpf_prog_test_run_opts(bpf_program__fd(kernel->bpf->progs.note_requests), &run);
}

void kernel_find_connections(struct kernel *kernel)
{
	struct bpf_link *link = bpf_program__attach_iter(kernel->bpf->progs.find_connections, NULL);

	if (!link)
		log_warning(SUBSYSTEM, "open connections are not looked up: %s", strerror(errno));
	else
		walk_run_iterator(kernel->walk, bpf_link__fd(link));
	bpf_link__destroy(link);
}

int kernel_sample(struct kernel *kernel, const struct sample_request *request, bool judge, kernel_sample_handler handler,
		  void *context)
{
	int err;

	kernel_measure_clock(kernel);
	kernel->bpf->bss->settings.judging = judge;
	prepare(kernel);
	err = walk_tasks(kernel->walk, request, handler, context);
	kernel->bpf->bss->settings.judging = 0;
	/* sockets that listened before their process was judged to be watched: no event tells of them */
	if (judge && !err)
		walk_run_iterator(kernel->walk, hooks_link_fd(kernel->hooks, "iter/task_file"));
	return err;
}

int kernel_event_fd(const struct kernel *kernel)
{
	return kernel->rings.event_fd;
}

int kernel_drain(struct kernel *kernel)
{
	int err = kernel_rings_drain(&kernel->rings);

	if (!kernel->watching)
		kernel_rings_unmap(&kernel->rings);
	return err;
}

size_t kernel_drain_syscalls(struct kernel *kernel, size_t most, kernel_syscall_handler handler, void *context)
{
	return kernel->stream ? stream_read(kernel->stream, most, handler, context) : 0;
}

const char *kernel_syscalls_unavailable(const struct kernel *kernel)
{
	return hooks_need_unavailable(kernel->hooks, NEED_SYSCALLS);
}

u64 kernel_lost(const struct kernel *kernel, unsigned int watch, enum loss_cause cause)
{
	return __atomic_load_n(&kernel->bpf->bss->lost[watch][cause], __ATOMIC_RELAXED);
}

void kernel_add_loss(struct kernel *kernel, u64 watches, enum loss_cause cause, u64 count)
{
	for (unsigned int watch = 0; watch < WATCH_MAX; watch++)
		if (watches >> watch & 1)
			__atomic_fetch_add(&kernel->bpf->bss->lost[watch][cause], count, __ATOMIC_RELAXED);
}

u64 kernel_skipped(const struct kernel *kernel)
{
	return hooks_skipped(kernel->hooks);
}
