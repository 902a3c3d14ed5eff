/* SPDX-License-Identifier: BSD-2-Clause */
#include "hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "log.h"
#include "metric.h"
#include "taskmon.skel.h"

#define SUBSYSTEM "kernel"

#define BIT(name) METRIC_BIT(M_task_##name)
#define FAILS (BIT(syscall_fails) | BIT(syscall_fails_hard))
#define FOR_SOCKETS (METRICS_OF_SOCKETS | NEED_CONNECTIONS)
#define CACHE_ADD (BIT(page_cache_count) | BIT(page_cache_add_count))
#define CACHE_DIRTY (BIT(page_cache_count) | BIT(page_cache_dirty_count))

/*
 * Lifecycle programs first, and of those the ones at the end of a task, so that nothing starts unseen to end. They have a
 * purpose of their own and are attached whenever anything is watched; the others while a metric needs them.
 */
static const struct hook table[] = {
	{ "on_free", "sched_process_free", 0, "final records of tasks whose exit the kernel did not show", NULL },
	{ "on_exit", "sched_process_exit", 0, "final records and exit events", NULL },
	{ "on_exec", "sched_process_exec", BIT(exec_count), "exec events", NULL },
	{ "on_rename", "task_rename", 0, "rename events", NULL },
	{ "on_fork", "sched_process_fork", BIT(fork_count) | BIT(thread_create_count),
	  "fork events, new processes at once, following children", NULL },
	{ "on_switch", "sched_switch", METRICS_OF_SWITCHES, NULL, NULL },
	{ "on_signal", "signal_deliver", BIT(signal_count), NULL, NULL },
	{ "on_sys_enter", "sys_enter", BIT(syscall_count), NULL, NULL },
	{ "on_sys_exit", "sys_exit", FAILS, NULL, NULL },
	{ "stream_leave", "sys_exit", NEED_SYSCALLS, NULL, NULL },
	{ "stream_enter", "sys_enter", NEED_SYSCALLS, NULL, NULL },
	{ "on_accept", "sys_exit", BIT(accept_count), NULL, NULL },
	{ "on_bio_complete", "block_bio_complete", BIT(io_request_time_max), NULL, NULL },
	{ "on_request_complete", "block_rq_complete", BIT(io_request_time_max), NULL, NULL },
	{ "on_bio_split", "block_split", BIT(io_request_time_max), NULL, NULL },
	{ "on_bio_queue", "block_bio_queue", BIT(io_request_time_max), NULL, NULL },
	{ "on_cache_add", "mm_filemap_add_to_page_cache", CACHE_ADD, NULL, NULL },
	{ "on_cache_dirty", "writeback_dirty_folio", CACHE_DIRTY, NULL, NULL },
	{ "on_cache_dirty_page", "writeback_dirty_page", CACHE_DIRTY, NULL, "writeback_dirty_folio" },
	{ "on_send", "sock_send_length", BIT(net_tx_bytes) | FOR_SOCKETS, NULL, NULL },
	{ "on_inet_sendmsg", "fexit/inet_sendmsg", BIT(net_tx_bytes) | FOR_SOCKETS, NULL, "sock_send_length" },
	{ "on_inet6_sendmsg", "fexit/inet6_sendmsg", BIT(net_tx_bytes) | FOR_SOCKETS, NULL, "sock_send_length" },
	{ "on_unix_stream_sendmsg", "fexit/unix_stream_sendmsg", BIT(net_tx_bytes) | FOR_SOCKETS, NULL, "sock_send_length" },
	{ "on_unix_dgram_sendmsg", "fexit/unix_dgram_sendmsg", BIT(net_tx_bytes) | FOR_SOCKETS, NULL, "sock_send_length" },
	{ "on_netlink_sendmsg", "fexit/netlink_sendmsg", BIT(net_tx_bytes) | FOR_SOCKETS, NULL, "sock_send_length" },
	{ "on_receive", "sock_recv_length", BIT(net_rx_bytes) | FOR_SOCKETS, NULL, NULL },
	{ "on_recvmsg", "fexit/sock_recvmsg", BIT(net_rx_bytes) | FOR_SOCKETS, NULL, "sock_recv_length" },
	{ "on_tcp_state", "inet_sock_set_state", BIT(connect_count) | FOR_SOCKETS, NULL, NULL },
	{ "find_listeners", "iter/task_file", METRICS_OF_LINK, NULL, NULL },
	{ "on_retransmit", "tcp_retransmit_skb", BIT(retransmit_count), NULL, NULL },
	{ "on_packet_in", "cgroup_skb/ingress", METRICS_OF_LINK, NULL, NULL },
	{ "on_packet_out", "cgroup_skb/egress", METRICS_OF_LINK, NULL, NULL },
};

enum { HOOKS = sizeof(table) / sizeof(table[0]), REASON_BYTES = 96, OTHER_MAPS_MAX = 4 };
_Static_assert(HOOKS <= 64, "sets of hooks are one u64");

struct hooks {
	int cgroup_fd;
	u64 metrics; /* that are wanted now */
	u64 skipped; /* by programs that are detached again */
	struct {
		const char *name; /* NULL: free */
		int fd;
	} other_maps[OTHER_MAPS_MAX];
	struct attached {
		char reason[REASON_BYTES]; /* why it cannot be used; empty: it can */
		struct bpf_link *link;
		int program_fd;
	} hooks[HOOKS];
};

static bool is_lifecycle(size_t i)
{
	return table[i].purpose != NULL;
}

static bool is_cgroup_hook(size_t i)
{
	return strncmp(table[i].event, "cgroup_skb/", 11) == 0;
}

static bool exists(const struct btf *btf, const char *event)
{
	char typedef_name[80];

	if (strncmp(event, "cgroup_skb/", 11) == 0 || strncmp(event, "iter/", 5) == 0)
		return true;
	if (strncmp(event, "fexit/", 6) == 0)
		return btf__find_by_name_kind(btf, event + 6, BTF_KIND_FUNC) > 0;
	snprintf(typedef_name, sizeof(typedef_name), "btf_trace_%s", event);
	return btf__find_by_name_kind(btf, typedef_name, BTF_KIND_TYPEDEF) > 0;
}

struct hooks *hooks_new(void)
{
	struct hooks *hooks = calloc(1, sizeof(*hooks));
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		log_error(SUBSYSTEM, "no BTF of the running kernel (%s): it needs CONFIG_DEBUG_INFO_BTF", strerror(errno));
	if (!btf || !hooks) {
		btf__free(btf);
		free(hooks);
		return NULL;
	}
	hooks->cgroup_fd = -1;
	for (size_t i = 0; i < HOOKS; i++) {
		hooks->hooks[i].program_fd = -1;
		if (!exists(btf, table[i].event))
			snprintf(hooks->hooks[i].reason, REASON_BYTES, "%s: not in this kernel", table[i].event);
		else if (is_cgroup_hook(i))
			snprintf(hooks->hooks[i].reason, REASON_BYTES, "no cgroup v2 to attach to");
	}
	btf__free(btf);
	return hooks;
}

void hooks_set_cgroup(struct hooks *hooks, int cgroup_fd)
{
	hooks->cgroup_fd = cgroup_fd;
	for (size_t i = 0; i < HOOKS && cgroup_fd >= 0; i++)
		if (is_cgroup_hook(i))
			hooks->hooks[i].reason[0] = '\0';
}

/* --- which hooks */

size_t hooks_table(const struct hook **rows)
{
	*rows = table;
	return HOOKS;
}

const char *hooks_reason(const struct hooks *hooks, size_t i)
{
	return hooks->hooks[i].reason[0] ? hooks->hooks[i].reason : NULL;
}

static size_t find_event(const char *event)
{
	size_t i = 0;

	while (i < HOOKS && strcmp(table[i].event, event) != 0)
		i++;
	return i;
}

bool hooks_spare(const struct hooks *hooks, size_t i)
{
	return table[i].instead_of && !hooks_reason(hooks, find_event(table[i].instead_of));
}

static bool has_stand_in(const struct hooks *hooks, const char *event)
{
	for (size_t i = 0; i < HOOKS; i++)
		if (table[i].instead_of && strcmp(table[i].instead_of, event) == 0 && !hooks_reason(hooks, i))
			return true;
	return false;
}

const char *hooks_need_unavailable(const struct hooks *hooks, u64 need)
{
	for (size_t i = 0; i < HOOKS; i++)
		if (table[i].metrics & need && !table[i].instead_of && hooks_reason(hooks, i) &&
		    !has_stand_in(hooks, table[i].event))
			return hooks_reason(hooks, i);
	return NULL;
}

const char *hooks_metric_unavailable(const struct hooks *hooks, enum metric_id id)
{
	return hooks_need_unavailable(hooks, METRIC_BIT(id));
}

static bool is_needed(const struct hooks *hooks, size_t i, u64 metrics, bool watching)
{
	u64 possible = metrics & NEEDS_BESIDE_METRICS;

	if (hooks_reason(hooks, i) || hooks_spare(hooks, i))
		return false;
	if (is_lifecycle(i))
		return watching;
	for (int id = 0; id < METRIC_TOTAL; id++)
		if (metrics & METRIC_BIT(id) && !hooks_metric_unavailable(hooks, (enum metric_id)id))
			possible |= METRIC_BIT(id);
	return watching && table[i].metrics & possible;
}

u64 hooks_measured(const struct hooks *hooks)
{
	u64 measured = hooks->metrics & metric_hook_bits;

	for (size_t i = 0; i < HOOKS; i++)
		if (!hooks->hooks[i].link && !hooks_spare(hooks, i) &&
		    !(hooks_reason(hooks, i) && has_stand_in(hooks, table[i].instead_of ? table[i].instead_of : table[i].event)))
			measured &= ~table[i].metrics;
	return measured;
}

/* --- loading */

static struct bpf_program *program_of(const struct taskmon_bpf *bpf, size_t i)
{
	return bpf_object__find_program_by_name(bpf->obj, table[i].program);
}

void hooks_choose(const struct hooks *hooks, struct taskmon_bpf *bpf, int one)
{
	for (size_t i = 0; i < HOOKS; i++)
		bpf_program__set_autoload(program_of(bpf, i),
					  one == HOOKS_LIFECYCLE ? is_lifecycle(i) && !hooks_reason(hooks, i) : i == (size_t)one);
}

static void refuse(struct hooks *hooks, size_t i, const char *what, int err)
{
	const struct hook *hook = &table[i];

	snprintf(hooks->hooks[i].reason, REASON_BYTES, "%s: %s: %s", hook->event, what, strerror(-err));
	if (hook->purpose)
		log_warning(SUBSYSTEM, "no %s: %s (-v tells more)", hook->purpose, hooks->hooks[i].reason);
	else
		log_warning(SUBSYSTEM, "%s (-v tells more); metrics that need it are absent", hooks->hooks[i].reason);
}

/* The kernel does not tell which program of an object it refuses, so each is tried alone. */
void hooks_probe_lifecycle(struct hooks *hooks, struct taskmon_bpf *(*open)(void))
{
	for (size_t i = 0; i < HOOKS; i++) {
		struct taskmon_bpf *bpf;
		int err;

		if (!is_lifecycle(i) || hooks_reason(hooks, i))
			continue;
		bpf = open();
		if (bpf)
			hooks_choose(hooks, bpf, (int)i);
		err = bpf ? taskmon_bpf__load(bpf) : -errno;
		taskmon_bpf__destroy(bpf);
		if (err)
			refuse(hooks, i, "the kernel refuses the program", err);
	}
}

void hooks_set_map(struct hooks *hooks, const char *name, int fd)
{
	size_t i = 0;

	while (i < OTHER_MAPS_MAX && hooks->other_maps[i].name && strcmp(hooks->other_maps[i].name, name) != 0)
		i++;
	if (i < OTHER_MAPS_MAX) {
		hooks->other_maps[i].name = name;
		hooks->other_maps[i].fd = fd;
	}
}

/* What an object shall use in place of a map of its own. */
static int shared_map_fd(const struct hooks *hooks, const struct taskmon_bpf *main_object, const char *name)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(main_object->obj, name);

	for (size_t i = 0; i < OTHER_MAPS_MAX; i++)
		if (hooks->other_maps[i].name && hooks->other_maps[i].fd >= 0 && strcmp(hooks->other_maps[i].name, name) == 0)
			return hooks->other_maps[i].fd;
	return map ? bpf_map__fd(map) : -ENOENT;
}

/*
 * A loaded object cannot load more programs, and one that holds programs which nobody needs would cost memory and make users
 * wonder. So hooks come and go with objects of their own, which share the maps of the first. The lifecycle programs are in
 * that one.
 */
struct taskmon_bpf *hooks_open_sharing(const struct hooks *hooks, const struct taskmon_bpf *main_object)
{
	struct taskmon_bpf *bpf = taskmon_bpf__open();
	struct bpf_program *program;
	struct bpf_map *map;
	int err = bpf ? 0 : -errno;

	if (!bpf)
		return NULL;
	bpf_object__for_each_program(program, bpf->obj)
		bpf_program__set_autoload(program, false);
	bpf_object__for_each_map(map, bpf->obj) {
		int shared = shared_map_fd(hooks, main_object, bpf_map__name(map));

		if (!err)
			err = shared < 0 ? shared : bpf_map__reuse_fd(map, shared);
	}
	if (!err)
		return bpf;
	taskmon_bpf__destroy(bpf);
	errno = -err;
	return NULL;
}

static struct taskmon_bpf *load_sharing(const struct hooks *hooks, const struct taskmon_bpf *main_object, u64 wanted)
{
	struct taskmon_bpf *bpf = hooks_open_sharing(hooks, main_object);
	int err;

	if (!bpf)
		return NULL;
	for (size_t i = 0; i < HOOKS; i++)
		if (wanted >> i & 1)
			bpf_program__set_autoload(program_of(bpf, i), true);
	err = taskmon_bpf__load(bpf);
	if (!err)
		return bpf;
	taskmon_bpf__destroy(bpf);
	errno = -err;
	return NULL;
}

/* --- attaching */

static void attach(struct hooks *hooks, size_t i, struct taskmon_bpf *bpf)
{
	struct attached *hook = &hooks->hooks[i];
	struct bpf_program *program = program_of(bpf, i);

	hook->link = is_cgroup_hook(i) ? bpf_program__attach_cgroup(program, hooks->cgroup_fd) : bpf_program__attach(program);
	if (!hook->link) {
		refuse(hooks, i, "cannot be attached", -errno);
		return;
	}
	hook->program_fd = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0);
}

static u64 skipped_by(int program_fd)
{
	struct bpf_prog_info info = { 0 };
	u32 size = sizeof(info);

	return program_fd < 0 || bpf_obj_get_info_by_fd(program_fd, &info, &size) ? 0 : info.recursion_misses;
}

static void detach(struct hooks *hooks, size_t i)
{
	struct attached *hook = &hooks->hooks[i];

	if (!hook->link)
		return;
	hooks->skipped += skipped_by(hook->program_fd);
	bpf_link__destroy(hook->link);
	hook->link = NULL;
	if (hook->program_fd >= 0)
		close(hook->program_fd);
	hook->program_fd = -1;
}

static void attach_with_own_object(struct hooks *hooks, struct taskmon_bpf *main_object, u64 wanted)
{
	struct taskmon_bpf *bpf = load_sharing(hooks, main_object, wanted);

	if (!bpf && !(wanted & (wanted - 1))) {
		refuse(hooks, (size_t)__builtin_ctzll(wanted), "the kernel refuses the program", -errno);
		return;
	}
	for (size_t i = 0; i < HOOKS; i++) {
		if (!(wanted >> i & 1))
			continue;
		if (bpf)
			attach(hooks, i, bpf);
		else
			attach_with_own_object(hooks, main_object, 1ULL << i); /* find out which it is */
	}
	taskmon_bpf__destroy(bpf);
	malloc_trim(0); /* see kernel_open() */
}

static u64 needed_and_missing(const struct hooks *hooks, u64 metrics, bool watching)
{
	u64 missing = 0;

	for (size_t i = 0; i < HOOKS; i++)
		if (!hooks->hooks[i].link && is_needed(hooks, i, metrics, watching))
			missing |= 1ULL << i;
	return missing;
}

void hooks_need(struct hooks *hooks, struct taskmon_bpf *bpf, u64 metrics, bool watching)
{
	u64 missing;

	hooks->metrics = metrics;
	/* one that fails makes a stand-in necessary, or others needless */
	while ((missing = needed_and_missing(hooks, metrics, watching))) {
		u64 others = 0;

		for (size_t i = 0; i < HOOKS; i++) {
			if (missing >> i & 1 && is_lifecycle(i))
				attach(hooks, i, bpf);
			else if (missing >> i & 1)
				others |= 1ULL << i;
		}
		if (others)
			attach_with_own_object(hooks, bpf, others);
	}
	for (size_t i = 0; i < HOOKS; i++)
		if (!is_needed(hooks, i, metrics, watching))
			detach(hooks, i);
}

int hooks_link_fd(const struct hooks *hooks, const char *event)
{
	size_t i = find_event(event);

	return i < HOOKS && hooks->hooks[i].link ? bpf_link__fd(hooks->hooks[i].link) : -1;
}

static u64 skipped_by_those_for(const struct hooks *hooks, u64 metrics)
{
	u64 sum = 0;

	for (size_t i = 0; i < HOOKS; i++)
		if (table[i].metrics & metrics || metrics == UINT64_MAX)
			sum += skipped_by(hooks->hooks[i].program_fd);
	return sum;
}

u64 hooks_skipped(const struct hooks *hooks)
{
	return hooks->skipped + skipped_by_those_for(hooks, UINT64_MAX);
}

u64 hooks_skipped_of(const struct hooks *hooks, enum metric_id id)
{
	return skipped_by_those_for(hooks, METRIC_BIT(id));
}

void hooks_free(struct hooks *hooks)
{
	if (!hooks)
		return;
	for (size_t i = 0; i < HOOKS; i++)
		detach(hooks, i);
	free(hooks);
}
