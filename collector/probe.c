/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aside.h"
#include "clock.h"
#include "hash.h"
#include "probe_hooks.h"

_Static_assert((int)DECLARED_MAX == (int)PROBE_ARGUMENTS_MAX && (int)DECLARED_REGISTERS == (int)PROBE_REGISTERS &&
		       (int)DECLARED_TEXTS_BYTES == (int)PROBE_TEXTS_BYTES && (int)DECLARED_TEXT_MAX < (int)PROBE_TEXT_MAX,
	       "what can be declared can be captured");

struct slot {
	size_t users; /* 0: it is free */
	dev_t device;
	ino_t inode;
	u64 offset;
	int fd;
	bool has_texts;
	struct declaration declaration;
	struct probe_spec spec;
};

struct target_key {
	u32 slot, tgid;
};

/* A function in one process. */
struct target {
	struct target_key key;
	u64 watches;             /* that want it there */
	struct probe_link *link; /* NULL: attaching it has failed */
	UT_hash_handle hh;
};

#define READ_BURST_NS 500000000ULL
#define READ_SHARE 20 /* one part of so many */

enum { ASIDE_MAX = PROBES_PER_USER };

struct user {
	uid_t uid;
	size_t count; /* of probes */
	size_t aside; /* files that are still being read or closed */
	u64 owed_ns;  /* for reading files, at this time: */
	u64 as_of_ns;
	UT_hash_handle hh;
};

struct probes {
	struct probe_hooks *hooks;
	struct slot slots[PROBE_SLOTS];
	struct target *targets;
	size_t attached; /* of them */
	struct user *users;
};

struct probes *probes_new(struct kernel *kernel)
{
	struct probes *probes = calloc(1, sizeof(*probes));

	if (!probes)
		return NULL;
	probes->hooks = probe_hooks_new(kernel);
	if (probes->hooks)
		return probes;
	free(probes);
	return NULL;
}

static void drop_target(struct probes *probes, struct target *target)
{
	HASH_DEL(probes->targets, target);
	probes->attached -= target->link != NULL;
	probe_hooks_detach(probes->hooks, target->link);
	free(target);
}

void probes_free(struct probes *probes)
{
	struct target *target, *next;
	struct user *user, *after;

	if (!probes)
		return;
	HASH_ITER(hh, probes->targets, target, next)
		drop_target(probes, target);
	HASH_ITER(hh, probes->users, user, after) {
		HASH_DEL(probes->users, user);
		free(user);
	}
	for (size_t i = 0; i < PROBE_SLOTS; i++)
		if (probes->slots[i].users)
			close(probes->slots[i].fd);
	probe_hooks_free(probes->hooks);
	free(probes);
}

/* --- slots */

static void pay(struct user *user, u64 now_ns)
{
	u64 paid_ns = (now_ns - user->as_of_ns) / READ_SHARE;

	user->owed_ns -= paid_ns < user->owed_ns ? paid_ns : user->owed_ns;
	user->as_of_ns = now_ns;
}

static void forget_users(struct probes *probes, u64 now_ns)
{
	struct user *user, *next;

	HASH_ITER(hh, probes->users, user, next) {
		pay(user, now_ns);
		if (user->count || user->aside || user->owed_ns)
			continue;
		HASH_DEL(probes->users, user);
		free(user);
	}
}

static struct user *user_of(struct probes *probes, uid_t uid)
{
	struct user *user;

	HASH_FIND(hh, probes->users, &uid, sizeof(uid), user);
	if (user)
		return user;
	forget_users(probes, clock_boot_ns());
	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	user->as_of_ns = clock_boot_ns();
	HASH_ADD(hh, probes->users, uid, sizeof(uid), user);
	if (user->hh.tbl)
		return user;
	free(user);
	return NULL;
}

static void come_back(void *context)
{
	struct user *user = context;

	user->aside--;
}

int probes_read(struct probes *probes, uid_t uid, struct lookup *lookup)
{
	struct user *user = user_of(probes, uid);
	u64 began_ns = clock_boot_ns();
	int err;

	if (!user)
		return -ENOMEM;
	pay(user, began_ns);
	if (user->owed_ns > READ_BURST_NS || user->aside >= ASIDE_MAX)
		return -EBUSY;
	err = lookup_run(lookup);
	user->owed_ns += clock_boot_ns() - began_ns;
	return err;
}

void probes_end_reading(struct probes *probes, uid_t uid, struct lookup *lookup)
{
	struct user *user = user_of(probes, uid);

	if (user)
		user->aside++;
	lookup_end(lookup, user ? come_back : NULL, user);
}

static int charge(struct probes *probes, uid_t uid)
{
	struct user *user = user_of(probes, uid);

	if (!user)
		return -ENOMEM;
	if (user->count == PROBES_PER_USER)
		return -EDQUOT;
	user->count++;
	return 0;
}

static void discharge(struct probes *probes, uid_t uid)
{
	struct user *user;

	HASH_FIND(hh, probes->users, &uid, sizeof(uid), user);
	if (user)
		user->count--;
}

static bool is_same(const struct slot *slot, const struct stat *file, u64 offset, const struct declaration *declaration)
{
	return slot->users && slot->device == file->st_dev && slot->inode == file->st_ino && slot->offset == offset &&
	       slot->declaration.count == declaration->count &&
	       memcmp(slot->declaration.arguments, declaration->arguments,
		      declaration->count * sizeof(declaration->arguments[0])) == 0;
}

static void fill_spec(struct slot *slot)
{
	u16 text_at = 0;

	slot->spec = (struct probe_spec){ .argument_count = (u32)slot->declaration.count };
	slot->has_texts = false;
	for (size_t i = 0; i < slot->declaration.count; i++) {
		const struct declared_argument *argument = &slot->declaration.arguments[i];

		slot->spec.arguments[i].place = (u16)argument->place;
		if (argument->kind != DECLARED_TEXT)
			continue;
		slot->spec.arguments[i].text_bytes = (u16)(argument->bytes + 1);
		slot->spec.arguments[i].text_at = text_at;
		text_at = (u16)(text_at + argument->bytes + 1);
		slot->has_texts = true;
	}
}

static int take_slot(struct probes *probes, const struct lookup *read, u64 offset, const struct declaration *declaration, u32 *out)
{
	const struct stat *file = &read->file;
	struct slot *slot = NULL;

	for (u32 i = 0; i < PROBE_SLOTS; i++) {
		if (is_same(&probes->slots[i], file, offset, declaration)) {
			probes->slots[i].users++;
			*out = i;
			return 0;
		}
		if (!slot && !probes->slots[i].users)
			slot = &probes->slots[i];
	}
	if (!slot)
		return -ENOSPC;
	slot->fd = fcntl(read->fd, F_DUPFD_CLOEXEC, 0);
	if (slot->fd < 0)
		return -errno;
	slot->device = file->st_dev;
	slot->inode = file->st_ino;
	slot->offset = offset;
	slot->declaration = *declaration;
	fill_spec(slot);
	slot->users = 1;
	*out = (u32)(slot - probes->slots);
	return 0;
}

int probes_acquire(struct probes *probes, uid_t uid, const struct lookup *file, u64 offset, const struct declaration *declaration,
		   u32 *slot)
{
	int err = charge(probes, uid);

	if (err)
		return err;
	err = take_slot(probes, file, offset, declaration, slot);
	if (err)
		discharge(probes, uid);
	return err;
}

/* Who has just had a probe is known. */
static void close_file(struct probes *probes, uid_t uid, int fd)
{
	struct user *user;

	HASH_FIND(hh, probes->users, &uid, sizeof(uid), user);
	if (user)
		user->aside++;
	if (aside_close(&fd, 1, user ? come_back : NULL, user) && user)
		user->aside--;
}

void probes_release(struct probes *probes, uid_t uid, u32 slot)
{
	discharge(probes, uid);
	if (--probes->slots[slot].users)
		return;
	probes_set_watches(probes, slot, 0);
	close_file(probes, uid, probes->slots[slot].fd);
}

const struct declaration *probes_declaration(const struct probes *probes, u32 slot)
{
	return &probes->slots[slot].declaration;
}

void probes_set_watches(struct probes *probes, u32 slot, u64 watches)
{
	struct target *target, *next;

	if (probes->slots[slot].spec.watches != watches) {
		probes->slots[slot].spec.watches = watches;
		probe_hooks_set(probes->hooks, slot, &probes->slots[slot].spec);
	}
	HASH_ITER(hh, probes->targets, target, next) {
		if (target->key.slot != slot)
			continue;
		target->watches &= watches;
		if (!target->watches)
			drop_target(probes, target);
	}
}

/* --- processes */

static int add_target(struct probes *probes, const struct target_key *key, u64 watch)
{
	const struct slot *slot = &probes->slots[key->slot];
	struct target *target = calloc(1, sizeof(*target));
	int err;

	if (!target)
		return -ENOMEM;
	target->key = *key;
	target->watches = watch;
	HASH_ADD(hh, probes->targets, key, sizeof(target->key), target);
	if (!target->hh.tbl) {
		free(target);
		return -ENOMEM;
	}
	err = probes->attached == PROBE_TARGETS_MAX ? -EMFILE :
						      probe_hooks_attach(probes->hooks, key->slot, slot->fd, slot->offset,
									 key->tgid, slot->has_texts, &target->link);
	probes->attached += !err;
	if (err == -ESRCH)
		drop_target(probes, target);
	return err;
}

int probes_attach(struct probes *probes, u32 slot, u32 tgid, unsigned int watch)
{
	const struct target_key key = { slot, tgid };
	struct target *target;

	HASH_FIND(hh, probes->targets, &key, sizeof(key), target);
	if (!target)
		return add_target(probes, &key, 1ULL << watch);
	target->watches |= 1ULL << watch;
	return target->link ? 0 : -EALREADY;
}

void probes_forget_process(struct probes *probes, u32 tgid)
{
	struct target *target, *next;

	HASH_ITER(hh, probes->targets, target, next)
		if (target->key.tgid == tgid)
			drop_target(probes, target);
}
