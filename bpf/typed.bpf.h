/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Addresses with a type. Since 6.2 a program can say what is at an address: loads from it cost what loads cost, not the 25 ns
 * of a helper, and give 0 if there is no memory. Only for the object that defines WITH_TYPES: bpftool 7.1 cannot link a kernel
 * function that two objects use.
 */
#ifndef TASKMON_TYPED_BPF_H
#define TASKMON_TYPED_BPF_H

#include "maps.bpf.h"

#include <bpf/bpf_core_read.h>

#ifdef WITH_TYPES
extern void *bpf_rdonly_cast(const void *object, u32 btf_id) __ksym __weak;
#define HAS_TYPES bpf_rdonly_cast
#else
#define bpf_rdonly_cast(object, btf_id) NULL
#define HAS_TYPES false
#endif

#define TYPED(type, address) ((struct type *)bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(struct type)))

/* Members of `type`, which every kernel has, at an address of which only the size is of interest. */
#define S32_AT(address) (TYPED(refcount_struct, address)->refs.counter)
#define WORD_AT(address) (TYPED(cpumask, address)->bits[0])

#endif
