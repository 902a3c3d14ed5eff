/* SPDX-License-Identifier: BSD-2-Clause */
#include "heap_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "access.h"
#include "clock.h"
#include "closer.h"
#include "heap_probes.h"
#include "heap_slots.h"
#include "kernel.h"
#include "log.h"

#define SUBSYSTEM "heap"

enum { EVENTS = 16, MAPPED_MS = 20, MAPPED_SHARE = 10, READY_FIRST = 2, TURN_MS = 100, ANSWER_MS = 2000 };
#define NS_PER_MS 1000000ULL

/* A process that is probed. */
struct probed {
	LIST_ENTRY(probed) link;
	pid_t tgid;
	u64 start_time_ns;
	u32 slot, uid;
	int pidfd; /* readable when it has ended */
	struct heap_probes *probes;
	u64 watches; /* that wanted it first */
	u64 next_ns; /* not before that are its files looked at again; 0: they never were */
	bool mapped; /* others may be mapped since */
	bool found;  /* it was there when it came to be wanted: nobody expects to know what it did before */
};
LIST_HEAD(probed_list, probed);

struct heap_worker {
	pthread_t thread;
	struct kernel *kernel;
	struct heap_limits limits;
	struct heap_orders *orders;
	int epoll_fd;
	struct ring_buffer *notices;
	u64 turn_ends_ns; /* then other things than notices are looked at */
	struct heap_slots *slots;
	struct heap_programs programs;
	bool loaded;
	u32 era; /* as last seen in the orders */
	struct probed_list processes;
	size_t count;
};

static struct probed *find(const struct heap_worker *worker, pid_t tgid, u64 start_time_ns)
{
	struct probed *process;

	LIST_FOREACH(process, &worker->processes, link)
		if (process->tgid == tgid && process->start_time_ns == start_time_ns)
			return process;
	return NULL;
}

static struct probed *find_tgid(const struct heap_worker *worker, pid_t tgid)
{
	struct probed *process;

	LIST_FOREACH(process, &worker->processes, link)
		if (process->tgid == tgid)
			return process;
	return NULL;
}

static void end(struct heap_worker *worker, struct probed *process)
{
	LIST_REMOVE(process, link);
	worker->count--;
	kernel_heap_armed(worker->kernel)[process->slot] = 0;
	heap_slots_remove(worker->slots, process->tgid, process->slot);
	heap_probes_free(process->probes);
	heap_slots_give_back(worker->slots, process->slot);
	if (process->pidfd >= 0)
		close(process->pidfd); /* and with it leaves the epoll set */
	free(process);
}

static void end_all(struct heap_worker *worker)
{
	struct probed *process;

	while ((process = LIST_FIRST(&worker->processes)))
		end(worker, process);
}

/* --- orders */

static void load(struct heap_worker *worker)
{
	worker->loaded = heap_programs_load(&worker->programs) == 0;
	heap_slots_keep_ready(worker->slots, worker->loaded);
	if (!worker->loaded)
		kernel_set_unavailable(worker->kernel, METRICS_OF_HEAP, "the kernel refuses the programs on functions");
}

static void unload(struct heap_worker *worker)
{
	if (!worker->loaded)
		return;
	heap_slots_keep_ready(worker->slots, false);
	heap_programs_unload(&worker->programs);
	worker->loaded = false;
	heap_probes_forget_files();
}

/* What is wanted at this moment; heaps of another era are ended. */
static void adopt(struct heap_worker *worker)
{
	u32 era;
	bool wanted;

	pthread_mutex_lock(&worker->orders->mutex);
	era = worker->orders->era;
	wanted = worker->orders->wanted && !worker->orders->stop;
	pthread_mutex_unlock(&worker->orders->mutex);
	if (era != worker->era || !wanted)
		end_all(worker);
	worker->era = era;
	if (wanted && !worker->loaded)
		load(worker);
	else if (!wanted)
		unload(worker);
}

/* --- beginning */

static bool is_the_one(const struct heap_notice *notice)
{
	u64 ns_per_tick = 1000000000 / (u64)sysconf(_SC_CLK_TCK);
	struct pid_key key;

	return access_process_key((pid_t)notice->tgid, &key) == 0 && key.start_ticks == notice->start_time_ns / ns_per_tick;
}

static bool is_over_limit(const struct heap_worker *worker, u32 uid)
{
	const struct probed *process;
	size_t of_user = 0;

	LIST_FOREACH(process, &worker->processes, link)
		of_user += process->uid == uid;
	return worker->count >= worker->limits.processes || (uid != 0 && of_user >= worker->limits.processes_per_user);
}

/* What a process has called before there were probes on it is in no ledger. Of memory that is its parent's we have no account anyway. */
static void tell_late(struct heap_worker *worker, const struct probed *process)
{
	struct process_heap heap = { .watches = process->watches };

	heap_slots_look(worker->slots, process->tgid, process->slot, &heap);
	if (!heap.borrowed)
		kernel_add_loss(worker->kernel, heap.watches, LOSS_HEAP_LATE, 1);
}

static void update(struct heap_worker *worker, struct probed *process, const struct heap_probes *parent)
{
	u64 began_ns = clock_boot_ns(), now_ns, rest_ns;
	size_t before = heap_probes_count(process->probes);
	int err = 0;

	closer_pause(worker->programs.closer, true);
	if (parent) {
		err = heap_probes_inherit(process->probes, parent);
		kernel_heap_armed(worker->kernel)[process->slot] = heap_probes_armed(process->probes);
	}
	err = err ? err : heap_probes_update(process->probes);
	closer_pause(worker->programs.closer, false);
	if (process->next_ns ? heap_probes_count(process->probes) > before : !process->found)
		tell_late(worker, process);
	process->mapped = false;
	now_ns = clock_boot_ns();
	rest_ns = (MAPPED_SHARE - 1) * (now_ns - began_ns);
	process->next_ns = now_ns + (rest_ns > MAPPED_MS * NS_PER_MS ? rest_ns : MAPPED_MS * NS_PER_MS);
	if (err && err != -ESRCH)
		log_debug(SUBSYSTEM, "process %d: not all is probed: %s", (int)process->tgid, strerror(-err));
	kernel_heap_armed(worker->kernel)[process->slot] = heap_probes_armed(process->probes);
}

static struct probed *add(struct heap_worker *worker, const struct heap_notice *notice)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct probed *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	*process = (struct probed){ .tgid = (pid_t)notice->tgid, .start_time_ns = notice->start_time_ns, .uid = notice->uid };
	process->watches = notice->watches;
	process->found = (pid_t)notice->tid == getpid();
	process->slot = notice->slot;
	process->probes = heap_probes_new(process->tgid, &worker->programs);
	process->pidfd = pidfd_open(process->tgid, 0);
	LIST_INSERT_HEAD(&worker->processes, process, link);
	worker->count++;
	event.data.ptr = process;
	if (process->probes && process->pidfd >= 0 && is_the_one(notice) &&
	    epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, process->pidfd, &event) == 0)
		return process;
	if (!process->found)
		tell_late(worker, process);
	end(worker, process); /* it has gone already */
	return NULL;
}

static void refuse(struct heap_worker *worker, const struct heap_notice *notice)
{
	if (!notice->slot)
		return;
	heap_slots_remove(worker->slots, (pid_t)notice->tgid, notice->slot);
	heap_slots_give_back(worker->slots, notice->slot);
}

static void on_wanted(struct heap_worker *worker, const struct heap_notice *notice)
{
	struct heap_notice with_slot = *notice;
	struct probed *process = find(worker, (pid_t)notice->tgid, notice->start_time_ns), *parent;

	if (process)
		return; /* wanted again before it had a heap */
	if (is_over_limit(worker, notice->uid)) {
		log_debug(SUBSYSTEM, "process %u: too many processes are probed already", notice->tgid);
		kernel_add_loss(worker->kernel, notice->watches, LOSS_HEAP_FULL, 1);
		refuse(worker, notice);
		return;
	}
	if (!notice->slot) {
		with_slot.slot = heap_slots_insert(worker->slots, notice);
		if (!with_slot.slot) {
			kernel_add_loss(worker->kernel, notice->watches, LOSS_HEAP_FULL, 1);
			return;
		}
	}
	process = add(worker, &with_slot);
	if (!process)
		return;
	parent = find_tgid(worker, (pid_t)notice->tid);
	update(worker, process, parent && parent != process ? parent->probes : NULL);
}

static void on_unwanted(struct heap_worker *worker, struct probed *process)
{
	struct process_heap heap;

	if (!heap_slots_look(worker->slots, process->tgid, process->slot, &heap) || !heap.watches)
		end(worker, process);
}

static void on_moved(struct heap_worker *worker, struct probed *process, const struct heap_notice *notice)
{
	int err = heap_probes_move(process->probes, notice->type == HEAP_LEFT ? (pid_t)notice->tid : 0);

	if (err && err != -ESRCH)
		log_warning(SUBSYSTEM, "process %d is not probed as a whole any more: %s", (int)process->tgid, strerror(-err));
	update(worker, process, NULL);
}

static void on_exec(struct heap_worker *worker, struct probed *process)
{
	heap_probes_executed(process->probes);
	update(worker, process, NULL);
}

static void serve_notice(struct heap_worker *worker, const struct heap_notice *notice)
{
	struct probed *process;

	adopt(worker);
	if (notice->type == HEAP_WANTED) {
		heap_slots_taken(worker->slots, notice->slot);
		if (notice->era == worker->era && worker->loaded)
			on_wanted(worker, notice);
		else
			refuse(worker, notice);
		return;
	}
	process = find(worker, (pid_t)notice->tgid, notice->start_time_ns);
	if (!process || notice->era != worker->era)
		return;
	if (notice->type == HEAP_UNWANTED)
		on_unwanted(worker, process);
	else if (notice->type == HEAP_MOVED || notice->type == HEAP_LEFT)
		on_moved(worker, process, notice);
	else if (notice->type == HEAP_MAPPED)
		process->mapped = true;
	else
		on_exec(worker, process);
}

static int on_notice(void *context, void *data, size_t size)
{
	struct heap_worker *worker = context;

	if (size >= sizeof(struct heap_notice))
		serve_notice(worker, data);
	return clock_boot_ns() < worker->turn_ends_ns ? 0 : -ECANCELED; /* this one has been taken */
}

/* Where processes come and go faster than they can be probed, there is always one more notice. */
static void take_notices(struct heap_worker *worker, u64 for_ms)
{
	worker->turn_ends_ns = clock_boot_ns() + for_ms * NS_PER_MS;
	ring_buffer__consume(worker->notices);
}

/*
 * A program that loads libraries all the time, or such as take long to be looked at, must not keep us from all else: each has a tenth of
 * our time at most, and is looked at at once if it was not for a while. Returns how many milliseconds are left until the next one is due; -1: there is none.
 */
static int update_mapped(struct heap_worker *worker)
{
	struct probed *process;
	int wait_ms = -1;

	LIST_FOREACH(process, &worker->processes, link) {
		if (!process->mapped)
			continue;
		if (clock_boot_ns() >= process->next_ns)
			update(worker, process, NULL);
		else
			wait_ms = MAPPED_MS;
	}
	return wait_ms;
}

/* False: it shall end. */
static bool obey(struct heap_worker *worker)
{
	struct heap_orders *orders = worker->orders;
	u64 count, asked;
	bool stop;

	if (read(orders->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_debug(SUBSYSTEM, "orders: %s", strerror(errno));
	pthread_mutex_lock(&orders->mutex);
	asked = orders->asked;
	stop = orders->stop;
	pthread_mutex_unlock(&orders->mutex);
	adopt(worker);
	take_notices(worker, asked != orders->done && !stop ? ANSWER_MS : TURN_MS); /* who asks waits for those there are */
	/* what is launched now may create processes at once */
	while (worker->loaded && heap_slots_ready(worker->slots) < READY_FIRST && heap_slots_step(worker->slots))
		;
	pthread_mutex_lock(&orders->mutex);
	if (orders->done != asked && orders->tell)
		orders->tell(orders->context);
	orders->done = asked;
	pthread_mutex_unlock(&orders->mutex);
	return !stop;
}

/* Its events come from its own file descriptors: the orders, the notices, and a descriptor for each process. */
static void *work(void *context)
{
	struct heap_worker *worker = context;
	struct epoll_event events[EVENTS];
	bool go_on = true;

	while (go_on) {
		int wait_ms = update_mapped(worker);
		int count = epoll_wait(worker->epoll_fd, events, EVENTS, 0);

		/* what is asked of us comes first */
		if (count == 0 && !heap_slots_step(worker->slots))
			count = epoll_wait(worker->epoll_fd, events, EVENTS, wait_ms);

		if (count < 0 && errno != EINTR)
			break;
		for (int i = 0; i < count; i++)
			if (events[i].data.ptr && events[i].data.ptr != worker->notices)
				end(worker, events[i].data.ptr);
		for (int i = 0; i < count; i++)
			if (!events[i].data.ptr)
				go_on = obey(worker); /* notices may have come because of the orders */
		take_notices(worker, TURN_MS);
	}
	return NULL;
}

static int watch_fd(struct heap_worker *worker, int fd, void *what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static void free_worker(struct heap_worker *worker)
{
	ring_buffer__free(worker->notices);
	heap_slots_free(worker->slots);
	closer_free(worker->programs.closer);
	if (worker->epoll_fd >= 0)
		close(worker->epoll_fd);
	free(worker);
}

/* A descriptor for each probe: dozens a process. */
static void allow_many_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

struct heap_worker *heap_worker_start(struct kernel *kernel, const struct heap_limits *limits, struct heap_orders *orders)
{
	struct heap_worker *worker = calloc(1, sizeof(*worker));
	int err;

	if (!worker)
		return NULL;
	*worker = (struct heap_worker){ .kernel = kernel, .limits = *limits, .orders = orders };
	LIST_INIT(&worker->processes);
	allow_many_files();
	worker->slots = heap_slots_new(kernel, limits->blocks);
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->notices = ring_buffer__new(kernel_map_fd(kernel, "heap_notices"), on_notice, worker, NULL);
	worker->programs.kernel = kernel;
	worker->programs.closer = closer_new();
	err = worker->slots && worker->programs.closer && worker->epoll_fd >= 0 && worker->notices ? 0 : -ENOMEM;
	if (!err)
		err = watch_fd(worker, ring_buffer__epoll_fd(worker->notices), worker->notices);
	if (!err)
		err = watch_fd(worker, orders->wake_fd, NULL);
	if (!err)
		err = -pthread_create(&worker->thread, NULL, work, worker);
	if (!err)
		return worker;
	free_worker(worker);
	errno = -err;
	return NULL;
}

void heap_worker_try(struct kernel *kernel)
{
	struct heap_programs programs = { .kernel = kernel };

	if (heap_programs_load(&programs))
		kernel_set_unavailable(kernel, METRICS_OF_HEAP, "the kernel refuses the programs on functions");
	heap_programs_unload(&programs);
}

void heap_worker_join(struct heap_worker *worker)
{
	pthread_join(worker->thread, NULL);
	free_worker(worker);
}
