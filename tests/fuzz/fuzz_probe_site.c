// SPDX-License-Identifier: BSD-2-Clause
/* Code of programs that belong to anyone is decoded to find where to probe it. */
#include <stdlib.h>

#include "../unit/code_memory.h"
#include "probe_site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct code_memory memory = { data + 2, size - 2, 0 };

	if (size < 3)
		return 0;
	memory.function = data[0] % memory.size;
	if (probe_site_choose(data[1] * 4, code_memory_read, &memory) > 64)
		abort();
	return 0;
}
