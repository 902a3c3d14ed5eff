// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Where the per-CPU memory of each CPU begins: __per_cpu_offset[] of the kernel, which kernels without
 * CONFIG_KALLSYMS_ALL hide. A per-CPU map gives it away: its own per-CPU pointer beside the address of its value on
 * each CPU. Run once, after the load.
 */
#include "maps.bpf.h"

#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} cpu_probe SEC(".maps");

/* An address as a number: the verifier tracks pointers in registers, not in memory. */
static __always_inline u64 address_of(volatile u64 *cell, void *pointer)
{
	*(void *volatile *)cell = pointer;
	return *cell;
}

static long find_offset(u32 cpu, u64 *percpu_pointer)
{
	u32 zero = 0;
	u64 *cell = bpf_map_lookup_percpu_elem(&cpu_probe, &zero, cpu);

	if (!cell || cpu >= CPUS_MAX)
		return 1;
	cpu_offset[cpu] = address_of(cell, cell) - *percpu_pointer;
	return 0;
}

SEC("syscall")
int find_cpu_offsets(void *context)
{
	u32 zero = 0;
	u64 *cell = bpf_map_lookup_elem(&cpu_probe, &zero);
	u64 percpu_pointer = 0;
	struct bpf_array *map;

	if (!cell)
		return -1;
	map = (void *)address_of(cell, &cpu_probe);
	bpf_probe_read_kernel(&percpu_pointer, sizeof(percpu_pointer), &map->pptrs[0]);
	bpf_loop(CPUS_MAX, find_offset, &percpu_pointer, 0);
	return 0;
}
