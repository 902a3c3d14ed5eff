/* SPDX-License-Identifier: BSD-2-Clause */
#include "watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct watch {
	unsigned int references; /* 0: free */
	struct watch_spec *spec;
};

struct watches {
	struct kernel *kernel;
	struct watch watch[WATCH_MAX];
	/*
	 * Bits that were given up and may still stand in verdicts of the kernel. They are not given out again before
	 * every task has been judged anew, or a child could inherit a stranger's watch.
	 */
	u64 stale;
	struct watch_wishes wishes;
};

static size_t spec_bytes(const struct watch_spec *spec)
{
	return offsetof(struct watch_spec, pids) + spec->pid_count * sizeof(spec->pids[0]);
}

static bool same_spec(const struct watch_spec *a, const struct watch_spec *b)
{
	return a->all == b->all && a->children == b->children && a->sees_all == b->sees_all &&
	       a->owner.uid == b->owner.uid && a->owner.gid == b->owner.gid && a->pid_count == b->pid_count &&
	       memcmp(a->pids, b->pids, a->pid_count * sizeof(a->pids[0])) == 0;
}

static void ignore_record(const struct task_record *record, void *context)
{
	(void)record;
	(void)context;
}

struct watches *watches_new(struct kernel *kernel)
{
	struct watches *watches = calloc(1, sizeof(*watches));

	if (watches)
		watches->kernel = kernel;
	return watches;
}

void watches_free(struct watches *watches)
{
	if (!watches)
		return;
	for (int i = 0; i < WATCH_MAX; i++)
		free(watches->watch[i].spec);
	free(watches);
}

/* Watches that name this process. */
static u64 bits_of_pid(const struct watches *watches, const struct pid_key *key)
{
	u64 bits = 0;

	for (int i = 0; i < WATCH_MAX; i++) {
		const struct watch_spec *spec = watches->watch[i].spec;

		for (size_t p = 0; spec && p < spec->pid_count; p++)
			if (memcmp(&spec->pids[p], key, sizeof(*key)) == 0)
				bits |= 1ULL << i;
	}
	return bits;
}

static u64 bits_of_owner(const struct watches *watches, const struct owner_key *owner)
{
	u64 bits = 0;

	for (int i = 0; i < WATCH_MAX; i++) {
		const struct watch_spec *spec = watches->watch[i].spec;

		if (spec && !spec->sees_all && spec->owner.uid == owner->uid && spec->owner.gid == owner->gid)
			bits |= 1ULL << i;
	}
	return bits;
}

/* Bring the kernel's maps in line with what `changed` adds or has taken away. */
static int update_maps(struct watches *watches, const struct watch_spec *changed)
{
	int err = 0;

	for (size_t p = 0; p < changed->pid_count && !err; p++)
		err = kernel_set_pid_watches(watches->kernel, &changed->pids[p],
					     bits_of_pid(watches, &changed->pids[p]));
	if (!changed->sees_all && !err)
		err = kernel_set_owner_watches(watches->kernel, &changed->owner,
					       bits_of_owner(watches, &changed->owner));
	return err;
}

static void update_settings(struct watches *watches)
{
	struct watch_settings *settings = kernel_settings(watches->kernel);
	u64 used = 0, all = 0, children = 0, sees_all = 0;

	for (int i = 0; i < WATCH_MAX; i++) {
		const struct watch *watch = &watches->watch[i];
		u64 bit = 1ULL << i;

		if (!watch->spec)
			continue;
		used |= bit;
		all |= watch->spec->all ? bit : 0;
		children |= watch->spec->children ? bit : 0;
		sees_all |= watch->spec->sees_all ? bit : 0;
	}
	settings->all = all;
	settings->children = children;
	settings->sees_all = sees_all;
	settings->threads = watches->wishes.threads & used;
	settings->hooked = watches->wishes.hooked & used;
	settings->timed = watches->wishes.timed & used;
	settings->windows = watches->wishes.windows & used;
	settings->used = used;
	settings->generation++;
}

/* Programs first: what is selected from now on is measured from its beginning. */
static void update_kernel(struct watches *watches)
{
	bool watching = false;

	for (int i = 0; i < WATCH_MAX; i++)
		watching |= watches->watch[i].spec != NULL;
	kernel_need(watches->kernel, watches->wishes.metrics, watching);
	update_settings(watches);
}

int watches_judge(struct watches *watches, const struct sample_request *request, kernel_sample_handler handler,
		  void *context)
{
	static const struct sample_request nothing;
	int err = kernel_sample(watches->kernel, request ? request : &nothing, true,
				handler ? handler : ignore_record, context);

	if (!err)
		watches->stale = 0;
	return err;
}

static int free_bit(struct watches *watches)
{
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < WATCH_MAX; i++)
			if (!watches->watch[i].spec && !(watches->stale >> i & 1))
				return i;
		if (watches_judge(watches, NULL, NULL, NULL))
			break;
	}
	return -ENOSPC;
}

int watch_acquire(struct watches *watches, const struct watch_spec *spec)
{
	struct watch *watch;
	int bit, err;

	for (int i = 0; i < WATCH_MAX; i++) {
		if (watches->watch[i].spec && same_spec(watches->watch[i].spec, spec)) {
			watches->watch[i].references++;
			return i;
		}
	}
	bit = free_bit(watches);
	if (bit < 0)
		return bit;
	watch = &watches->watch[bit];
	watch->spec = malloc(spec_bytes(spec));
	if (!watch->spec)
		return -ENOMEM;
	memcpy(watch->spec, spec, spec_bytes(spec));
	watch->references = 1;
	err = update_maps(watches, spec);
	update_kernel(watches);
	if (err) {
		watch_release(watches, (unsigned int)bit);
		return err;
	}
	return bit;
}

void watch_release(struct watches *watches, unsigned int bit)
{
	struct watch *watch = &watches->watch[bit];
	struct watch_spec *spec = watch->spec;

	if (--watch->references > 0)
		return;
	watch->spec = NULL;
	watches->stale |= 1ULL << bit;
	update_kernel(watches);
	update_maps(watches, spec);
	free(spec);
	if (!kernel_settings(watches->kernel)->used)
		watches_judge(watches, NULL, NULL, NULL); /* nothing stays in any task's storage */
}

void watches_set_wishes(struct watches *watches, const struct watch_wishes *wishes)
{
	watches->wishes = *wishes;
	update_kernel(watches);
}
