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

/*
 * Ways of attaching. Links of uprobe_multi need no capability that the collector has not got, but a main thread that lives; they are taken
 * where they can be, and single ones else.
 */
enum { AS_MULTI, AS_SINGLE, WAYS };

struct probe_hooks {
	struct kernel *kernel;
	struct closer *closer;
	bool has_ring;
	struct {
		bool loaded;
		int programs[PROGRAMS];
	} ways[WAYS]; /* loaded only while there are links */
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

static int load(struct probe_hooks *hooks, int way)
{
	int err = hooks->has_ring ? 0 : kernel_add_ring(hooks->kernel, "probe_hits", RING_BYTES);

	hooks->has_ring = !err;
	if (!err && !hooks->ways[way].loaded)
		err = kernel_load_programs(hooks->kernel, program_names, PROGRAMS, way == AS_MULTI ? UPROBE_MULTI_TYPE : 0,
					   hooks->ways[way].programs);
	if (err)
		log_warning(SUBSYSTEM, "the programs on functions were not accepted: %s (-v tells more)", strerror(-err));
	else
		hooks->ways[way].loaded = true;
	return err;
}

static void unload(struct probe_hooks *hooks)
{
	for (int way = 0; way < WAYS; way++) {
		for (int i = 0; i < PROGRAMS && hooks->ways[way].loaded; i++)
			close(hooks->ways[way].programs[i]);
		hooks->ways[way].loaded = false;
	}
}

static int attach_one(const struct uprobe *uprobe, int way)
{
	return way == AS_MULTI ? uprobe_attach_multi(uprobe, &uprobe->offset, &uprobe->cookie, 1) : uprobe_attach(uprobe);
}

/* All programs of one link, or none. */
static int attach_all(struct probe_hooks *hooks, struct probe_link *link, struct uprobe *uprobe, bool has_texts, int way)
{
	int err = load(hooks, way);

	for (int i = 0; !err && i < (has_texts ? PROGRAMS : ON_TEXTS); i++) {
		uprobe->program_fd = hooks->ways[way].programs[i];
		uprobe->at_return = i == ON_RETURN;
		link->fds[i] = attach_one(uprobe, way);
		err = link->fds[i] < 0 ? link->fds[i] : 0;
	}
	for (int i = 0; err && i < PROGRAMS; i++) {
		if (link->fds[i] >= 0)
			closer_add(hooks->closer, link->fds[i]);
		link->fds[i] = -1;
	}
	return err;
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

int probe_hooks_attach(struct probe_hooks *hooks, u32 slot, int fd, u64 offset, u32 tgid, bool has_texts, struct probe_link **out)
{
	const struct probe_target target = { .tgid = tgid, .slot = slot };
	struct probe_link *link = malloc(sizeof(*link));
	struct uprobe uprobe = { .file_fd = fd, .tid = (pid_t)tgid, .offset = offset };
	int err = 0;

	if (!link)
		return -ENOMEM;
	hooks->link_count++;
	*link = (struct probe_link){ .target = target, .fds = { -1, -1, -1 } };
	hooks->serial = (hooks->serial + 1) & PROBE_SERIAL_MAX;
	uprobe.cookie = PROBE_COOKIE(tgid, slot, hooks->serial);
	if (bpf_map_update_elem(kernel_map_fd(hooks->kernel, "probe_targets"), &target, &hooks->serial, BPF_ANY))
		err = -errno;
	if (!err)
		err = uprobe_has_multi() ? attach_all(hooks, link, &uprobe, has_texts, AS_MULTI) : -EOPNOTSUPP;
	if (err && err != -EMFILE)
		err = attach_all(hooks, link, &uprobe, has_texts, AS_SINGLE);
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
