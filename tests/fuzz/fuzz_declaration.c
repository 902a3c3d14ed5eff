/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Declarations of captured arguments: whatever is taken fits where the kernel side puts it.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "declaration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), error[256] = "";
	struct declaration declaration;
	size_t bytes = 0;

	if (declaration_parse(&declaration, text, error, sizeof(error))) {
		assert(error[0]);
		free(text);
		return 0;
	}
	assert(declaration.count <= DECLARED_MAX);
	for (size_t i = 0; i < declaration.count; i++) {
		const struct declared_argument *argument = &declaration.arguments[i];

		assert(argument->name[0] && strlen(argument->name) < DECLARED_NAME_BYTES && argument->place == i);
		if (argument->kind == DECLARED_TEXT)
			bytes += argument->bytes + 1;
		else
			assert(argument->bytes == 1 || argument->bytes == 2 || argument->bytes == 4 || argument->bytes == 8);
		declared_value(argument, ~0ULL);
	}
	assert(bytes <= DECLARED_TEXTS_BYTES);
	free(text);
	return 0;
}
