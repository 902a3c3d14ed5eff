/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A shared library, to be loaded late: library_leak() keeps what it allocates.
 */
#include <stdlib.h>

static void *volatile kept;

__attribute__((noinline)) void library_leak(int bytes)
{
	kept = malloc((size_t)bytes);
	__asm__ volatile("");
}
