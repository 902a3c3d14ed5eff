/* SPDX-License-Identifier: BSD-2-Clause */
#include "elf_file.h"

#include <errno.h>
#include <string.h>

#include "elf_file_state.h"

/* What is larger is refused; see elf_file.c. */
enum {
	SYMBOLS_BYTES_MAX = 96 << 20,
	NAMES_BYTES_MAX = 256 << 20,
};

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
	table->name_bytes = elf_terminated(bytes, size);
	return 0;
}

static int visit(struct elf_file *file, const struct table *table, const Elf64_Sym *symbol,
		 int (*each)(const struct elf_function *function, void *context), void *context)
{
	int type = ELF64_ST_TYPE(symbol->st_info);
	const struct segment *segment;
	struct elf_function function;
	uint64_t at;

	if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol->st_shndx == SHN_UNDEF || symbol->st_name >= table->name_bytes ||
	    !table->names[symbol->st_name])
		return 0;
	segment = elf_loaded_segment(file, symbol->st_value, PF_X);
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

int elf_file_each_function(struct elf_file *file, int (*each)(const struct elf_function *function, void *context), void *context)
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
		while (n < search->found_count &&
		       (search->found[n].name != i || search->found[n].function.offset != function->offset))
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
