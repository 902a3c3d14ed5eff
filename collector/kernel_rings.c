/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel_rings.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "log.h"

#define SUBSYSTEM "kernel"

void kernel_rings_init(struct kernel_rings *rings, kernel_event_handler handler, void *context)
{
	*rings = (struct kernel_rings){ .event_fd = -1, .first = -1, .more = -1, .handler = handler, .context = context };
}

static int deliver(void *context, void *record, size_t size)
{
	struct kernel_rings *rings = context;

	rings->handler(record, size, rings->context);
	return 0;
}

static int poll_ring(const struct kernel_rings *rings, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(rings->event_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* Mapped, they count as memory of this process: 8 MiB, twice its size, the first. So they are while somebody watches. */
static int map(struct kernel_rings *rings)
{
	int err;

	if (rings->mapped)
		return 0;
	rings->mapped = ring_buffer__new(rings->first, deliver, rings, NULL);
	err = rings->mapped ? 0 : -errno;
	if (!err && rings->more >= 0)
		err = ring_buffer__add(rings->mapped, rings->more, deliver, rings);
	if (!err)
		return 0;
	kernel_rings_unmap(rings);
	log_error(SUBSYSTEM, "cannot map the ring buffer: %s", strerror(-err));
	return err;
}

void kernel_rings_unmap(struct kernel_rings *rings)
{
	ring_buffer__free(rings->mapped);
	rings->mapped = NULL;
}

/* Mapped once, to know that it can be. */
int kernel_rings_open(struct kernel_rings *rings, int first)
{
	int err;

	rings->event_fd = epoll_create1(EPOLL_CLOEXEC);
	rings->first = first;
	err = rings->event_fd < 0 ? -errno : poll_ring(rings, first);
	if (!err)
		err = map(rings);
	kernel_rings_unmap(rings);
	return err;
}

void kernel_rings_close(struct kernel_rings *rings)
{
	kernel_rings_unmap(rings);
	if (rings->more >= 0)
		close(rings->more);
	if (rings->event_fd >= 0)
		close(rings->event_fd);
	kernel_rings_init(rings, NULL, NULL);
}

int kernel_rings_add(struct kernel_rings *rings, const char *name, size_t bytes)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, name, 0, 0, (u32)bytes, NULL);
	int err = fd < 0 ? fd : poll_ring(rings, fd);

	if (!err && rings->mapped)
		err = ring_buffer__add(rings->mapped, fd, deliver, rings);
	if (!err)
		rings->more = fd;
	else if (fd >= 0)
		close(fd);
	return err ? err : fd;
}

int kernel_rings_drain(struct kernel_rings *rings)
{
	int err = map(rings), taken = err ? err : ring_buffer__consume(rings->mapped);

	return taken < 0 ? taken : 0;
}
