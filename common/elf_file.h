/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What probes need to know of a program or a shared library: where its functions begin, as offsets in the file.
 *
 * The file may be hostile, and change while it is read. It is never mapped (a file that is truncated would kill who
 * reads it), only read in pieces, each of which is limited and checked before anything in it is used. Only files for
 * the machine that this runs on, 64 bits.
 */
#ifndef TASKMON_ELF_FILE_H
#define TASKMON_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_FILE_ERROR_BYTES 128 /* enough for any text that these functions write */
#define ELF_BUILD_ID_BYTES 64

struct elf_file;

/** A function that the file defines. */
struct elf_function {
	const char *name; /* as in the symbol table, perhaps with @VERSION, of any length; lives as long as the file */
	uint64_t offset;  /* of its first instruction in the file */
	uint64_t size;    /* bytes, never beyond the end of its segment; 0: not known */
	bool indirect;    /* it returns the address of the function (STT_GNU_IFUNC) and is not the function itself */
};

/** A function that elf_file_find() found, and which of the names it has. */
struct elf_found {
	struct elf_function function; /* its name is the one that was asked for */
	size_t name;                  /* index */
};

/**
 * Open what `fd` refers to; the descriptor stays the caller's and must stay open. Returns 0, -ENOMEM, the errno of
 * reading it, or with the reason as a text in `error`: -EINVAL if it is no regular file, -EOPNOTSUPP if it is on a file
 * system that can keep a reader waiting for ever (FUSE), -EFBIG if it is larger than can be handled, -ENOEXEC if it is
 * no program or library for this machine, or a damaged one. `error` is never empty after a failure.
 */
int elf_file_open(struct elf_file **file, int fd, char error[ELF_FILE_ERROR_BYTES]);
/** NULL is fine. */
void elf_file_close(struct elf_file *file);

/**
 * Call `each` for every function in `.symtab`, then in `.dynsym` (so most of a library's come twice), until it returns
 * other than 0, which is then returned. -ENOENT if there is no table at all (stripped), -EFBIG if one is larger than
 * can be handled, -ENOEXEC if damaged, -ENOMEM, -EIO.
 */
int elf_file_each_function(struct elf_file *file, int (*each)(const struct elf_function *function, void *context), void *context);

/**
 * All functions that have one of `names` exactly, in one pass. A name may stand for several (static functions of
 * different source files); what has the same name and offset counts once. Returns how many were found, 0 if none,
 * -E2BIG if there are more than `limit`, else as elf_file_each_function().
 */
int elf_file_find(struct elf_file *file, const char *const *names, size_t count, struct elf_found *found, size_t limit);

/** Is `name` of a symbol table this one, whatever its version? */
bool elf_name_is(const char *name, const char *wanted);

/** PT_INTERP: the program's loader. NULL: it is linked statically, or a library. */
const char *elf_file_interpreter(const struct elf_file *file);
/** DT_SONAME; NULL: it has none. */
const char *elf_file_soname(const struct elf_file *file);
/** DT_NEEDED number `i`; NULL: there are no more. */
const char *elf_file_needed(const struct elf_file *file, size_t i);
/** The build id; how many bytes, 0: it has none. */
size_t elf_file_build_id(const struct elf_file *file, const uint8_t **bytes);
/** Not linked to a fixed address: a shared library or PIE. */
bool elf_file_is_relocatable(const struct elf_file *file);

#endif
