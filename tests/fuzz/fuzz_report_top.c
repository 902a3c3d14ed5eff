/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What another program prints as top: whatever it is, and in whatever pieces it comes, there are only tasks with a share.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "top_output.h"

static int on_picture(void *context, struct top_figures *figures)
{
	size_t *pictures = context;
	unsigned int hundredths;

	for (size_t i = 0; i < figures->count; i++) {
		assert(figures->list[i].tid && figures->list[i].hundredths <= 1000000099);
		assert(i == 0 || figures->list[i - 1].tid <= figures->list[i].tid);
		assert(top_figures_find(figures, figures->list[i].tid, &hundredths));
	}
	(*pictures)++;
	return *pictures < 1000 ? 0 : -1;
}

/* The first byte says how long the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct top_output output = { 0 };
	size_t pictures = 0, piece = size ? (size_t)data[0] + 1 : 1;

	for (size_t at = 1; at < size; at += piece) {
		size_t length = size - at < piece ? size - at : piece;

		if (top_output_feed(&output, (const char *)data + at, length, on_picture, &pictures))
			break;
	}
	top_output_finish(&output, on_picture, &pictures);
	assert(!top_output_is_open(&output));
	top_output_free(&output);
	return 0;
}
