/* SPDX-License-Identifier: BSD-2-Clause */
#include "elf_file.h"

#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

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
	SYMBOLS_BYTES_MAX = 96 << 20,
	NAMES_BYTES_MAX = 256 << 20,
	INTERPRETER_BYTES_MAX = 4096, /* PATH_MAX */
};
#define FILE_BYTES_MAX (8LL << 30)
#define FUSE_SUPER_MAGIC 0x65735546 /* include/uapi/linux/magic.h */

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

static int refuse(char error[ELF_FILE_ERROR_BYTES], int err, const char *why)
{
	snprintf(error, ELF_FILE_ERROR_BYTES, "%s", why);
	return err;
}

/* How much of a table of strings can be used: up to the last string that ends within it. */
static size_t terminated(const char *strings, size_t bytes)
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

	/* both counts can come from a section header and be 32 bits wide; libelf has not allocated or read that many yet */
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

static const struct segment *loaded_segment(const struct elf_file *file, uint64_t address, uint32_t flags)
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
	strings = entries ? loaded_segment(file, address, 0) : NULL;
	if (!strings || bytes > DYNAMIC_STRINGS_MAX || bytes > strings->bytes - (address - strings->address))
		return;
	file->strings = piece(file, strings->offset + (address - strings->address), bytes);
	if (!file->strings)
		return;
	file->string_bytes = terminated(file->strings, bytes);
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
			    memcmp((char *)notes->d_buf + name, "GNU", sizeof("GNU")) != 0 ||
			    note.n_descsz == 0 || note.n_descsz > ELF_BUILD_ID_BYTES)
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
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != NATIVE_MACHINE ||
	    header.e_ident[EI_DATA] != ELFDATA2LSB)
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

/* --- functions */

struct table {
	const Elf64_Sym *symbols;
	size_t count;
	const char *names;
	size_t name_bytes;
};

/* All of a section, in memory until the file is closed. */
static int section(Elf_Scn *at, const GElf_Shdr *header, uint64_t limit, const void **bytes, size_t *size)
{
	Elf_Data *data;

	if (header->sh_flags & SHF_COMPRESSED || header->sh_type == SHT_NOBITS)
		return -ENOEXEC;
	if (header->sh_size > limit)
		return -EFBIG;
	data = elf_rawdata(at, NULL);
	if (!data)
		return -ENOEXEC;
	*bytes = data->d_buf;
	*size = data->d_buf ? data->d_size : 0;
	return 0;
}

static int read_table(struct elf_file *file, uint32_t type, struct table *table)
{
	GElf_Shdr header, names_header;
	Elf_Scn *at = NULL, *names;
	const void *bytes;
	size_t size;
	int err;

	while ((at = elf_nextscn(file->elf, at)))
		if (gelf_getshdr(at, &header) && header.sh_type == type)
			break;
	if (!at)
		return -ENOENT;
	names = elf_getscn(file->elf, header.sh_link);
	if (!names || !gelf_getshdr(names, &names_header) || names_header.sh_type != SHT_STRTAB)
		return -ENOEXEC;
	err = section(at, &header, SYMBOLS_BYTES_MAX, &bytes, &size);
	if (err)
		return err;
	table->symbols = bytes;
	table->count = size / sizeof(Elf64_Sym);
	err = section(names, &names_header, NAMES_BYTES_MAX, &bytes, &size);
	if (err)
		return err;
	table->names = bytes;
	table->name_bytes = terminated(bytes, size);
	return 0;
}

static int visit(struct elf_file *file, const struct table *table, const Elf64_Sym *symbol,
		 int (*each)(const struct elf_function *function, void *context), void *context)
{
	int type = ELF64_ST_TYPE(symbol->st_info);
	const struct segment *segment;
	struct elf_function function;
	uint64_t at;

	if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol->st_shndx == SHN_UNDEF ||
	    symbol->st_name >= table->name_bytes || !table->names[symbol->st_name])
		return 0;
	segment = loaded_segment(file, symbol->st_value, PF_X);
	if (!segment)
		return 0;
	at = symbol->st_value - segment->address;
	function = (struct elf_function){
		.name = table->names + symbol->st_name,
		.offset = segment->offset + at,
		.size = symbol->st_size < segment->bytes - at ? symbol->st_size : segment->bytes - at,
		.indirect = type == STT_GNU_IFUNC,
	};
	return each(&function, context);
}

int elf_file_each_function(struct elf_file *file, int (*each)(const struct elf_function *function, void *context),
			   void *context)
{
	static const uint32_t types[] = { SHT_SYMTAB, SHT_DYNSYM };
	struct table table;
	int err = -ENOENT, result;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		result = read_table(file, types[i], &table);
		if (result == -ENOENT)
			continue;
		if (result)
			return result;
		err = 0;
		for (size_t n = 0; n < table.count; n++) {
			result = visit(file, &table, &table.symbols[n], each, context);
			if (result)
				return result;
		}
	}
	return err;
}

struct search {
	const char *const *names;
	size_t count;
	struct elf_found *found;
	size_t found_count, limit;
};

bool elf_name_is(const char *name, const char *wanted)
{
	size_t length = strlen(wanted);

	return strncmp(name, wanted, length) == 0 && (name[length] == '\0' || name[length] == '@');
}

static int compare(const struct elf_function *function, void *context)
{
	struct search *search = context;

	for (size_t i = 0; i < search->count; i++) {
		size_t n = 0;

		if (search->names[i][0] != function->name[0] || !elf_name_is(function->name, search->names[i]))
			continue;
		while (n < search->found_count && (search->found[n].name != i ||
						   search->found[n].function.offset != function->offset))
			n++;
		if (n < search->found_count)
			continue;
		if (search->found_count == search->limit)
			return -E2BIG;
		search->found[n] = (struct elf_found){ *function, i };
		search->found[n].function.name = search->names[i];
		search->found_count++;
	}
	return 0;
}

int elf_file_find(struct elf_file *file, const char *const *names, size_t count, struct elf_found *found, size_t limit)
{
	struct search search = { .names = names, .count = count, .found = found, .limit = limit };
	int err = elf_file_each_function(file, compare, &search);

	return err ? err : (int)search.found_count;
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
			return file->dynamic[i].d_un.d_val < file->string_bytes ?
				       file->strings + file->dynamic[i].d_un.d_val :
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
