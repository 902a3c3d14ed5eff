/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A piece of memory that a function is in, for probe_site_choose() in its unit test and its fuzzer.
 */
#ifndef TASKMON_CODE_MEMORY_H
#define TASKMON_CODE_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct code_memory {
	const uint8_t *code;
	size_t size, function; /* where it begins */
};

static inline size_t code_memory_read(int64_t at, uint8_t *code, size_t size, void *context)
{
	const struct code_memory *memory = context;
	int64_t begin = (int64_t)memory->function + at;

	if (begin < 0 || begin >= (int64_t)memory->size)
		return 0;
	if (size > memory->size - (size_t)begin)
		size = memory->size - (size_t)begin;
	memcpy(code, memory->code + begin, size);
	return size;
}

#endif
