/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_hooks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "closer.h"
#include "kernel.h"
#include "log.h"
#include "uprobe.h"

#define SUBSYSTEM "kernel"

enum { RING_BYTES = 4 << 20 }; /* 16 000 records without texts */

/*
 * In the order in which they are attached: the kernel runs the last first, so texts are brought in before they are
 * read.
 */
enum { ON_RETURN, ON_CALL, ON_TEXTS, PROGRAMS };

static const char *const program_names[PROGRAMS] = { "probe_return", "probe_call", "probe_touch" };

/* One function in one process. */
struct probe_link {
	struct probe_target target;
	int fds[PROGRAMS]; /* -1: none */
};

struct probe_hooks {
	struct kernel *kernel;
	struct closer *closer;
	bool has_ring;
	int programs[PROGRAMS]; /* valid while there are links */
	size_t link_count;
	u32 serial; /* of the last link */
};

struct probe_hooks *probe_hooks_new(struct kernel *kernel)
{
	struct probe_hooks *hooks = calloc(1, sizeof(*hooks));

	if (!hooks)
		return NULL;
	hooks->kernel = kernel;
	hooks->closer = closer_new();
	if (hooks->closer)
		return hooks;
	free(hooks);
	return NULL;
}

void probe_hooks_free(struct probe_hooks *hooks)
{
	if (!hooks)
		return;
	closer_free(hooks->closer);
	free(hooks);
}

int probe_hooks_set(struct probe_hooks *hooks, u32 slot, const struct probe_spec *spec)
{
	return bpf_map_update_elem(kernel_map_fd(hooks->kernel, "probes"), &slot, spec, BPF_ANY) ? -errno : 0;
}

static int load(struct probe_hooks *hooks)
{
	int err = hooks->has_ring ? 0 : kernel_add_ring(hooks->kernel, "probe_hits", RING_BYTES);

	hooks->has_ring = !err;
	if (!err)
		err = kernel_load_programs(hooks->kernel, program_names, PROGRAMS, 0, hooks->programs);
	if (err)
		log_warning(SUBSYSTEM, "the programs on functions were not accepted: %s (-v tells more)",
			    strerror(-err));
	return err;
}

static void unload(struct probe_hooks *hooks)
{
	for (int i = 0; i < PROGRAMS; i++)
		close(hooks->programs[i]);
}

static void destroy(struct probe_hooks *hooks, struct probe_link *link)
{
	bpf_map_delete_elem(kernel_map_fd(hooks->kernel, "probe_targets"), &link->target);
	for (int i = PROGRAMS - 1; i >= 0; i--)
		if (link->fds[i] >= 0)
			closer_add(hooks->closer, link->fds[i]);
	free(link);
	if (--hooks->link_count == 0)
		unload(hooks);
}

int probe_hooks_attach(struct probe_hooks *hooks, u32 slot, int fd, u64 offset, u32 tgid, bool has_texts,
		       struct probe_link **out)
{
	const struct probe_target target = { .tgid = tgid, .slot = slot };
	struct probe_link *link = malloc(sizeof(*link));
	struct uprobe uprobe = { .file_fd = fd, .tid = (pid_t)tgid, .offset = offset };
	int err = link ? 0 : -ENOMEM;

	if (!err && hooks->link_count == 0)
		err = load(hooks);
	if (err) {
		free(link);
		return err;
	}
	hooks->link_count++;
	*link = (struct probe_link){ .target = target, .fds = { -1, -1, -1 } };
	hooks->serial = (hooks->serial + 1) & PROBE_SERIAL_MAX;
	uprobe.cookie = PROBE_COOKIE(tgid, slot, hooks->serial);
	if (bpf_map_update_elem(kernel_map_fd(hooks->kernel, "probe_targets"), &target, &hooks->serial, BPF_ANY))
		err = -errno;
	for (int i = 0; !err && i < (has_texts ? PROGRAMS : ON_TEXTS); i++) {
		uprobe.program_fd = hooks->programs[i];
		uprobe.at_return = i == ON_RETURN;
		link->fds[i] = uprobe_attach(&uprobe);
		err = link->fds[i] < 0 ? link->fds[i] : 0;
	}
	if (err) {
		destroy(hooks, link);
		return err;
	}
	*out = link;
	return 0;
}

void probe_hooks_detach(struct probe_hooks *hooks, struct probe_link *link)
{
	if (link)
		destroy(hooks, link);
}
