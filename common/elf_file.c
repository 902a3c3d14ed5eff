/* SPDX-License-Identifier: BSD-2-Clause */
#include "elf_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "elf_file_state.h"

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#else
#error "probes know x86-64 and arm64 only"
#endif

/* What is larger is refused. A debug build of a web browser stays below all of them. */
enum {
	SEGMENTS_MAX = 128,
	SECTIONS_MAX = 65535,
	NOTES_BYTES_MAX = 64 << 10,
	DYNAMIC_BYTES_MAX = 1 << 20,
	DYNAMIC_STRINGS_MAX = 32 << 20,
	INTERPRETER_BYTES_MAX = 4096, /* PATH_MAX */
};
#define FILE_BYTES_MAX (8LL << 30)
#define FUSE_SUPER_MAGIC 0x65735546 /* include/uapi/linux/magic.h */

static int refuse(char error[ELF_FILE_ERROR_BYTES], int err, const char *why)
{
	snprintf(error, ELF_FILE_ERROR_BYTES, "%s", why);
	return err;
}

size_t elf_terminated(const char *strings, size_t bytes)
{
	const char *last = bytes ? memrchr(strings, '\0', bytes) : NULL;

	return last ? (size_t)(last - strings) + 1 : 0;
}

/* --- segments */

static bool in_file(const struct elf_file *file, uint64_t offset, uint64_t bytes)
{
	return offset <= file->bytes && bytes <= file->bytes - offset;
}

/* A piece of the file, in memory until the file is closed; NULL if it cannot be read. */
static const void *piece(struct elf_file *file, uint64_t offset, uint64_t bytes)
{
	Elf_Data *data;

	if (bytes == 0 || !in_file(file, offset, bytes))
		return NULL;
	data = elf_getdata_rawchunk(file->elf, (int64_t)offset, bytes, ELF_T_BYTE);
	return data && data->d_size == bytes ? data->d_buf : NULL;
}

static int read_segments(struct elf_file *file, char error[ELF_FILE_ERROR_BYTES])
{
	size_t count;

	/*
	 * both counts can come from a section header and be 32 bits wide; libelf has not allocated or read that many
	 * yet
	 */
	if (elf_getphdrnum(file->elf, &count) || count == 0)
		return refuse(error, -ENOEXEC, "it has no program headers: it is no program or shared library");
	if (count > SEGMENTS_MAX)
		return refuse(error, -EFBIG, "it has too many program headers");
	file->segments = calloc(count, sizeof(file->segments[0]));
	if (!file->segments)
		return refuse(error, -ENOMEM, "no memory");
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;

		if (!gelf_getphdr(file->elf, (int)i, &header))
			return refuse(error, -ENOEXEC, "its program headers are damaged");
		/* what is past the end of the file is not there */
		if (header.p_filesz == 0 || !in_file(file, header.p_offset, header.p_filesz) ||
		    header.p_vaddr + header.p_filesz < header.p_vaddr)
			continue;
		file->segments[file->segment_count++] = (struct segment){
			.type = header.p_type,
			.flags = header.p_flags,
			.offset = header.p_offset,
			.address = header.p_vaddr,
			.bytes = header.p_filesz,
		};
	}
	return 0;
}

static const struct segment *segment_of_type(const struct elf_file *file, uint32_t type)
{
	for (size_t i = 0; i < file->segment_count; i++)
		if (file->segments[i].type == type)
			return &file->segments[i];
	return NULL;
}

const struct segment *elf_loaded_segment(const struct elf_file *file, uint64_t address, uint32_t flags)
{
	for (size_t i = 0; i < file->segment_count; i++) {
		const struct segment *segment = &file->segments[i];

		if (segment->type == PT_LOAD && (segment->flags & flags) == flags && address >= segment->address &&
		    address - segment->address < segment->bytes)
			return segment;
	}
	return NULL;
}

static void read_interpreter(struct elf_file *file)
{
	const struct segment *segment = segment_of_type(file, PT_INTERP);
	const char *text;

	if (!segment || segment->bytes > INTERPRETER_BYTES_MAX)
		return;
	text = piece(file, segment->offset, segment->bytes);
	if (text)
		file->interpreter = strndup(text, segment->bytes);
}

static void read_dynamic(struct elf_file *file)
{
	const struct segment *segment = segment_of_type(file, PT_DYNAMIC), *strings;
	uint64_t address = 0, bytes = 0;
	const Elf64_Dyn *entries;
	size_t count;

	if (!segment || segment->bytes > DYNAMIC_BYTES_MAX)
		return;
	count = segment->bytes / sizeof(*entries);
	entries = piece(file, segment->offset, count * sizeof(*entries));
	for (size_t i = 0; entries && i < count && entries[i].d_tag != DT_NULL; i++) {
		if (entries[i].d_tag == DT_STRTAB)
			address = entries[i].d_un.d_ptr;
		if (entries[i].d_tag == DT_STRSZ)
			bytes = entries[i].d_un.d_val;
	}
	strings = entries ? elf_loaded_segment(file, address, 0) : NULL;
	if (!strings || bytes > DYNAMIC_STRINGS_MAX || bytes > strings->bytes - (address - strings->address))
		return;
	file->strings = piece(file, strings->offset + (address - strings->address), bytes);
	if (!file->strings)
		return;
	file->string_bytes = elf_terminated(file->strings, bytes);
	file->dynamic = entries;
	file->dynamic_count = count;
}

static void read_build_id(struct elf_file *file)
{
	for (size_t i = 0; i < file->segment_count && !file->build_id_bytes; i++) {
		const struct segment *segment = &file->segments[i];
		size_t at = 0, name, text;
		Elf_Data *notes;
		GElf_Nhdr note;

		if (segment->type != PT_NOTE || segment->bytes > NOTES_BYTES_MAX)
			continue;
		notes = elf_getdata_rawchunk(file->elf, (int64_t)segment->offset, segment->bytes, ELF_T_NHDR);
		while (notes && (at = gelf_getnote(notes, at, &note, &name, &text)) > 0) {
			if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != sizeof("GNU") ||
			    memcmp((char *)notes->d_buf + name, "GNU", sizeof("GNU")) != 0 || note.n_descsz == 0 ||
			    note.n_descsz > ELF_BUILD_ID_BYTES)
				continue;
			memcpy(file->build_id, (char *)notes->d_buf + text, note.n_descsz);
			file->build_id_bytes = note.n_descsz;
			break;
		}
	}
}

/* --- opening */

static int check_file(struct elf_file *file, char error[ELF_FILE_ERROR_BYTES])
{
	struct statfs system;
	struct stat status;

	if (fstat(file->fd, &status) || fstatfs(file->fd, &system))
		return refuse(error, -errno, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return refuse(error, -EINVAL, "it is not a regular file");
	if (system.f_type == FUSE_SUPER_MAGIC)
		return refuse(error, -EOPNOTSUPP, "it is on a FUSE file system, where reading it may never end");
	if (status.st_size > FILE_BYTES_MAX)
		return refuse(error, -EFBIG, "the file is too large");
	file->bytes = (uint64_t)status.st_size;
	return 0;
}

static int check_header(struct elf_file *file, char error[ELF_FILE_ERROR_BYTES])
{
	GElf_Ehdr header;
	size_t sections;

	if (elf_kind(file->elf) != ELF_K_ELF || !gelf_getehdr(file->elf, &header))
		return refuse(error, -ENOEXEC, "it is not an ELF file");
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != NATIVE_MACHINE || header.e_ident[EI_DATA] != ELFDATA2LSB)
		return refuse(error, -ENOEXEC, "it is for another machine (only 64-bit programs of this one can be probed)");
	if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
		return refuse(error, -ENOEXEC, "it is no program or shared library");
	if (elf_getshdrnum(file->elf, &sections) || sections > SECTIONS_MAX)
		return refuse(error, -EFBIG, "it has too many sections");
	return 0;
}

int elf_file_open(struct elf_file **result, int fd, char error[ELF_FILE_ERROR_BYTES])
{
	struct elf_file *file = calloc(1, sizeof(*file));
	int err;

	*result = NULL;
	if (!file)
		return refuse(error, -ENOMEM, "no memory");
	file->fd = fd;
	err = check_file(file, error);
	if (err)
		goto out;
	elf_version(EV_CURRENT);
	file->elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!file->elf) {
		err = refuse(error, -ENOEXEC, "it is not an ELF file, or damaged");
		goto out;
	}
	err = check_header(file, error);
	if (!err)
		err = read_segments(file, error);
	if (err)
		goto out;
	read_interpreter(file);
	read_dynamic(file);
	read_build_id(file);
	*result = file;
	file = NULL;
out:
	elf_file_close(file);
	return err;
}

void elf_file_close(struct elf_file *file)
{
	if (!file)
		return;
	elf_end(file->elf);
	free(file->segments);
	free(file->interpreter);
	free(file);
}

/* --- what else it says */

const char *elf_file_interpreter(const struct elf_file *file)
{
	return file->interpreter;
}

static const char *dynamic_string(const struct elf_file *file, int64_t tag, size_t skip)
{
	for (size_t i = 0; i < file->dynamic_count && file->dynamic[i].d_tag != DT_NULL; i++)
		if (file->dynamic[i].d_tag == tag && skip-- == 0)
			return file->dynamic[i].d_un.d_val < file->string_bytes ? file->strings + file->dynamic[i].d_un.d_val :
										  NULL;
	return NULL;
}

const char *elf_file_soname(const struct elf_file *file)
{
	return dynamic_string(file, DT_SONAME, 0);
}

const char *elf_file_needed(const struct elf_file *file, size_t i)
{
	return dynamic_string(file, DT_NEEDED, i);
}

size_t elf_file_build_id(const struct elf_file *file, const uint8_t **bytes)
{
	*bytes = file->build_id;
	return file->build_id_bytes;
}

bool elf_file_is_relocatable(const struct elf_file *file)
{
	GElf_Ehdr header;

	return gelf_getehdr(file->elf, &header) && header.e_type == ET_DYN;
}
