/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of elf_file.h share: elf_file.c (segments, and what else a file says), elf_functions.c (its symbol tables).
 */
#ifndef TASKMON_ELF_FILE_STATE_H
#define TASKMON_ELF_FILE_STATE_H

#include <gelf.h>
#include <libelf.h>

#include "elf_file.h"

struct segment {
	uint32_t type, flags;
	uint64_t offset, address, bytes; /* bytes in the file */
};

struct elf_file {
	Elf *elf;
	int fd;
	uint64_t bytes;
	struct segment *segments;
	size_t segment_count;
	char *interpreter;
	const char *strings; /* of the dynamic section */
	size_t string_bytes;
	const Elf64_Dyn *dynamic;
	size_t dynamic_count;
	uint8_t build_id[ELF_BUILD_ID_BYTES];
	size_t build_id_bytes;
};

/** How much of a table of strings can be used: up to the last string that ends within it. */
size_t elf_terminated(const char *strings, size_t bytes);

/** The segment that an address is in once it is loaded, if it has these flags (PF_X); else NULL. */
const struct segment *elf_loaded_segment(const struct elf_file *file, uint64_t address, uint32_t flags);

#endif
