/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "hooks.h"
#include "log.h"
#include "metric.h"
#include "rollup.h"
#include "uprobe.h"
#include "walk.h"

#define SUBSYSTEM "kernel"

enum {
	RING_BYTES = 4 << 20, /* 13 000 final records */
	NS_PER_SECOND = 1000000000,
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

const char *kernel_metric_unavailable(const struct kernel *kernel, enum metric_id id)
{
	return kernel->unavailable[id] ? kernel->unavailable[id] : hooks_metric_unavailable(kernel->hooks, id);
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
	kernel->not_quick = walk_not_quick(btf);
	btf__free(btf);
	return 0;
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
	walk_choose(kernel->bpf, !kernel->not_quick);
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
	if (err && err != -EPERM && !kernel->not_quick) {
		taskmon_bpf__destroy(kernel->bpf);
		kernel->not_quick = "the kernel did not accept the program (-v tells more)";
		err = open_and_load(kernel);
	}
	if (err && err != -EPERM && !kernel_is_too_old()) {
		taskmon_bpf__destroy(kernel->bpf);
		hooks_probe_lifecycle(kernel->hooks, open_programs);
		err = open_and_load(kernel);
	}
	if (err) {
		log_error(SUBSYSTEM, "the BPF programs were not accepted: %s%s", strerror(-err),
			  err == -EPERM       ? " (root or CAP_BPF and CAP_PERFMON are needed)" :
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

int kernel_load(struct kernel *kernel)
{
	int err;

	libbpf_set_print(print_libbpf);
	kernel->hooks = hooks_new();
	err = kernel->hooks ? find_unavailable(kernel) : -ENOTSUP;
	return err ? err : load(kernel);
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
