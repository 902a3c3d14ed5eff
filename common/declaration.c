/* SPDX-License-Identifier: BSD-2-Clause */
#include "declaration.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"

#define EXPECTED "expected integers, bool, pointers, const char * or char [N]"

/* What a word of a type adds to it. */
enum word_class {
	WORD_IGNORED, /* const and the like */
	WORD_SIGN,
	WORD_WIDTH,
	WORD_LONG,
	WORD_CHAR,
	WORD_WHOLE, /* a type by itself */
	WORD_VOID,
	WORD_FLOAT,
	WORD_AGGREGATE, /* struct NAME, union NAME */
	WORD_ENUM,
	WORD_UNUSABLE,
};

static const struct type_word {
	const char *word;
	enum word_class class;
	enum declared_kind kind;
	unsigned int bytes;
} type_words[] = {
	{ "const", WORD_IGNORED, 0, 0 },
	{ "volatile", WORD_IGNORED, 0, 0 },
	{ "restrict", WORD_IGNORED, 0, 0 },
	{ "__restrict", WORD_IGNORED, 0, 0 },
	{ "register", WORD_IGNORED, 0, 0 },
	{ "signed", WORD_SIGN, DECLARED_SIGNED, 0 },
	{ "unsigned", WORD_SIGN, DECLARED_UNSIGNED, 0 },
	{ "char", WORD_CHAR, DECLARED_SIGNED, 1 },
	{ "short", WORD_WIDTH, DECLARED_SIGNED, 2 },
	{ "int", WORD_WIDTH, DECLARED_SIGNED, 4 },
	{ "long", WORD_LONG, DECLARED_SIGNED, 8 },
	{ "bool", WORD_WHOLE, DECLARED_BOOL, 1 },
	{ "_Bool", WORD_WHOLE, DECLARED_BOOL, 1 },
	{ "int8_t", WORD_WHOLE, DECLARED_SIGNED, 1 },
	{ "int16_t", WORD_WHOLE, DECLARED_SIGNED, 2 },
	{ "int32_t", WORD_WHOLE, DECLARED_SIGNED, 4 },
	{ "int64_t", WORD_WHOLE, DECLARED_SIGNED, 8 },
	{ "uint8_t", WORD_WHOLE, DECLARED_UNSIGNED, 1 },
	{ "uint16_t", WORD_WHOLE, DECLARED_UNSIGNED, 2 },
	{ "uint32_t", WORD_WHOLE, DECLARED_UNSIGNED, 4 },
	{ "uint64_t", WORD_WHOLE, DECLARED_UNSIGNED, 8 },
	{ "intptr_t", WORD_WHOLE, DECLARED_SIGNED, 8 },
	{ "uintptr_t", WORD_WHOLE, DECLARED_UNSIGNED, 8 },
	{ "intmax_t", WORD_WHOLE, DECLARED_SIGNED, 8 },
	{ "uintmax_t", WORD_WHOLE, DECLARED_UNSIGNED, 8 },
	{ "ptrdiff_t", WORD_WHOLE, DECLARED_SIGNED, 8 },
	{ "size_t", WORD_WHOLE, DECLARED_UNSIGNED, 8 },
	{ "ssize_t", WORD_WHOLE, DECLARED_SIGNED, 8 },
	{ "off_t", WORD_WHOLE, DECLARED_SIGNED, 8 },
	{ "time_t", WORD_WHOLE, DECLARED_SIGNED, 8 },
	{ "pid_t", WORD_WHOLE, DECLARED_SIGNED, 4 },
	{ "uid_t", WORD_WHOLE, DECLARED_UNSIGNED, 4 },
	{ "gid_t", WORD_WHOLE, DECLARED_UNSIGNED, 4 },
	{ "mode_t", WORD_WHOLE, DECLARED_UNSIGNED, 4 },
	{ "socklen_t", WORD_WHOLE, DECLARED_UNSIGNED, 4 },
	{ "wchar_t", WORD_WHOLE, DECLARED_SIGNED, 4 },
	{ "void", WORD_VOID, 0, 0 },
	{ "float", WORD_FLOAT, 0, 0 },
	{ "double", WORD_FLOAT, 0, 0 },
	{ "struct", WORD_AGGREGATE, 0, 0 },
	{ "union", WORD_AGGREGATE, 0, 0 },
	{ "class", WORD_AGGREGATE, 0, 0 },
	{ "enum", WORD_ENUM, 0, 0 },
	{ "__int128", WORD_UNUSABLE, 0, 0 },
	{ "_Complex", WORD_UNUSABLE, 0, 0 },
};

/* Fixed columns of memleak.csv and keys of the JSON objects: an argument of that name gets another. */
static const char *const taken_names[] = {
	"Ticks", "Size", "Times", "PID",    "TID",         "FUNC",         "ACTION",   "DEPTH",
	"type",  "time", "tgid",  "binary", "size_change", "times_change", "function",
};

struct parser {
	const char *at;
	size_t number;     /* of the argument, from 1 */
	const char *begin; /* of it */
	size_t length;
	char *error;
	size_t error_size;
};

/* One declaration as it is read. */
struct reading {
	bool has_base, is_unsigned, is_char, is_short, is_void, is_float, is_aggregate, is_unusable, is_unknown;
	unsigned int longs, pointers;
	enum declared_kind kind;
	unsigned int bytes;
	bool is_array;
	unsigned long elements; /* 0: not said */
	char name[DECLARED_NAME_BYTES];
};

static int refuse(struct parser *parser, const char *why)
{
	size_t blanks = strspn(parser->begin, " \t\n");
	char text[64];

	if (blanks > parser->length)
		blanks = parser->length;
	str_sanitize(text, sizeof(text), parser->begin + blanks, parser->length - blanks);
	snprintf(parser->error, parser->error_size, "argument %zu \"%s\": %s", parser->number, text, why);
	return -EINVAL;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == ':';
}

static void skip_spaces(struct parser *parser)
{
	while (isspace((unsigned char)*parser->at))
		parser->at++;
}

static const struct type_word *find_type(const char *word, size_t length)
{
	for (size_t i = 0; i < sizeof(type_words) / sizeof(type_words[0]); i++)
		if (strlen(type_words[i].word) == length && memcmp(type_words[i].word, word, length) == 0)
			return &type_words[i];
	return NULL;
}

static int take_name(struct parser *parser, struct reading *reading, const char *word, size_t length)
{
	if (reading->name[0])
		return refuse(parser, "it has two names (" EXPECTED ", each with one name)");
	if (length >= sizeof(reading->name))
		return refuse(parser, "its name is too long (expected at most 39 bytes)");
	if (memchr(word, ':', length) || isdigit((unsigned char)word[0]))
		return refuse(parser, "that is no name of an argument");
	memcpy(reading->name, word, length);
	return 0;
}

/* The tag of a struct, union or enum, if there is one. */
static void skip_tag(struct parser *parser)
{
	skip_spaces(parser);
	while (is_word(*parser->at))
		parser->at++;
}

static int take_type(struct parser *parser, struct reading *reading, const struct type_word *type)
{
	if (type->class == WORD_IGNORED)
		return 0;
	if (reading->pointers || reading->name[0] || reading->is_unknown)
		return refuse(parser, "that is no declaration (" EXPECTED ")");
	reading->has_base = true;
	switch (type->class) {
	case WORD_SIGN:
		reading->is_unsigned = type->kind == DECLARED_UNSIGNED;
		break;
	case WORD_WIDTH:
		reading->is_short |= type->bytes == 2;
		break;
	case WORD_LONG:
		reading->longs++;
		break;
	case WORD_CHAR:
		reading->is_char = true;
		break;
	case WORD_WHOLE:
		reading->kind = type->kind;
		reading->bytes = type->bytes;
		break;
	case WORD_VOID:
		reading->is_void = true;
		break;
	case WORD_FLOAT:
		reading->is_float = true;
		break;
	case WORD_AGGREGATE:
		reading->is_aggregate = true;
		skip_tag(parser);
		break;
	case WORD_ENUM:
		skip_tag(parser);
		break;
	default:
		reading->is_unusable = true;
	}
	return 0;
}

static int take_word(struct parser *parser, struct reading *reading)
{
	const char *word = parser->at;
	const struct type_word *type;
	size_t length;

	while (is_word(*parser->at))
		parser->at++;
	length = (size_t)(parser->at - word);
	type = find_type(word, length);
	if (type)
		return take_type(parser, reading, type);
	if (!reading->has_base) {
		reading->has_base = reading->is_unknown = true; /* the name of a type that we do not know */
		return 0;
	}
	return take_name(parser, reading, word, length);
}

static int take_array(struct parser *parser, struct reading *reading)
{
	char *end;

	if (reading->is_array)
		return refuse(parser, "an array of arrays cannot be captured (" EXPECTED ")");
	reading->is_array = true;
	parser->at++;
	skip_spaces(parser);
	if (isdigit((unsigned char)*parser->at)) {
		reading->elements = strtoul(parser->at, &end, 10);
		parser->at = end;
		if (reading->elements == 0 || reading->elements > DECLARED_TEXT_MAX)
			return refuse(parser, "so many bytes cannot be captured (expected [1] to [255])");
	}
	skip_spaces(parser);
	if (*parser->at != ']')
		return refuse(parser, "its array has no end (expected [N])");
	parser->at++;
	return 0;
}

static int read_argument(struct parser *parser, struct reading *reading)
{
	int err = 0;

	parser->begin = parser->at;
	parser->length = strcspn(parser->at, ",");
	for (skip_spaces(parser); !err && *parser->at && *parser->at != ','; skip_spaces(parser)) {
		char c = *parser->at;

		if (is_word(c)) {
			err = take_word(parser, reading);
		} else if (c == '[') {
			err = take_array(parser, reading);
		} else if ((c == '*' || c == '&') && !reading->name[0] && !reading->is_array) {
			reading->pointers++;
			parser->at++;
		} else if (c == '.') {
			err = refuse(parser, "a variable number of arguments cannot be captured (" EXPECTED ")");
		} else if (c == '(') {
			err = refuse(parser, "a function cannot be captured (expected void * for a pointer to one)");
		} else {
			err = refuse(parser, "that is no declaration (" EXPECTED ")");
		}
	}
	if (!err && !reading->has_base)
		err = refuse(parser, "there is no type (" EXPECTED ")");
	return err;
}

/* Why a value of this type is nowhere to be read; NULL: it is. */
static const char *reason_against(const struct reading *reading)
{
	if (reading->pointers || reading->is_array)
		return NULL;
	if (reading->is_float && reading->longs)
		return "a long double is copied to the stack in 16 bytes (" EXPECTED ")";
	if (reading->is_float)
		return "a floating-point number is passed in a vector register (XMM), which BPF programs cannot read "
		       "(leave it out: it has no part in where the others are)";
	if (reading->is_aggregate)
		return "a structure by value is spread over registers or copied to the stack (" EXPECTED ")";
	if (reading->is_void)
		return "void has no value (" EXPECTED ")";
	if (reading->is_unusable)
		return "it takes two registers or a vector register (" EXPECTED ")";
	if (reading->is_unknown)
		return "the type is not known, and might be a structure (" EXPECTED ")";
	return NULL;
}

static void settle_type(const struct reading *reading, struct declared_argument *argument)
{
	unsigned int depth = reading->pointers + reading->is_array;

	if (depth == 1 && reading->is_char) {
		argument->kind = DECLARED_TEXT;
		argument->bytes = reading->elements ? (unsigned int)reading->elements : DECLARED_TEXT_DEFAULT;
	} else if (depth) {
		argument->kind = DECLARED_POINTER;
		argument->bytes = 8;
	} else if (reading->bytes) {
		argument->kind = reading->kind;
		argument->bytes = reading->bytes;
	} else {
		argument->kind = reading->is_unsigned ? DECLARED_UNSIGNED : DECLARED_SIGNED;
		argument->bytes = reading->is_char ? 1 : reading->is_short ? 2 : reading->longs ? 8 : 4;
	}
}

static int settle_name(struct parser *parser, const struct reading *reading, const struct declaration *declaration,
		       struct declared_argument *argument)
{
	if (reading->name[0])
		strcpy(argument->name, reading->name);
	else
		snprintf(argument->name, sizeof(argument->name), "arg%zu", parser->number);
	for (size_t i = 0; i < sizeof(taken_names) / sizeof(taken_names[0]); i++)
		if (strcasecmp(taken_names[i], argument->name) == 0)
			snprintf(argument->name, sizeof(argument->name), "arg_%.34s", taken_names[i]);
	for (size_t i = 0; i < declaration->count; i++)
		if (strcmp(declaration->arguments[i].name, argument->name) == 0)
			return refuse(parser, "another argument has that name (expected names of their own)");
	return 0;
}

static int add_argument(struct parser *parser, struct declaration *declaration, const struct reading *reading, size_t *text_bytes)
{
	struct declared_argument *argument = &declaration->arguments[declaration->count];
	const char *reason = reason_against(reading);
	int err;

	if (reason)
		return refuse(parser, reason);
	if (declaration->count == DECLARED_MAX)
		return refuse(parser, "these are too many (expected at most 16 arguments)");
	memset(argument, 0, sizeof(*argument));
	settle_type(reading, argument);
	argument->place = (unsigned int)declaration->count;
	err = settle_name(parser, reading, declaration, argument);
	if (!err && argument->kind == DECLARED_TEXT) {
		*text_bytes += argument->bytes + 1;
		if (*text_bytes > DECLARED_TEXTS_BYTES)
			err = refuse(parser, "all texts together are too long (expected at most 1023 bytes, 127 for "
					     "each char *)");
	}
	if (!err)
		declaration->count++;
	return err;
}

static bool declares_nothing(const struct reading *reading)
{
	return reading->is_void && !reading->pointers && !reading->is_array && !reading->name[0];
}

int declaration_parse(struct declaration *declaration, const char *text, char *error, size_t error_size)
{
	struct parser parser = { .at = text, .error = error, .error_size = error_size };
	size_t text_bytes = 0;
	int err = 0;

	declaration->count = 0;
	if (strlen(text) > DECLARATION_BYTES_MAX) {
		snprintf(error, error_size, "the list of arguments is too long (expected at most %d bytes)", DECLARATION_BYTES_MAX);
		return -EINVAL;
	}
	skip_spaces(&parser);
	if (!*parser.at)
		return 0;
	for (parser.number = 1; !err; parser.at++, parser.number++) {
		struct reading reading = { 0 };

		err = read_argument(&parser, &reading);
		if (!err && parser.number == 1 && !*parser.at && declares_nothing(&reading))
			return 0;
		if (!err)
			err = add_argument(&parser, declaration, &reading, &text_bytes);
		if (!*parser.at)
			break;
	}
	return err;
}

uint64_t declared_value(const struct declared_argument *argument, uint64_t word)
{
	unsigned int bits = argument->bytes * 8;
	uint64_t sign;

	if (argument->kind == DECLARED_BOOL)
		return (word & 0xff) != 0;
	if (argument->kind == DECLARED_TEXT || bits >= 64)
		return word;
	word &= (1ULL << bits) - 1;
	sign = 1ULL << (bits - 1);
	return argument->kind == DECLARED_SIGNED ? (word ^ sign) - sign : word;
}
