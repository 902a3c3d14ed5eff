/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "log.h"
#include "metric.h"
#include "taskmon.skel.h"

#define SUBSYSTEM "kernel"

enum {
	RING_BYTES = 4 << 20,      /* 13 000 final records */
	READ_BYTES = 64 << 10,     /* an iterator returns 32 KiB at most (kernel/bpf/bpf_iter.c) */
	NS_PER_SECOND = 1000000000,
	CLOCK_ATTEMPTS = 4,
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

/* The lifecycle programs, in the order in which they are attached: exit first, so that nothing starts unseen to end. */
#define LIFECYCLE_HOOKS(X)                                              \
	X(on_free, sched_process_free, "final records of tasks whose exit the kernel did not show") \
	X(on_exit, sched_process_exit, "final records and exit events") \
	X(on_exec, sched_process_exec, "exec events")                   \
	X(on_rename, task_rename, "rename events")                      \
	X(on_fork, sched_process_fork, "fork events, new processes at once, following children")

enum hook_id {
#define X(program, event, purpose) HOOK_##program,
	LIFECYCLE_HOOKS(X)
#undef X
	HOOKS
};

struct kernel {
	struct taskmon_bpf *bpf;
	struct kernel_hook hooks[HOOKS];
	struct ring_buffer *ring;
	struct bpf_link *sampler;
	kernel_event_handler handler;
	void *context;
	const char *unavailable[METRIC_TOTAL];
	_Alignas(u64) char buffer[READ_BYTES];
};

static const struct kernel_hook all_hooks[HOOKS] = {
#define X(program, event, purpose) { #program, #event, purpose, 0 },
	LIFECYCLE_HOOKS(X)
#undef X
};

static struct bpf_program *program_of(const struct taskmon_bpf *bpf, enum hook_id hook)
{
	struct bpf_program *const programs[HOOKS] = {
#define X(program, event, purpose) bpf->progs.program,
		LIFECYCLE_HOOKS(X)
#undef X
	};

	return programs[hook];
}

static struct bpf_link **link_of(struct taskmon_bpf *bpf, enum hook_id hook)
{
	struct bpf_link **const links[HOOKS] = {
#define X(program, event, purpose) &bpf->links.program,
		LIFECYCLE_HOOKS(X)
#undef X
	};

	return links[hook];
}

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

static int find_unavailable(struct kernel *kernel)
{
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf) {
		log_error(SUBSYSTEM, "no BTF of the running kernel (%s): it needs CONFIG_DEBUG_INFO_BTF",
			  strerror(errno));
		return -ENOTSUP;
	}
	for (size_t i = 0; i < sizeof(requirements) / sizeof(requirements[0]); i++) {
		const struct requirement *need = &requirements[i];

		if (kernel_has_field(btf, need->type, need->field))
			continue;
		for (int id = 0; id < METRIC_TOTAL; id++)
			if (need->metrics & METRIC_BIT(id))
				kernel->unavailable[id] = need->reason;
	}
	btf__free(btf);
	return 0;
}

static int deliver(void *context, void *record, size_t size)
{
	struct kernel *kernel = context;

	kernel->handler(record, size, kernel->context);
	return 0;
}

/* Open the programs and leave out the hooks of which `wanted` has no bit. */
static struct taskmon_bpf *open_programs(unsigned int wanted)
{
	struct taskmon_bpf *bpf = taskmon_bpf__open();
	struct timespec tick;

	if (!bpf)
		return NULL;
	bpf->rodata->cpu_count = (u32)libbpf_num_possible_cpus();
	bpf->rodata->page_size = (u32)sysconf(_SC_PAGESIZE);
	clock_getres(CLOCK_MONOTONIC_COARSE, &tick); /* which advances at scheduler ticks */
	bpf->rodata->tick_ns = (u64)tick.tv_nsec;
	bpf->rodata->ns_per_tick = NS_PER_SECOND / (u64)sysconf(_SC_CLK_TCK);
	bpf_map__set_max_entries(bpf->maps.lifecycle, RING_BYTES);
	for (int hook = 0; hook < HOOKS; hook++)
		bpf_program__set_autoload(program_of(bpf, hook), wanted >> hook & 1);
	return bpf;
}

/* The kernel does not tell which program it refuses, so each is tried alone. Returns those that it accepts. */
static unsigned int probe_hooks(struct kernel *kernel)
{
	unsigned int accepted = 0;

	for (int hook = 0; hook < HOOKS; hook++) {
		struct taskmon_bpf *bpf = open_programs(1u << hook);
		int err = bpf ? taskmon_bpf__load(bpf) : -errno;

		taskmon_bpf__destroy(bpf);
		kernel->hooks[hook].error = err;
		if (err)
			log_warning(SUBSYSTEM, "no %s: %s is refused: %s (-v tells more)", kernel->hooks[hook].purpose,
				    kernel->hooks[hook].event, strerror(-err));
		else
			accepted |= 1u << hook;
	}
	return accepted;
}

static int load(struct kernel *kernel)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	int err;

	kernel->bpf = open_programs(~0u);
	err = kernel->bpf ? taskmon_bpf__load(kernel->bpf) : -errno;
	if (err && err != -EPERM && kernel->bpf) {
		taskmon_bpf__destroy(kernel->bpf);
		kernel->bpf = open_programs(probe_hooks(kernel));
		err = kernel->bpf ? taskmon_bpf__load(kernel->bpf) : -errno;
	}
	if (err) {
		log_error(SUBSYSTEM, "the BPF programs were not accepted: %s%s", strerror(-err),
			  err == -EPERM ? " (root or CAP_BPF and CAP_PERFMON are needed)" : " (-v tells more)");
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
	kernel->handler = handler;
	kernel->context = context;
	memcpy(kernel->hooks, all_hooks, sizeof(all_hooks));
	libbpf_set_print(print_libbpf);
	err = find_unavailable(kernel);
	if (!err)
		err = load(kernel);
	if (err)
		goto out;
	kernel->ring = ring_buffer__new(bpf_map__fd(kernel->bpf->maps.lifecycle), deliver, kernel, NULL);
	if (!kernel->ring) {
		err = -errno;
		log_error(SUBSYSTEM, "cannot map the ring buffer: %s", strerror(-err));
		goto out;
	}
	kernel->sampler = bpf_program__attach_iter(kernel->bpf->progs.sample_task, NULL);
	if (!kernel->sampler) {
		err = -errno;
		log_error(SUBSYSTEM, "cannot use the task iterator: %s", strerror(-err));
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
	bpf_link__destroy(kernel->sampler);
	ring_buffer__free(kernel->ring);
	taskmon_bpf__destroy(kernel->bpf);
	free(kernel);
}

void kernel_attach(struct kernel *kernel)
{
	for (int id = 0; id < HOOKS; id++) {
		struct kernel_hook *hook = &kernel->hooks[id];
		struct bpf_link **link = link_of(kernel->bpf, id);

		if (*link || !bpf_program__autoload(program_of(kernel->bpf, id)))
			continue;
		*link = bpf_program__attach(program_of(kernel->bpf, id));
		hook->error = *link ? 0 : -errno;
		if (hook->error)
			log_warning(SUBSYSTEM, "no %s: cannot attach to %s: %s", hook->purpose, hook->event,
				    strerror(-hook->error));
	}
}

void kernel_detach(struct kernel *kernel)
{
	for (int id = 0; id < HOOKS; id++) {
		struct bpf_link **link = link_of(kernel->bpf, id);

		bpf_link__destroy(*link);
		*link = NULL;
	}
}

size_t kernel_hooks(const struct kernel *kernel, const struct kernel_hook **hooks)
{
	*hooks = kernel->hooks;
	return HOOKS;
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

int kernel_sample(struct kernel *kernel, const struct sample_request *request, bool judge,
		  kernel_sample_handler handler, void *context)
{
	int fd = bpf_iter_create(bpf_link__fd(kernel->sampler));
	ssize_t size;
	int err = 0;

	if (fd < 0) {
		log_error(SUBSYSTEM, "cannot start a pass: %s", strerror(-fd));
		return fd;
	}
	kernel_measure_clock(kernel);
	kernel->bpf->bss->request = *request;
	kernel->bpf->bss->settings.judging = judge;
	while ((size = read(fd, kernel->buffer, sizeof(kernel->buffer))) != 0) {
		if (size < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue; /* EAGAIN: the kernel paused after a million tasks without a record */
			err = -errno;
			log_error(SUBSYSTEM, "a pass broke off: %s", strerror(errno));
			break;
		}
		for (ssize_t at = 0; at + (ssize_t)sizeof(struct task_record) <= size; at += sizeof(struct task_record))
			handler((const struct task_record *)(kernel->buffer + at), context);
	}
	kernel->bpf->bss->settings.judging = 0;
	close(fd);
	return err;
}

int kernel_event_fd(const struct kernel *kernel)
{
	return ring_buffer__epoll_fd(kernel->ring);
}

int kernel_drain(struct kernel *kernel)
{
	int taken = ring_buffer__consume(kernel->ring);

	return taken < 0 ? taken : 0;
}

u64 kernel_lost(const struct kernel *kernel, unsigned int watch, enum loss_cause cause)
{
	return __atomic_load_n(&kernel->bpf->bss->lost[watch][cause], __ATOMIC_RELAXED);
}

static u64 skipped(const struct bpf_program *program)
{
	struct bpf_prog_info info = { 0 };
	u32 size = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) ? 0 : info.recursion_misses;
}

u64 kernel_skipped(const struct kernel *kernel)
{
	u64 sum = 0;

	for (int id = 0; id < HOOKS; id++)
		if (bpf_program__autoload(program_of(kernel->bpf, id)))
			sum += skipped(program_of(kernel->bpf, id));
	return sum;
}

const char *kernel_metric_unavailable(const struct kernel *kernel, enum metric_id id)
{
	return kernel->unavailable[id];
}
