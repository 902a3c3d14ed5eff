/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Rules: which terms hold for a process, and which watches follow from them. Names and argv are judged when a program is
 * executed, by look-ups in hash tables whose cost does not depend on how many names there are.
 */
#ifndef TASKMON_RULE_BPF_H
#define TASKMON_RULE_BPF_H

#include "maps.bpf.h"

#include <bpf/bpf_core_read.h>

#define ARGV_BYTES_MAX (2 << 20) /* the kernel allows a quarter of the stack limit: 2 MiB by default */

static __always_inline bool any_of(const struct term_set *a, const struct term_set *b)
{
	return (a->bits[0] & b->bits[0]) | (a->bits[1] & b->bits[1]);
}

static __always_inline bool is_empty(const struct term_set *set)
{
	return !(set->bits[0] | set->bits[1]);
}

static __always_inline void add_terms(struct term_set *to, const struct term_set *terms)
{
	if (!terms)
		return;
	to->bits[0] |= terms->bits[0];
	to->bits[1] |= terms->bits[1];
}

static __always_inline void keep_terms(struct term_set *of, const struct term_set *terms)
{
	of->bits[0] &= terms->bits[0];
	of->bits[1] &= terms->bits[1];
}

static __always_inline void remove_terms(struct term_set *from, const struct term_set *terms)
{
	from->bits[0] &= ~terms->bits[0];
	from->bits[1] &= ~terms->bits[1];
}

/** Terms on the name of a process. */
static __always_inline void add_name_facts(struct term_set *facts, const char *comm, struct task_struct *leader)
{
	struct name_key name = { .is_kernel_thread = !!(leader->flags & PF_KTHREAD) };
	struct prefix_key prefix = { .length_bits = 8 * (1 + sizeof(prefix.comm)), .is_kernel_thread = name.is_kernel_thread };

	if (is_empty(&rules.names))
		return;
	bpf_probe_read_kernel_str(name.comm, sizeof(name.comm), comm);
	__builtin_memcpy(prefix.comm, name.comm, sizeof(prefix.comm));
	add_terms(facts, bpf_map_lookup_elem(&name_terms, &name));
	add_terms(facts, bpf_map_lookup_elem(&prefix_terms, &prefix));
}

static __always_inline void add_user_facts(struct term_set *facts, struct task_struct *leader)
{
	u32 uid = leader->real_cred->uid.val;

	if (!is_empty(&rules.users))
		add_terms(facts, bpf_map_lookup_elem(&user_terms, &uid));
}

/* --- argv: hashes of each token, and of its last part if it is a path */

struct argv_scan {
	char *chunk;
	unsigned long at, end;
	u64 token, basename; /* FNV-1a so far */
	struct term_set *facts;
};

static __always_inline void end_token(struct argv_scan *scan)
{
	u64 basename = scan->basename ^ ARGV_BASENAME_SALT;

	add_terms(scan->facts, bpf_map_lookup_elem(&argv_terms, &scan->token));
	add_terms(scan->facts, bpf_map_lookup_elem(&argv_terms, &basename));
	scan->token = scan->basename = ARGV_HASH_SEED;
}

static long visit_argv_byte(u32 index, struct argv_scan *scan)
{
	u32 offset = index & (ARGV_CHUNK_BYTES - 1);
	u8 byte;

	if (scan->at >= scan->end)
		return 1;
	if (offset == 0) {
		u32 size = scan->end - scan->at < ARGV_CHUNK_BYTES ? scan->end - scan->at : ARGV_CHUNK_BYTES;

		if (bpf_probe_read_user(scan->chunk, size, (void *)scan->at))
			return 1;
	}
	byte = scan->chunk[offset];
	scan->at++;
	if (byte == 0) {
		end_token(scan);
		return 0;
	}
	scan->token = (scan->token ^ byte) * ARGV_HASH_PRIME;
	scan->basename = byte == '/' ? ARGV_HASH_SEED : (scan->basename ^ byte) * ARGV_HASH_PRIME;
	return 0;
}

/** Terms on the argv of the current program, which has just been executed; `chunk` has ARGV_CHUNK_BYTES. */
static __always_inline void add_argv_facts(struct term_set *facts, struct task_struct *task, char *chunk)
{
	struct argv_scan scan = { .chunk = chunk, .token = ARGV_HASH_SEED, .basename = ARGV_HASH_SEED, .facts = facts };

	if (is_empty(&rules.argv) || !(rules.argv_always || any_of(facts, &rules.argv_gate)))
		return;
	scan.at = BPF_CORE_READ(task, mm, arg_start);
	scan.end = BPF_CORE_READ(task, mm, arg_end);
	bpf_loop(ARGV_BYTES_MAX, visit_argv_byte, &scan, 0);
}

/* --- from facts to watches */

struct clause_walk {
	struct term_set facts, hands_down;
	u64 watches;
};

static long visit_clause(u32 index, struct clause_walk *walk)
{
	u32 key = rules.clause_base + index;
	struct clause *clause = bpf_map_lookup_elem(&clauses, &key);

	if (!clause)
		return 1;
	if ((walk->facts.bits[0] & clause->need.bits[0]) == clause->need.bits[0] &&
	    (walk->facts.bits[1] & clause->need.bits[1]) == clause->need.bits[1] && !any_of(&walk->facts, &clause->except)) {
		walk->watches |= clause->watches;
		add_terms(&walk->hands_down, &clause->hands_down);
	}
	return 0;
}

/** The watches whose rules select a process of which the terms in `walk` hold, and what it hands down. */
static __always_inline void judge_by_rules(struct clause_walk *walk)
{
	if (!is_empty(&walk->facts))
		bpf_loop(rules.clause_count, visit_clause, walk, 0);
}

#endif
