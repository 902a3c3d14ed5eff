/* SPDX-License-Identifier: BSD-2-Clause */
#include "heap_functions.h"

#include <errno.h>
#include <unistd.h>

#include "elf_file.h"
#include "probe_site.h"

/*
 * By name: glibc, musl, jemalloc, tcmalloc and mimalloc have these. What one of them calls is not counted again. The C++ operators are
 * looked for in files that have malloc, too: those of libstdc++ and libc++ only call it.
 */
static const struct {
	const char *name;
	enum heap_call call;
	bool with_malloc; /* only in files that have that, too */
} family[] = {
	{ "malloc", HEAP_MALLOC, false }, /* first: see above */
	{ "free", HEAP_FREE, false },
	{ "cfree", HEAP_FREE, false },
	{ "free_sized", HEAP_FREE, false }, /* C23 */
	{ "free_aligned_sized", HEAP_FREE, false },
	{ "calloc", HEAP_CALLOC, false },
	{ "realloc", HEAP_REALLOC, false },
	{ "reallocarray", HEAP_REALLOCARRAY, false },
	{ "posix_memalign", HEAP_POSIX, false },
	{ "aligned_alloc", HEAP_ALIGNED, false },
	{ "memalign", HEAP_ALIGNED, false },
	{ "valloc", HEAP_MALLOC, false },
	{ "pvalloc", HEAP_MALLOC, false },
	{ "mallocx", HEAP_MALLOC, true }, /* jemalloc */
	{ "rallocx", HEAP_REALLOC, true },
	{ "dallocx", HEAP_FREE, true },
	{ "sdallocx", HEAP_FREE, true },
	{ "tc_malloc", HEAP_MALLOC, true }, /* tcmalloc */
	{ "tc_malloc_skip_new_handler", HEAP_MALLOC, true },
	{ "tc_calloc", HEAP_CALLOC, true },
	{ "tc_realloc", HEAP_REALLOC, true },
	{ "tc_memalign", HEAP_ALIGNED, true },
	{ "tc_posix_memalign", HEAP_POSIX, true },
	{ "tc_valloc", HEAP_MALLOC, true },
	{ "tc_pvalloc", HEAP_MALLOC, true },
	{ "tc_free", HEAP_FREE, true },
	{ "tc_cfree", HEAP_FREE, true },
	{ "tc_free_sized", HEAP_FREE, true },
	{ "_Znwm", HEAP_MALLOC, true }, /* operator new(unsigned long) */
	{ "_Znam", HEAP_MALLOC, true },
	{ "_ZnwmRKSt9nothrow_t", HEAP_MALLOC, true },
	{ "_ZnamRKSt9nothrow_t", HEAP_MALLOC, true },
	{ "_ZnwmSt11align_val_t", HEAP_MALLOC, true },
	{ "_ZnamSt11align_val_t", HEAP_MALLOC, true },
	{ "_ZnwmSt11align_val_tRKSt9nothrow_t", HEAP_MALLOC, true },
	{ "_ZnamSt11align_val_tRKSt9nothrow_t", HEAP_MALLOC, true },
	{ "_ZdlPv", HEAP_FREE, true }, /* operator delete(void *) */
	{ "_ZdaPv", HEAP_FREE, true },
	{ "_ZdlPvm", HEAP_FREE, true },
	{ "_ZdaPvm", HEAP_FREE, true },
	{ "_ZdlPvRKSt9nothrow_t", HEAP_FREE, true },
	{ "_ZdaPvRKSt9nothrow_t", HEAP_FREE, true },
	{ "_ZdlPvSt11align_val_t", HEAP_FREE, true },
	{ "_ZdaPvSt11align_val_t", HEAP_FREE, true },
	{ "_ZdlPvmSt11align_val_t", HEAP_FREE, true },
	{ "_ZdaPvmSt11align_val_t", HEAP_FREE, true },
	{ "_ZdlPvSt11align_val_tRKSt9nothrow_t", HEAP_FREE, true },
	{ "_ZdaPvSt11align_val_tRKSt9nothrow_t", HEAP_FREE, true },
	{ "_dl_debug_state", HEAP_LIBRARIES, false },
};

enum { FAMILY = sizeof(family) / sizeof(family[0]), FOUND_MAX = 2 * HEAP_FUNCTIONS_MAX };

struct code {
	int fd;
	uint64_t offset;
};

static size_t read_code(int64_t at, uint8_t *code, size_t size, void *context)
{
	const struct code *function = context;
	ssize_t got;

	if (at < 0 && (uint64_t)-at > function->offset)
		return 0;
	got = pread(function->fd, code, size, (off_t)(function->offset + (uint64_t)at));
	return got < 0 ? 0 : (size_t)got;
}

static bool has(const struct heap_functions *functions, uint64_t offset)
{
	for (size_t i = 0; i < functions->count; i++)
		if (functions->list[i].offset == offset)
			return true;
	return false;
}

static void add(struct heap_functions *functions, int fd, const struct elf_found *found)
{
	struct code code = { fd, found->function.offset };
	struct heap_function *function = &functions->list[functions->count];
	uint64_t site = code.offset + probe_site_choose(found->function.size, read_code, &code);

	if (has(functions, site) || functions->count == HEAP_FUNCTIONS_MAX)
		return; /* another name of it */
	*function = (struct heap_function){ .call = family[found->name].call, .offset = site };
	functions->allocates |= function->call != HEAP_LIBRARIES;
	functions->count++;
}

int heap_functions_find(struct heap_functions *functions, int fd, char *error)
{
	const char *names[FAMILY];
	struct elf_found found[FOUND_MAX];
	struct elf_file *file;
	bool has_malloc = false;
	int count;

	*functions = (struct heap_functions){ 0 };
	for (size_t i = 0; i < FAMILY; i++)
		names[i] = family[i].name;
	count = elf_file_open(&file, fd, error);
	if (count)
		return count;
	count = elf_file_find(file, names, FAMILY, found, FOUND_MAX);
	for (int i = 0; i < count; i++)
		has_malloc |= found[i].name == 0;
	for (size_t name = 0; name < FAMILY; name++)
		for (int i = 0; i < count; i++)
			if (found[i].name == name && !found[i].function.indirect && (has_malloc || !family[name].with_malloc))
				add(functions, fd, &found[i]);
	elf_file_close(file);
	return count < 0 && count != -ENOENT ? count : 0;
}
