/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Gauges of a process's address space and file table. Both may be released while they are read: what is read then
 * is not used (see fill.bpf.h).
 */
#ifndef TASKMON_MEMORY_BPF_H
#define TASKMON_MEMORY_BPF_H

#include "maps.bpf.h"
#include "runtime.bpf.h"
#include "typed.bpf.h"

#include <bpf/bpf_core_read.h>

#define FD_WORDS_MAX (1 << 24) /* fs.nr_open is at most 2^30 */

const volatile u32 cpu_count __weak = 1; /* possible CPUs; the collector sets both */
const volatile u32 page_size __weak = 4096;

struct rss_walk {
	s32 *file, *anon, *shmem; /* __percpu */
	s64 pages;
};

static long add_rss_of_cpu(u32 cpu, struct rss_walk *walk)
{
	s32 file = 0, anon = 0, shmem = 0;
	u64 offset;

	if (cpu >= CPUS_MAX)
		return 1;
	offset = cpu_offset[cpu];
	if (HAS_TYPES) {
		file = S32_AT((void *)walk->file + offset);
		anon = S32_AT((void *)walk->anon + offset);
		shmem = S32_AT((void *)walk->shmem + offset);
	} else {
		bpf_probe_read_kernel(&file, sizeof(file), (void *)walk->file + offset);
		bpf_probe_read_kernel(&anon, sizeof(anon), (void *)walk->anon + offset);
		bpf_probe_read_kernel(&shmem, sizeof(shmem), (void *)walk->shmem + offset);
	}
	walk->pages += file + anon + shmem;
	return 0;
}

#define FIND_RSS(walk, mm, READ)                                                                                  \
	do {                                                                                                      \
		(walk)->pages = READ(mm, rss_stat[MM_FILEPAGES].count) + READ(mm, rss_stat[MM_ANONPAGES].count) + \
				READ(mm, rss_stat[MM_SHMEMPAGES].count);                                          \
		(walk)->file = READ(mm, rss_stat[MM_FILEPAGES].counters);                                         \
		(walk)->anon = READ(mm, rss_stat[MM_ANONPAGES].counters);                                         \
		(walk)->shmem = READ(mm, rss_stat[MM_SHMEMPAGES].counters);                                       \
	} while (0)

/**
 * Resident bytes. The common counters lack what is in parts of their own: one per CPU since 6.2, one per thread before
 * (`cached_pages` is the sum of those).
 */
static __always_inline u64 read_rss_bytes(struct mm_struct *mm, s64 cached_pages)
{
	struct mm_struct___before_6_2 *old = (void *)mm;
	struct rss_walk walk = {};

	if (bpf_core_type_exists(struct mm_rss_stat)) {
		walk.pages = cached_pages + BPF_CORE_READ(old, rss_stat.count[MM_FILEPAGES].counter) +
			     BPF_CORE_READ(old, rss_stat.count[MM_ANONPAGES].counter) +
			     BPF_CORE_READ(old, rss_stat.count[MM_SHMEMPAGES].counter);
	} else {
		if (HAS_TYPES)
			FIND_RSS(&walk, TYPED(mm_struct, mm), READ_DIRECT);
		else
			FIND_RSS(&walk, mm, READ_CHECKED);
		bpf_loop(cpu_count, add_rss_of_cpu, &walk, 0);
	}
	return walk.pages > 0 ? (u64)walk.pages * page_size : 0;
}

static __always_inline u64 read_vm_bytes(struct mm_struct *mm)
{
	return (HAS_TYPES ? TYPED(mm_struct, mm)->total_vm : BPF_CORE_READ(mm, total_vm)) * page_size;
}

struct fd_walk {
	unsigned long *words;
	u64 count;
};

static long count_fds_of_word(u32 index, struct fd_walk *walk)
{
	u64 bits = 0;

	if (HAS_TYPES)
		bits = WORD_AT(walk->words + index);
	else
		bpf_probe_read_kernel(&bits, sizeof(bits), walk->words + index);
	/* population count */
	bits -= bits >> 1 & 0x5555555555555555ULL;
	bits = (bits & 0x3333333333333333ULL) + (bits >> 2 & 0x3333333333333333ULL);
	bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	walk->count += bits * 0x0101010101010101ULL >> 56;
	return 0;
}

/** Open file descriptors. */
static __always_inline u64 read_fd_count(struct files_struct *files)
{
	struct fdtable *table;
	struct fd_walk walk = {};
	u32 words;

	if (HAS_TYPES) {
		table = TYPED(fdtable, TYPED(files_struct, files)->fdt);
		walk.words = table->open_fds;
		words = table->max_fds / 64;
	} else {
		table = BPF_CORE_READ(files, fdt);
		walk.words = BPF_CORE_READ(table, open_fds);
		words = BPF_CORE_READ(table, max_fds) / 64;
	}
	bpf_loop(words < FD_WORDS_MAX ? words : FD_WORDS_MAX, count_fds_of_word, &walk, 0);
	return walk.count;
}

#endif
