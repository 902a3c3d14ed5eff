/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

struct watch_settings *kernel_settings(struct kernel *kernel)
{
	return &kernel->bpf->bss->settings;
}

struct rule_settings *kernel_rules(struct kernel *kernel)
{
	return &kernel->bpf->bss->rules;
}

void kernel_empty(const struct bpf_map *map)
{
	char key[32];

	while (bpf_map__get_next_key(map, NULL, key, bpf_map__key_size(map)) == 0)
		if (bpf_map__delete_elem(map, key, bpf_map__key_size(map), 0) && errno != ENOENT)
			return;
}

static int set(const struct bpf_map *map, const void *key, const void *value)
{
	int err;

	if (value)
		return bpf_map__update_elem(map, key, bpf_map__key_size(map), value, bpf_map__value_size(map), BPF_ANY);
	err = bpf_map__delete_elem(map, key, bpf_map__key_size(map), 0);
	return err == -ENOENT ? 0 : err;
}

int kernel_set_pid_watches(struct kernel *kernel, const struct pid_key *key, u64 watches)
{
	return set(kernel->bpf->maps.pid_watches, key, watches ? &watches : NULL);
}

int kernel_set_owner_watches(struct kernel *kernel, const struct owner_key *key, u64 watches)
{
	return set(kernel->bpf->maps.owner_watches, key, watches ? &watches : NULL);
}

static struct bpf_map *table_of(const struct kernel *kernel, enum kernel_table table)
{
	struct bpf_map *const tables[TABLE_COUNT] = {
		[TABLE_NAMES] = kernel->bpf->maps.name_terms,
		[TABLE_PREFIXES] = kernel->bpf->maps.prefix_terms,
		[TABLE_ARGV] = kernel->bpf->maps.argv_terms,
		[TABLE_USERS] = kernel->bpf->maps.user_terms,
		[TABLE_CONNECTIONS] = kernel->bpf->maps.connection_terms,
		[TABLE_ARGV_FOUND] = kernel->bpf->maps.argv_found,
		[TABLE_LIMITS] = kernel->bpf->maps.limits,
		[TABLE_CLAUSES] = kernel->bpf->maps.clauses,
	};

	return tables[table];
}

int kernel_table_set(struct kernel *kernel, enum kernel_table table, const void *key, const void *value)
{
	return set(table_of(kernel, table), key, value);
}

void kernel_table_clear(struct kernel *kernel, enum kernel_table table)
{
	kernel_empty(table_of(kernel, table));
}

int kernel_facts_of(const struct kernel *kernel, int pidfd, struct term_set *facts)
{
	const struct bpf_map *map = kernel->bpf->maps.processes;
	size_t size = bpf_map__value_size(map);
	void *state = malloc(size);
	int err = state ? bpf_map__lookup_elem(map, &pidfd, sizeof(pidfd), state, size, 0) : -ENOMEM;

	*facts = (struct term_set){ 0 };
	if (!err)
		memcpy(facts, state, sizeof(*facts)); /* the first of its members */
	free(state);
	return err == -ENOENT ? 0 : err;
}

int kernel_map_fd(const struct kernel *kernel, const char *name)
{
	return bpf_object__find_map_fd_by_name(kernel->bpf->obj, name);
}
