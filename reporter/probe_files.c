/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the names of functions to symbols. Names of C++ and Rust are looked at here, with nobody's rights but the
 * user's, so that the collector need not run a demangler over what a stranger has written: it is asked for names
 * exactly as they are in the symbol table.
 */
#include "probe.h"

#include <ctype.h>
#include <errno.h>
#include <libiberty/demangle.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf_file.h"
#include "log.h"
#include "probe_path.h"

enum { MANGLED_MAX = 4096, NAME_MAX_BYTES = 1024, ERROR_BYTES = 256 };

/* What one probe is looked for by. */
struct search {
	struct probe_set *set;
	size_t probe, file;
	const char *wanted;
	char plain[NAME_MAX_BYTES]; /* `wanted` without spaces that do not matter */
	char key[NAME_MAX_BYTES];   /* a part that the mangled name has too; empty: there is none */
	bool demangle;
	bool is_indirect;
	char clone[NAME_MAX_BYTES]; /* "NAME.something": what the compiler has made of it */
};

/* --- names */

/* "f( int, char * )" is "f(int,char*)". */
static void squeeze(char *out, size_t size, const char *name)
{
	size_t used = 0;

	for (; *name && used + 1 < size; name++) {
		bool between_words = *name == ' ' && used && (isalnum((unsigned char)out[used - 1]) || out[used - 1] == '_') &&
				     (isalnum((unsigned char)name[1]) || name[1] == '_');

		if (*name != ' ' || between_words)
			out[used++] = *name;
	}
	out[used] = '\0';
}

/* The last identifier before the parameters: mangled names have it as it is, except those of operators. */
static void find_key(struct search *search)
{
	const char *end = search->plain + strcspn(search->plain, "(<"), *begin = end;

	while (begin > search->plain && (isalnum((unsigned char)begin[-1]) || begin[-1] == '_'))
		begin--;
	if (!strstr(search->plain, "operator"))
		snprintf(search->key, sizeof(search->key), "%.*s", (int)(end - begin), begin);
}

static bool is_demangled(const char *name, int options, const char *wanted)
{
	char squeezed[NAME_MAX_BYTES];
	char *text = cplus_demangle(name, options);
	bool same = false;

	if (text) {
		squeeze(squeezed, sizeof(squeezed), text);
		same = strcmp(squeezed, wanted) == 0;
	}
	free(text);
	return same;
}

static bool is_wanted(const struct search *search, const char *name)
{
	if (!search->demangle)
		return elf_name_is(name, search->wanted);
	if (name[0] != '_' || (name[1] != 'Z' && name[1] != 'R') || strnlen(name, MANGLED_MAX) == MANGLED_MAX ||
	    !strstr(name, search->key))
		return false;
	return is_demangled(name, DMGL_AUTO | DMGL_ANSI | DMGL_PARAMS, search->plain) ||
	       is_demangled(name, DMGL_AUTO | DMGL_ANSI, search->plain);
}

/* --- symbols */

static int add_symbol(struct search *search, const struct elf_function *function)
{
	struct probe_set *set = search->set;
	struct probe_symbol *symbol = &set->symbols[set->symbol_count];
	char *shown = NULL;

	/* a constructor has several names, and static functions of one name are found together by the collector */
	for (size_t i = 0; i < set->symbol_count; i++)
		if (set->symbols[i].probe == search->probe && set->symbols[i].file == search->file &&
		    (set->symbols[i].offset == function->offset || elf_name_is(function->name, set->symbols[i].name)))
			return 0;
	if (set->symbol_count == PROBES_MAX)
		return -E2BIG;
	symbol->name = strndup(function->name, strcspn(function->name, "@"));
	if (search->demangle && symbol->name)
		shown = cplus_demangle(symbol->name, DMGL_AUTO | DMGL_ANSI | DMGL_PARAMS);
	symbol->shown = shown ? shown : strdup(search->wanted);
	symbol->probe = search->probe;
	symbol->file = search->file;
	symbol->offset = function->offset;
	set->symbol_count++;
	return symbol->name && symbol->shown ? 0 : -ENOMEM;
}

static int look_at(const struct elf_function *function, void *context)
{
	struct search *search = context;
	size_t length = strlen(search->wanted);

	if (is_wanted(search, function->name)) {
		/* of what the compiler has changed the arguments may be others */
		if (search->demangle && strchr(function->name, '.'))
			snprintf(search->clone, sizeof(search->clone), "%.200s", function->name);
		else if (!function->indirect)
			return add_symbol(search, function);
		else
			search->is_indirect = true;
	}
	if (!search->demangle && strncmp(function->name, search->wanted, length) == 0 && function->name[length] == '.')
		snprintf(search->clone, sizeof(search->clone), "%.200s", function->name);
	return 0;
}

static int refuse(const struct probe_set *set, size_t number, int err, const char *why)
{
	const struct probe *probe = &set->list[number];

	if (set->optional && err != -EPERM)
		log_warning(NULL, "memleak_probes: %s:%s is not probed: %s", probe->binary, probe->function, why);
	else
		log_error(NULL, "--probe %s:%s: %s", probe->binary, probe->function, why);
	return err;
}

static int explain(const struct search *search, int err)
{
	const struct probe_set *set = search->set;
	size_t probe = search->probe;
	char text[ERROR_BYTES];

	if (err == -ENOENT)
		return refuse(set, probe, err, "the file has no symbol table (it is stripped)");
	if (err == -E2BIG)
		return refuse(set, probe, err, "too many functions have that name (expected at most 16 in all)");
	if (err == -EFBIG)
		return refuse(set, probe, err, "its symbol table is too large");
	if (err)
		return refuse(set, probe, err, err == -ENOMEM ? "out of memory" : "its symbol table is damaged");
	if (search->is_indirect)
		return refuse(set, probe, -ENOENT,
			      "the symbol is not a function but chooses one when the program starts (an IFUNC)");
	if (search->clone[0]) {
		snprintf(text, sizeof(text),
			 "the compiler has made %.150s of it, with other arguments perhaps (expected that name)", search->clone);
		return refuse(set, probe, -ENOENT, text);
	}
	return refuse(set, probe, -ENOENT,
		      "there is no function of that name in the file (expected a name of its symbol table, or one of C++)");
}

static int find_functions(struct probe_set *set, size_t number, size_t number_of_file, struct elf_file *file)
{
	const struct probe *probe = &set->list[number];
	struct search search = { .set = set, .probe = number, .file = number_of_file, .wanted = probe->function };
	size_t before = set->symbol_count;
	int err;

	squeeze(search.plain, sizeof(search.plain), probe->function);
	find_key(&search);
	err = elf_file_each_function(file, look_at, &search);
	if (!err && set->symbol_count == before && !search.is_indirect) {
		search.demangle = true;
		err = elf_file_each_function(file, look_at, &search);
	}
	return !err && set->symbol_count > before ? 0 : explain(&search, err);
}

/* --- files */

/* Two probes of one file share its descriptor. Takes `fd`. Returns its number, or -EMFILE. */
static int number_of(struct probe_set *set, int fd)
{
	struct stat file, other;

	for (size_t i = 0; i < set->file_count; i++) {
		if (fstat(fd, &file) == 0 && fstat(set->files[i], &other) == 0 && file.st_ino == other.st_ino &&
		    file.st_dev == other.st_dev) {
			close(fd);
			return (int)i;
		}
	}
	if (set->file_count == PROBE_FILES_MAX) {
		close(fd);
		return -EMFILE;
	}
	set->files[set->file_count] = fd;
	return (int)set->file_count++;
}

static int open_one(struct probe_set *set, size_t number, const uint32_t *pids, size_t pid_count, const char *command)
{
	const struct probe *probe = &set->list[number];
	char error[ERROR_BYTES];
	struct elf_file *file;
	int fd = probe_path_open(probe->binary, pids, pid_count, command, error, sizeof(error)), err;

	if (fd < 0)
		return refuse(set, number, fd, error);
	fd = number_of(set, fd);
	if (fd < 0)
		return refuse(set, number, fd, "there are too many files (expected at most 8)");
	if (elf_file_open(&file, set->files[fd], error))
		return refuse(set, number, -ENOEXEC, error);
	err = find_functions(set, number, (size_t)fd, file);
	elf_file_close(file);
	return err;
}

int probe_files_open(struct probe_set *set, const uint32_t *pids, size_t pid_count, const char *command)
{
	int err = 0;

	for (size_t i = 0; !err && i < set->count; i++) {
		err = open_one(set, i, pids, pid_count, command);
		if (set->optional && err != -EPERM)
			err = 0;
	}
	return err;
}
