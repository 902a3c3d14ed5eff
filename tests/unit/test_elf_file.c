/* SPDX-License-Identifier: BSD-2-Clause */
#include "elf_file.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static volatile int turns;

static __attribute__((noinline)) void only_here(void)
{
	turns++;
}

/* Where the kernel says that an address of ours comes from. */
static uint64_t offset_of(const void *function, char *path)
{
	uint64_t address = (uintptr_t)function, begin, end, offset;
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		path[0] = '\0';
		assert_true(sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %255s", &begin, &end, &offset, path) >=
			    3);
		if (address >= begin && address < end) {
			fclose(maps);
			return offset + (address - begin);
		}
	}
	fail_msg("no mapping of %p", function);
	return 0;
}

static struct elf_file *open_path(const char *path, int *fd)
{
	char error[ELF_FILE_ERROR_BYTES] = "";
	struct elf_file *file;

	*fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(*fd >= 0);
	if (elf_file_open(&file, *fd, error))
		fail_msg("%s: %s", path, error);
	return file;
}

static void close_file(struct elf_file *file, int fd)
{
	elf_file_close(file);
	close(fd);
}

static void a_static_function_is_where_the_kernel_has_mapped_it(void **state)
{
	static const char *const names[] = { "no_such_function", "only_here" };
	struct elf_found found[3];
	struct elf_file *file;
	char path[256];
	int fd;

	(void)state;
	only_here();
	file = open_path("/proc/self/exe", &fd);
	assert_int_equal(elf_file_find(file, names, 2, found, 3), 1);
	assert_int_equal(found[0].name, 1);
	assert_string_equal(found[0].function.name, "only_here");
	assert_int_equal(found[0].function.offset, offset_of((void *)only_here, path));
	assert_true(found[0].function.size > 0 && !found[0].function.indirect);
	assert_string_equal(elf_file_interpreter(file), "/lib64/ld-linux-x86-64.so.2");
	assert_null(elf_file_soname(file));
	close_file(file, fd);
}

static void the_functions_of_a_library_are_found_in_one_pass(void **state)
{
	static const char *const names[] = { "malloc", "free", "strlen", "posix_memalign" };
	void *libc = dlopen("libc.so.6", RTLD_LAZY); /* its own functions, whatever a sanitizer puts before them */
	bool seen[4] = { false }, needs_libc = false;
	const char *needed;
	struct elf_found found[16];
	const uint8_t *id;
	struct elf_file *file;
	char path[256];
	int fd, count;

	(void)state;
	assert_non_null(libc);
	offset_of(dlsym(libc, "malloc"), path);
	file = open_path(path, &fd);
	count = elf_file_find(file, names, 4, found, 16);
	assert_in_range(count, 4, 16);
	for (int i = 0; i < count; i++) {
		const struct elf_function *function = &found[i].function;
		char other[256];

		seen[found[i].name] = true;
		assert_int_equal(function->indirect, found[i].name == 2);
		if (!function->indirect)
			assert_int_equal(function->offset, offset_of(dlsym(libc, function->name), other));
	}
	assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
	assert_string_equal(elf_file_soname(file), "libc.so.6");
	assert_in_range(elf_file_build_id(file, &id), 16, ELF_BUILD_ID_BYTES);
	assert_true(elf_file_is_relocatable(file));
	assert_int_equal(elf_file_find(file, names, 4, found, 3), -E2BIG);
	close_file(file, fd);

	file = open_path("/proc/self/exe", &fd);
	for (size_t i = 0; (needed = elf_file_needed(file, i)); i++)
		needs_libc |= strcmp(needed, "libc.so.6") == 0;
	assert_true(needs_libc);
	close_file(file, fd);
	dlclose(libc);
}

static void names_may_have_versions(void **state)
{
	(void)state;
	assert_true(elf_name_is("fopen", "fopen"));
	assert_true(elf_name_is("fopen@@GLIBC_2.2.5", "fopen"));
	assert_false(elf_name_is("fopen64", "fopen"));
	assert_false(elf_name_is("fop", "fopen"));
}

/* --- files that are not what they should be */

static int refused(int fd, const char *expected)
{
	char error[ELF_FILE_ERROR_BYTES] = "";
	struct elf_file *file;
	int err = elf_file_open(&file, fd, error);

	assert_true(err < 0);
	assert_null(file);
	if (!strstr(error, expected))
		fail_msg("\"%s\" has no \"%s\"", error, expected);
	return err;
}

static void only_regular_files_that_are_elf_are_read(void **state)
{
	char directory[] = "/tmp/test_elf_file.XXXXXX", fifo[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(refused(fd, "regular"), -EINVAL);
	close(fd);
	fd = open(directory, O_RDONLY | O_CLOEXEC);
	assert_int_equal(refused(fd, "regular"), -EINVAL);
	close(fd);
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	assert_int_equal(refused(fd, "regular"), -EINVAL);
	close(fd);
	unlink(fifo);
	rmdir(directory);

	fd = memfd_create("text", MFD_CLOEXEC);
	assert_int_equal(refused(fd, "ELF"), -ENOEXEC);
	assert_int_equal(pwrite(fd, "#!/bin/sh\n", 10, 0), 10);
	assert_int_equal(refused(fd, "ELF"), -ENOEXEC);
	assert_int_equal(ftruncate(fd, 1LL << 40), 0);
	assert_int_equal(refused(fd, "too large"), -EFBIG);
	close(fd);
	assert_int_equal(refused(-1, ""), -EBADF);
}

/* This program, for tests to spoil. */
struct copy {
	int fd;
	uint8_t *bytes;
	size_t size;
};

static struct copy copy_self(void)
{
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat status;
	struct copy copy;

	assert_int_equal(fstat(self, &status), 0);
	copy.size = (size_t)status.st_size;
	copy.bytes = malloc(copy.size);
	assert_int_equal(read(self, copy.bytes, copy.size), copy.size);
	close(self);
	copy.fd = memfd_create("copy", MFD_CLOEXEC);
	assert_int_equal(pwrite(copy.fd, copy.bytes, copy.size, 0), copy.size);
	return copy;
}

static void put(const struct copy *copy, size_t at, const void *bytes, size_t size)
{
	assert_int_equal(pwrite(copy->fd, bytes, size, (off_t)at), size);
}

static void restore(const struct copy *copy)
{
	assert_int_equal(ftruncate(copy->fd, (off_t)copy->size), 0);
	put(copy, 0, copy->bytes, copy->size);
}

static void drop_copy(struct copy *copy)
{
	close(copy->fd);
	free(copy->bytes);
}

#define SPOIL(copy, field, number, expected, err)                     \
	do {                                                          \
		Elf64_Ehdr header = *(Elf64_Ehdr *)(copy)->bytes;     \
		header.field = (number);                              \
		put(copy, 0, &header, sizeof(header));                \
		assert_int_equal(refused((copy)->fd, expected), err); \
		restore(copy);                                        \
	} while (0)

static void programs_for_other_machines_and_other_files_are_refused(void **state)
{
	struct copy copy = copy_self();

	(void)state;
	SPOIL(&copy, e_machine, EM_386, "another machine", -ENOEXEC);
	SPOIL(&copy, e_ident[EI_CLASS], ELFCLASS32, "", -ENOEXEC);
	SPOIL(&copy, e_ident[EI_DATA], ELFDATA2MSB, "", -ENOEXEC);
	SPOIL(&copy, e_type, ET_REL, "no program", -ENOEXEC);
	SPOIL(&copy, e_type, ET_CORE, "no program", -ENOEXEC);
	SPOIL(&copy, e_phnum, 0, "program headers", -ENOEXEC);
	SPOIL(&copy, e_phnum, 1000, "too many", -EFBIG);
	drop_copy(&copy);
}

static int check_function(const struct elf_function *function, void *context)
{
	size_t size = *(size_t *)context;

	assert_true(function->offset < size && function->size <= size - function->offset);
	return 0;
}

/* What can be opened must give answers within the file; which of them does not matter. */
static void try_all(int fd, size_t size)
{
	static const char *const names[] = { "only_here", "main" };
	char error[ELF_FILE_ERROR_BYTES] = "";
	struct elf_found found[2];
	struct elf_file *file;

	if (elf_file_open(&file, fd, error)) {
		assert_true(error[0]);
		return;
	}
	elf_file_each_function(file, check_function, &size);
	elf_file_find(file, names, 2, found, 2);
	elf_file_soname(file);
	for (size_t i = 0; i < 100 && elf_file_needed(file, i); i++)
		;
	elf_file_close(file);
}

static void truncated_and_damaged_files_do_no_harm(void **state)
{
	struct copy copy = copy_self();
	const Elf64_Ehdr *header = (Elf64_Ehdr *)copy.bytes;
	const Elf64_Shdr *sections = (Elf64_Shdr *)(copy.bytes + header->e_shoff);
	uint32_t random = 12345;

	(void)state;
	for (size_t size = copy.size; size > 0; size -= size / 11 + 1) {
		assert_int_equal(ftruncate(copy.fd, (off_t)size), 0);
		try_all(copy.fd, size);
	}
	restore(&copy);
	for (int round = 0; round < 500; round++) {
		for (int i = 0; i < 3; i++) {
			uint8_t byte;
			size_t at;

			random = random * 1664525 + 1013904223;
			byte = (uint8_t)(random >> 24);
			/* headers at the beginning and section headers at the end are what counts */
			at = random % 2 ? random / 2 % 1024 : header->e_shoff + random / 2 % (header->e_shnum * sizeof(*sections));
			put(&copy, at, &byte, 1);
		}
		try_all(copy.fd, copy.size);
		if (round % 5 == 4)
			restore(&copy);
	}
	drop_copy(&copy);
}

static void a_table_that_is_too_large_is_refused(void **state)
{
	static const char *const names[] = { "only_here" };
	struct copy copy = copy_self();
	const Elf64_Ehdr *header = (Elf64_Ehdr *)copy.bytes;
	const Elf64_Shdr *sections = (Elf64_Shdr *)(copy.bytes + header->e_shoff);
	char error[ELF_FILE_ERROR_BYTES];
	struct elf_found found[1];
	struct elf_file *file;

	(void)state;
	assert_int_equal(ftruncate(copy.fd, 2LL << 30), 0);
	for (int i = 0; i < header->e_shnum; i++) {
		Elf64_Shdr section = sections[i];

		if (section.sh_type != SHT_SYMTAB && section.sh_type != SHT_STRTAB)
			continue;
		section.sh_size = 1 << 30;
		put(&copy, header->e_shoff + i * sizeof(section), &section, sizeof(section));
	}
	assert_int_equal(elf_file_open(&file, copy.fd, error), 0);
	assert_int_equal(elf_file_find(file, names, 1, found, 1), -EFBIG);
	elf_file_close(file);
	drop_copy(&copy);
}

static void a_file_without_sections_has_no_functions(void **state)
{
	static const char *const names[] = { "only_here" };
	struct copy copy = copy_self();
	Elf64_Ehdr header = *(Elf64_Ehdr *)copy.bytes;
	char error[ELF_FILE_ERROR_BYTES];
	struct elf_found found[1];
	struct elf_file *file;

	(void)state;
	header.e_shnum = 0;
	header.e_shoff = 0;
	put(&copy, 0, &header, sizeof(header));
	assert_int_equal(elf_file_open(&file, copy.fd, error), 0);
	assert_int_equal(elf_file_find(file, names, 1, found, 1), -ENOENT);
	elf_file_close(file);
	drop_copy(&copy);
}

/* The file is read in pieces, never mapped: what is cut off after it was opened is an error, not a signal. */
static void a_file_may_shrink_while_it_is_read(void **state)
{
	static const char *const names[] = { "only_here" };
	struct copy copy = copy_self();
	char error[ELF_FILE_ERROR_BYTES];
	struct elf_found found[1];
	struct elf_file *file;

	(void)state;
	assert_int_equal(elf_file_open(&file, copy.fd, error), 0);
	assert_int_equal(ftruncate(copy.fd, 4096), 0);
	assert_true(elf_file_find(file, names, 1, found, 1) < 0);
	elf_file_close(file);
	drop_copy(&copy);
	elf_file_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_static_function_is_where_the_kernel_has_mapped_it),
		cmocka_unit_test(the_functions_of_a_library_are_found_in_one_pass),
		cmocka_unit_test(names_may_have_versions),
		cmocka_unit_test(only_regular_files_that_are_elf_are_read),
		cmocka_unit_test(programs_for_other_machines_and_other_files_are_refused),
		cmocka_unit_test(truncated_and_damaged_files_do_no_harm),
		cmocka_unit_test(a_table_that_is_too_large_is_refused),
		cmocka_unit_test(a_file_without_sections_has_no_functions),
		cmocka_unit_test(a_file_may_shrink_while_it_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
