/* SPDX-License-Identifier: BSD-2-Clause */
#include "words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "term_set.h"

struct word {
	UT_hash_handle hh;
	struct term_set in_kernel, terms;
	enum kernel_table table;
	size_t key_size;
	/* hashed: */
	struct word_key {
		uint32_t table;
		uint8_t key[sizeof(struct name_key)];
	} id;
};

struct words {
	struct kernel *kernel;
	struct word *table;
};

struct words *words_new(struct kernel *kernel)
{
	struct words *words = calloc(1, sizeof(*words));

	if (words)
		words->kernel = kernel;
	return words;
}

void words_free(struct words *words)
{
	struct word *word, *next;

	if (!words)
		return;
	HASH_ITER(hh, words->table, word, next) {
		HASH_DEL(words->table, word);
		free(word);
	}
	free(words);
}

static struct word *find_word(const struct words *words, enum kernel_table table, const void *key, size_t size)
{
	struct word_key id = { .table = table };
	struct word *word;

	memcpy(id.key, key, size);
	HASH_FIND(hh, words->table, &id, sizeof(id), word);
	return word;
}

static int add_word(struct words *words, enum kernel_table table, const void *key, size_t size, size_t bit)
{
	struct word *word = find_word(words, table, key, size);

	if (!word) {
		word = calloc(1, sizeof(*word));
		if (!word)
			return -ENOMEM;
		word->table = table;
		word->id.table = table;
		word->key_size = size;
		memcpy(word->id.key, key, size);
		HASH_ADD(hh, words->table, id, sizeof(word->id), word);
		if (!word->hh.tbl) {
			free(word);
			return -ENOMEM;
		}
	}
	term_set_add(&word->terms, bit);
	return 0;
}

static struct prefix_key prefix_of(const char *text, size_t length, bool is_kernel_thread)
{
	struct prefix_key key = { .length_bits = (u32)(8 * (1 + length)), .is_kernel_thread = is_kernel_thread };

	memcpy(key.comm, text, length);
	return key;
}

static int add_name(struct words *words, const char *word, bool is_kernel_thread, size_t bit)
{
	size_t length = strlen(word);
	struct name_key name = { .is_kernel_thread = is_kernel_thread };
	struct prefix_key prefix;

	if (length > 0 && word[length - 1] == '*') {
		prefix = prefix_of(word, length - 1, is_kernel_thread);
		return add_word(words, TABLE_PREFIXES, &prefix, sizeof(prefix), bit);
	}
	memcpy(name.comm, word, length);
	return add_word(words, TABLE_NAMES, &name, sizeof(name), bit);
}

/* FNV-1a, as the exec program computes it. */
static u64 hash_token(const char *token, size_t length)
{
	u64 hash = ARGV_HASH_SEED;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)token[i]) * ARGV_HASH_PRIME;
	return hash;
}

static u64 argv_key(const char *word)
{
	if (strncmp(word, "*/", 2) == 0)
		return hash_token(word + 2, strlen(word + 2)) ^ ARGV_BASENAME_SALT;
	return hash_token(word, strlen(word));
}

int words_add(struct words *words, const struct term *term, size_t bit)
{
	int err = 0;

	for (size_t i = 0; !err && i < term->word_count; i++) {
		u64 key = argv_key(term->words[i]);

		err = term->kind == TERM_ARGV ? add_word(words, TABLE_ARGV, &key, sizeof(key), bit) :
						add_name(words, term->words[i], term->kind == TERM_KERNEL_THREAD, bit);
	}
	if (term->kind == TERM_USER)
		err = add_word(words, TABLE_USERS, &term->user, sizeof(term->user), bit);
	if (term->kind == TERM_CONNECTION)
		err = add_word(words, TABLE_CONNECTIONS, &term->connection, sizeof(term->connection), bit);
	return err;
}

/* The kernel finds only the longest prefix, so each one stands for the shorter ones too. */
static struct term_set terms_of_word(const struct words *words, const struct word *word)
{
	struct term_set set = word->terms;
	struct prefix_key key;

	if (word->table != TABLE_PREFIXES || term_set_is_empty(&set))
		return set;
	memcpy(&key, word->id.key, sizeof(key));
	for (size_t length = key.length_bits / 8 - 1; length-- > 0;) {
		struct prefix_key shorter = prefix_of(key.comm, length, key.is_kernel_thread);
		const struct word *other = find_word(words, TABLE_PREFIXES, &shorter, sizeof(shorter));

		if (other)
			term_set_join(&set, &other->terms);
	}
	return set;
}

void words_begin(struct words *words)
{
	struct word *word, *next;

	HASH_ITER(hh, words->table, word, next)
		word->terms = (struct term_set){ 0 };
}

int words_push(struct words *words)
{
	struct word *word, *next;
	int err = 0;

	HASH_ITER(hh, words->table, word, next) {
		struct term_set now = terms_of_word(words, word);
		int failed = 0;

		if (!term_set_same(&now, &word->in_kernel))
			failed = kernel_table_set(words->kernel, word->table, word->id.key, term_set_is_empty(&now) ? NULL : &now);
		if (failed)
			err = failed;
		else
			word->in_kernel = now;
	}
	HASH_ITER(hh, words->table, word, next) {
		if (!term_set_is_empty(&word->terms) || !term_set_is_empty(&word->in_kernel))
			continue;
		HASH_DEL(words->table, word);
		free(word);
	}
	return err;
}

static void add_terms_of(const struct words *words, u64 key, struct term_set *facts)
{
	const struct word *word = find_word(words, TABLE_ARGV, &key, sizeof(key));

	if (word)
		term_set_join(facts, &word->terms);
}

void words_of_argument(const struct words *words, const char *argument, size_t length, struct term_set *facts)
{
	const char *slash = memrchr(argument, '/', length), *last = slash ? slash + 1 : argument;

	add_terms_of(words, hash_token(argument, length), facts);
	add_terms_of(words, hash_token(last, (size_t)(argument + length - last)) ^ ARGV_BASENAME_SALT, facts);
}
