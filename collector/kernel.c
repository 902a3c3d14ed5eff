/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "clock.h"
#include "hooks.h"
#include "log.h"
#include "metric.h"
#include "rollup.h"
#include "stream.h"
#include "taskmon.skel.h"
#include "uprobe.h"
#include "walk.h"

#define SUBSYSTEM "kernel"

enum {
	RING_BYTES = 4 << 20,      /* 13 000 final records */
	NS_PER_SECOND = 1000000000,
	CLOCK_ATTEMPTS = 4,
	STREAM_BYTES = 1 << 20, /* unless the configuration says otherwise */
};

/* A metric needs this field of the kernel; `reason` is for people. */
static const struct requirement {
	u64 metrics;
	const char *type, *field;
	const char *reason;
} requirements[] = {
	{ METRIC_BIT(M_task_run_delay_ns) | METRIC_BIT(M_task_off_cpu_ns), "sched_info", "run_delay",
	  "the kernel was built without CONFIG_SCHED_INFO" },
	{ METRIC_BIT(M_task_rchar_bytes) | METRIC_BIT(M_task_wchar_bytes) | METRIC_BIT(M_task_syscr_count) |
		  METRIC_BIT(M_task_syscw_count),
	  "task_io_accounting", "rchar", "the kernel was built without CONFIG_TASK_XACCT" },
	{ METRIC_BIT(M_task_read_bytes) | METRIC_BIT(M_task_write_bytes) | METRIC_BIT(M_task_cancelled_write_bytes),
	  "task_io_accounting", "read_bytes", "the kernel was built without CONFIG_TASK_IO_ACCOUNTING" },
};

struct kernel {
	struct taskmon_bpf *bpf;
	struct hooks *hooks;
	int event_fd;  /* epoll of the rings, mapped or not */
	int more_ring; /* kernel_add_ring(); -1: none */
	struct ring_buffer *ring; /* NULL: they are not mapped */
	struct walk *walk;
	bool quick; /* programs walk by themselves; see walk.h */
	kernel_event_handler handler;
	void *context;
	bool watching;
	struct stream *stream; /* NULL: nobody wants system calls */
	size_t stream_bytes;
	u64 skipped_requests; /* by programs, as of the last pass */
	const char *unavailable[METRIC_TOTAL];
};

static int print_libbpf(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[900];

	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = '\0';
	if (level == LIBBPF_WARN)
		log_debug(NULL, "%s", line);
	return 0;
}

static bool kernel_has_field(const struct btf *btf, const char *type_name, const char *field)
{
	int id = btf__find_by_name_kind(btf, type_name, BTF_KIND_STRUCT);
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (u32)id) : NULL;

	for (int i = 0; type && i < btf_vlen(type); i++)
		if (strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), field) == 0)
			return true;
	return false;
}

void kernel_set_unavailable(struct kernel *kernel, u64 metrics, const char *reason)
{
	for (int id = 0; id < METRIC_TOTAL; id++)
		if (metrics & METRIC_BIT(id))
			kernel->unavailable[id] = reason;
}

static int find_unavailable(struct kernel *kernel)
{
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		return -ENOTSUP;
	kernel_set_unavailable(kernel, metric_walk_bits, rollup_unavailable());
	kernel_set_unavailable(kernel, METRICS_OF_HEAP, uprobe_unavailable());
	for (size_t i = 0; i < sizeof(requirements) / sizeof(requirements[0]); i++) {
		const struct requirement *need = &requirements[i];

		if (!kernel_has_field(btf, need->type, need->field))
			kernel_set_unavailable(kernel, need->metrics, need->reason);
	}
	kernel->quick = walk_is_quick(btf);
	btf__free(btf);
	return 0;
}

static int deliver(void *context, void *record, size_t size)
{
	struct kernel *kernel = context;

	kernel->handler(record, size, kernel->context);
	return 0;
}

static void unmap_ring(struct kernel *kernel)
{
	ring_buffer__free(kernel->ring);
	kernel->ring = NULL;
}

static int poll_ring(const struct kernel *kernel, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(kernel->event_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* Mapped, it counts as memory of this process: 8 MiB, twice its size. So it is while somebody watches. */
static int map_ring(struct kernel *kernel)
{
	int err;

	if (kernel->ring)
		return 0;
	kernel->ring = ring_buffer__new(bpf_map__fd(kernel->bpf->maps.lifecycle), deliver, kernel, NULL);
	err = kernel->ring ? 0 : -errno;
	if (!err && kernel->more_ring >= 0)
		err = ring_buffer__add(kernel->ring, kernel->more_ring, deliver, kernel);
	if (!err)
		return 0;
	unmap_ring(kernel);
	log_error(SUBSYSTEM, "cannot map the ring buffer: %s", strerror(-err));
	return err;
}

static struct taskmon_bpf *open_programs(void)
{
	struct taskmon_bpf *bpf = taskmon_bpf__open();
	struct bpf_program *program;
	struct timespec tick;

	if (!bpf)
		return NULL;
	/* those on functions of programs: kernel_load_programs() */
	bpf_object__for_each_program(program, bpf->obj)
		if (bpf_program__type(program) == BPF_PROG_TYPE_KPROBE)
			bpf_program__set_autoload(program, false);
	bpf->rodata->cpu_count = (u32)libbpf_num_possible_cpus();
	bpf->rodata->page_size = (u32)sysconf(_SC_PAGESIZE);
	clock_getres(CLOCK_MONOTONIC_COARSE, &tick); /* which advances at scheduler ticks */
	bpf->rodata->tick_ns = (u64)tick.tv_nsec;
	bpf->rodata->ns_per_tick = NS_PER_SECOND / (u64)sysconf(_SC_CLK_TCK);
	bpf_map__set_max_entries(bpf->maps.lifecycle, RING_BYTES);
	walk_choose(bpf, false);
	return bpf;
}

static int open_and_load(struct kernel *kernel)
{
	kernel->bpf = open_programs();
	if (!kernel->bpf)
		return -errno;
	hooks_choose(kernel->hooks, kernel->bpf, HOOKS_LIFECYCLE);
	walk_choose(kernel->bpf, kernel->quick);
	return taskmon_bpf__load(kernel->bpf);
}

/* Without one of these nothing works; they came with 5.11 and 5.17. */
static bool kernel_is_too_old(void)
{
	return libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, NULL) == 0 ||
	       libbpf_probe_bpf_helper(BPF_PROG_TYPE_TRACEPOINT, BPF_FUNC_loop, NULL) == 0;
}

static int load(struct kernel *kernel)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	int err;

	err = open_and_load(kernel);
	if (err && err != -EPERM && kernel->quick) {
		taskmon_bpf__destroy(kernel->bpf);
		kernel->quick = false;
		err = open_and_load(kernel);
	}
	if (err && err != -EPERM && !kernel_is_too_old()) {
		taskmon_bpf__destroy(kernel->bpf);
		hooks_probe_lifecycle(kernel->hooks, open_programs);
		err = open_and_load(kernel);
	}
	if (err) {
		log_error(SUBSYSTEM, "the BPF programs were not accepted: %s%s", strerror(-err),
			  err == -EPERM	     ? " (root or CAP_BPF and CAP_PERFMON are needed)" :
			  kernel_is_too_old() ? ": Linux 6.1 or later is needed" :
						" (-v tells more)");
		return err;
	}
	err = bpf_prog_test_run_opts(bpf_program__fd(kernel->bpf->progs.find_cpu_offsets), &run);
	if (err || run.retval) {
		kernel->unavailable[M_task_pm_size] = "the per-CPU memory of this kernel was not found";
		log_warning(SUBSYSTEM, "task_pm_size: %s", kernel->unavailable[M_task_pm_size]);
	}
	return 0;
}

int kernel_open(struct kernel **out, kernel_event_handler handler, void *context)
{
	struct kernel *kernel = calloc(1, sizeof(*kernel));
	int err;

	if (!kernel)
		return -ENOMEM;
	kernel->stream_bytes = STREAM_BYTES;
	kernel->more_ring = -1;
	kernel->event_fd = epoll_create1(EPOLL_CLOEXEC);
	kernel->handler = handler;
	kernel->context = context;
	libbpf_set_print(print_libbpf);
	kernel->hooks = hooks_new();
	err = kernel->hooks ? find_unavailable(kernel) : -ENOTSUP;
	if (!err)
		err = load(kernel);
	if (err)
		goto out;
	err = kernel->event_fd < 0 ? -errno : poll_ring(kernel, bpf_map__fd(kernel->bpf->maps.lifecycle));
	if (!err)
		err = map_ring(kernel);
	if (err)
		goto out;
	unmap_ring(kernel);
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
	ring_buffer__free(kernel->ring);
	if (kernel->more_ring >= 0)
		close(kernel->more_ring);
	if (kernel->event_fd >= 0)
		close(kernel->event_fd);
	taskmon_bpf__destroy(kernel->bpf);
	free(kernel);
}

void kernel_set_stream_bytes(struct kernel *kernel, size_t bytes)
{
	kernel->stream_bytes = bytes;
}

int kernel_load_programs(const struct kernel *kernel, const char *const *names, size_t count, int attach_type, int *fds)
{
	struct taskmon_bpf *bpf = hooks_open_sharing(kernel->hooks, kernel->bpf);
	int err = bpf ? 0 : -errno;

	for (size_t i = 0; i < count; i++)
		fds[i] = -1;
	for (size_t i = 0; i < count && !err; i++) {
		struct bpf_program *program = bpf_object__find_program_by_name(bpf->obj, names[i]);

		err = bpf_program__set_autoload(program, true);
		if (attach_type)
			bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)attach_type);
	}
	if (!err)
		err = taskmon_bpf__load(bpf);
	for (size_t i = 0; i < count && !err; i++) {
		fds[i] = fcntl(bpf_program__fd(bpf_object__find_program_by_name(bpf->obj, names[i])), F_DUPFD_CLOEXEC, 0);
		err = fds[i] < 0 ? -errno : 0;
	}
	for (size_t i = 0; i < count && err; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	taskmon_bpf__destroy(bpf);
	return err;
}

int kernel_map_fd(const struct kernel *kernel, const char *name)
{
	return bpf_object__find_map_fd_by_name(kernel->bpf->obj, name);
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

static void empty(const struct bpf_map *map)
{
	char key[32];

	while (bpf_map__get_next_key(map, NULL, key, bpf_map__key_size(map)) == 0)
		if (bpf_map__delete_elem(map, key, bpf_map__key_size(map), 0) && errno != ENOENT)
			return;
}

/* While their programs are detached nobody sees requests complete and tasks end. */
static void forget(struct kernel *kernel, bool watching)
{
	if (!(kernel_settings(kernel)->measured & METRIC_BIT(M_task_io_request_time_max)))
		empty(kernel->bpf->maps.requests);
	if (!watching)
		empty(kernel->bpf->maps.charges);
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

const struct hooks *kernel_hooks(const struct kernel *kernel)
{
	return kernel->hooks;
}

int kernel_add_ring(struct kernel *kernel, const char *name, size_t bytes)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, name, 0, 0, (u32)bytes, NULL);
	int err = fd < 0 ? fd : poll_ring(kernel, fd);

	if (!err && kernel->ring)
		err = ring_buffer__add(kernel->ring, fd, deliver, kernel);
	if (!err) {
		kernel->more_ring = fd;
		hooks_set_map(kernel->hooks, name, fd);
	} else if (fd >= 0) {
		close(fd);
	}
	return err;
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

struct watch_settings *kernel_settings(struct kernel *kernel)
{
	return &kernel->bpf->bss->settings;
}

static int set_or_delete(const struct bpf_map *map, const void *key, size_t key_size, u64 watches)
{
	int err;

	if (watches)
		return bpf_map__update_elem(map, key, key_size, &watches, sizeof(watches), BPF_ANY);
	err = bpf_map__delete_elem(map, key, key_size, 0);
	return err == -ENOENT ? 0 : err;
}

int kernel_set_pid_watches(struct kernel *kernel, const struct pid_key *key, u64 watches)
{
	return set_or_delete(kernel->bpf->maps.pid_watches, key, sizeof(*key), watches);
}

int kernel_set_owner_watches(struct kernel *kernel, const struct owner_key *key, u64 watches)
{
	return set_or_delete(kernel->bpf->maps.owner_watches, key, sizeof(*key), watches);
}

static struct bpf_map *table_of(const struct kernel *kernel, enum kernel_table table)
{
	struct bpf_map *const tables[TABLE_COUNT] = {
		[TABLE_NAMES] = kernel->bpf->maps.name_terms,
		[TABLE_PREFIXES] = kernel->bpf->maps.prefix_terms,
		[TABLE_ARGV] = kernel->bpf->maps.argv_terms,
		[TABLE_USERS] = kernel->bpf->maps.user_terms,
		[TABLE_CONNECTIONS] = kernel->bpf->maps.connection_terms,
		[TABLE_ARGV_FOUND] = kernel->bpf->maps.argv_found,
		[TABLE_LIMITS] = kernel->bpf->maps.limits,
		[TABLE_CLAUSES] = kernel->bpf->maps.clauses,
	};

	return tables[table];
}

int kernel_table_set(struct kernel *kernel, enum kernel_table table, const void *key, const void *value)
{
	const struct bpf_map *map = table_of(kernel, table);
	int err;

	if (value)
		return bpf_map__update_elem(map, key, bpf_map__key_size(map), value, bpf_map__value_size(map), BPF_ANY);
	err = bpf_map__delete_elem(map, key, bpf_map__key_size(map), 0);
	return err == -ENOENT ? 0 : err;
}

void kernel_table_clear(struct kernel *kernel, enum kernel_table table)
{
	const struct bpf_map *map = table_of(kernel, table);
	u8 key[sizeof(struct name_key)];

	while (bpf_map__get_next_key(map, NULL, key, bpf_map__key_size(map)) == 0)
		if (bpf_map__delete_elem(map, key, bpf_map__key_size(map), 0))
			break;
}

int kernel_facts_of(const struct kernel *kernel, int pidfd, struct term_set *facts)
{
	const struct bpf_map *map = kernel->bpf->maps.processes;
	size_t size = bpf_map__value_size(map);
	void *state = malloc(size);
	int err = state ? bpf_map__lookup_elem(map, &pidfd, sizeof(pidfd), state, size, 0) : -ENOMEM;

	*facts = (struct term_set){ 0 };
	if (!err)
		memcpy(facts, state, sizeof(*facts)); /* the first of its members */
	free(state);
	return err == -ENOENT ? 0 : err;
}

struct rule_settings *kernel_rules(struct kernel *kernel)
{
	return &kernel->bpf->bss->rules;
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

int kernel_sample(struct kernel *kernel, const struct sample_request *request, bool judge,
		  kernel_sample_handler handler, void *context)
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
	return kernel->event_fd;
}

int kernel_drain(struct kernel *kernel)
{
	int taken = map_ring(kernel);

	if (!taken)
		taken = ring_buffer__consume(kernel->ring);
	if (!kernel->watching)
		unmap_ring(kernel);
	return taken < 0 ? taken : 0;
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

const char *kernel_metric_unavailable(const struct kernel *kernel, enum metric_id id)
{
	return kernel->unavailable[id] ? kernel->unavailable[id] : hooks_metric_unavailable(kernel->hooks, id);
}
