// SPDX-License-Identifier: BSD-2-Clause
/* Code of programs that belong to anyone is decoded to find where to probe it. */
#include <stdlib.h>
#include <string.h>

#include "probe_site.h"

struct memory {
	const uint8_t *code;
	size_t size, function;
};

static size_t read_memory(int64_t at, uint8_t *code, size_t size, void *context)
{
	const struct memory *memory = context;
	int64_t begin = (int64_t)memory->function + at;

	if (begin < 0 || begin >= (int64_t)memory->size)
		return 0;
	if (size > memory->size - (size_t)begin)
		size = memory->size - (size_t)begin;
	memcpy(code, memory->code + begin, size);
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory memory = { data + 2, size - 2, 0 };

	if (size < 3)
		return 0;
	memory.function = data[0] % memory.size;
	if (probe_site_choose(data[1] * 4, read_memory, &memory) > 64)
		abort();
	return 0;
}
