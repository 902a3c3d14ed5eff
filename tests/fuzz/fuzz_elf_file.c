/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program or library that somebody wants probed: whatever is in it, what is found lies within the file.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf_file.h"

static int check(const struct elf_function *function, void *context)
{
	size_t size = *(size_t *)context;

	assert(function->name[0] && strlen(function->name) < size);
	assert(function->offset < size && function->size <= size - function->offset);
	return 0;
}

static void check_texts(const struct elf_file *file, size_t size)
{
	const char *text;
	const uint8_t *id;
	size_t bytes = elf_file_build_id(file, &id);

	assert(bytes <= ELF_BUILD_ID_BYTES);
	text = elf_file_soname(file);
	assert(!text || strlen(text) < size);
	text = elf_file_interpreter(file);
	assert(!text || strlen(text) <= size);
	for (size_t i = 0; i < 100 && (text = elf_file_needed(file, i)); i++)
		assert(strlen(text) < size);
	elf_file_is_relocatable(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "work", "malloc", "" };
	static int fd = -1;
	char error[ELF_FILE_ERROR_BYTES] = "";
	struct elf_found found[4];
	struct elf_file *file;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	assert(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	if (elf_file_open(&file, fd, error)) {
		assert(error[0] && !file);
		return 0;
	}
	check_texts(file, size);
	elf_file_each_function(file, check, &size);
	assert(elf_file_find(file, names, 3, found, 4) <= 4);
	elf_file_close(file);
	return 0;
}
