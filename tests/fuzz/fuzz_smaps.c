/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of smaps_rollup: whatever is in it, what is taken from it is a number of kB.
 */
#include <assert.h>
#include <stdint.h>

#include "rollup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct task_record record = { 0 };
	struct rollup rollup;

	rollup_parse((const char *)data, size, &rollup);
	rollup_put(&rollup, &record);
	assert((record.present & ~metric_walk_bits) == 0);
	for (int id = 0; id < METRIC_TOTAL; id++)
		assert(record.value[id] % 1024 == 0 && (record.present & METRIC_BIT(id) || record.value[id] == 0));
	return 0;
}
