/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_hooks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "hooks.h"
#include "log.h"
#include "taskmon.skel.h"

#define SUBSYSTEM "kernel"

enum { RING_BYTES = 4 << 20 }; /* 16 000 records without texts */

/* One function in one process. The one that touches texts is attached last, because the kernel runs the last first. */
enum { LINK_CALL, LINK_RETURN, LINK_TOUCH, LINKS };

struct probe_link {
	struct bpf_link *links[LINKS];
};

struct probe_hooks {
	struct hooks *others;
	struct taskmon_bpf *main_object;
	struct taskmon_bpf *bpf; /* NULL while nothing is attached */
	struct ring_buffer *ring;
	ring_buffer_sample_fn handler;
	void *context;
	int ring_fd; /* -1: not made yet */
	size_t link_count;
};

struct probe_hooks *probe_hooks_new(struct hooks *others, struct taskmon_bpf *main_object, struct ring_buffer *ring,
				    ring_buffer_sample_fn handler, void *context)
{
	struct probe_hooks *hooks = calloc(1, sizeof(*hooks));

	if (!hooks)
		return NULL;
	hooks->others = others;
	hooks->main_object = main_object;
	hooks->ring = ring;
	hooks->handler = handler;
	hooks->context = context;
	hooks->ring_fd = -1;
	return hooks;
}

void probe_hooks_free(struct probe_hooks *hooks)
{
	if (!hooks)
		return;
	taskmon_bpf__destroy(hooks->bpf);
	if (hooks->ring_fd >= 0)
		close(hooks->ring_fd);
	free(hooks);
}

int probe_hooks_set(struct probe_hooks *hooks, u32 slot, const struct probe_spec *spec)
{
	return bpf_map__update_elem(hooks->main_object->maps.probes, &slot, sizeof(slot), spec, sizeof(*spec), BPF_ANY);
}

/* It stays: nothing can be taken out of a ring_buffer again. */
static int make_ring(struct probe_hooks *hooks)
{
	int err;

	if (hooks->ring_fd >= 0)
		return 0;
	hooks->ring_fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "probe_hits", 0, 0, RING_BYTES, NULL);
	if (hooks->ring_fd < 0)
		return hooks->ring_fd;
	err = ring_buffer__add(hooks->ring, hooks->ring_fd, hooks->handler, hooks->context);
	if (err) {
		close(hooks->ring_fd);
		hooks->ring_fd = -1;
		return err;
	}
	hooks_set_map(hooks->others, "probe_hits", hooks->ring_fd);
	return 0;
}

static int load(struct probe_hooks *hooks)
{
	static const char *const programs[] = { "probe_call", "probe_return", "probe_touch", NULL };
	int err = make_ring(hooks);

	if (!err) {
		hooks->bpf = hooks_load_sharing(hooks->others, hooks->main_object, programs);
		err = hooks->bpf ? 0 : -errno;
	}
	if (err)
		log_warning(SUBSYSTEM, "the programs on functions were not accepted: %s (-v tells more)", strerror(-err));
	return err;
}

static int attach(struct bpf_link **link, struct bpf_program *program, const char *path, u64 offset, u32 tgid, u32 slot,
		  bool at_return)
{
	LIBBPF_OPTS(bpf_uprobe_opts, options, .bpf_cookie = PROBE_COOKIE(tgid, slot), .retprobe = at_return);

	*link = bpf_program__attach_uprobe_opts(program, (pid_t)tgid, path, offset, &options);
	return *link ? 0 : -errno;
}

static void destroy(struct probe_link *link)
{
	for (int i = LINKS - 1; i >= 0; i--)
		bpf_link__destroy(link->links[i]);
	free(link);
}

static void unload_if_unused(struct probe_hooks *hooks)
{
	if (hooks->link_count)
		return;
	taskmon_bpf__destroy(hooks->bpf);
	hooks->bpf = NULL;
}

int probe_hooks_attach(struct probe_hooks *hooks, u32 slot, int fd, u64 offset, u32 tgid, bool has_texts, struct probe_link **out)
{
	struct probe_link *link = calloc(1, sizeof(*link));
	char path[64];
	int err = link ? 0 : -ENOMEM;

	if (!err && !hooks->bpf)
		err = load(hooks);
	if (err)
		goto out;
	/* the very file that was looked at, whatever its name leads to by now */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = attach(&link->links[LINK_RETURN], hooks->bpf->progs.probe_return, path, offset, tgid, slot, true);
	if (!err)
		err = attach(&link->links[LINK_CALL], hooks->bpf->progs.probe_call, path, offset, tgid, slot, false);
	if (!err && has_texts)
		err = attach(&link->links[LINK_TOUCH], hooks->bpf->progs.probe_touch, path, offset, tgid, slot, false);
out:
	if (err) {
		if (link)
			destroy(link);
		unload_if_unused(hooks);
		return err;
	}
	hooks->link_count++;
	*out = link;
	return 0;
}

void probe_hooks_detach(struct probe_hooks *hooks, struct probe_link *link)
{
	if (!link)
		return;
	destroy(link);
	hooks->link_count--;
	unload_if_unused(hooks);
}
