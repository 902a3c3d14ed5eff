/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which arguments of a function are captured: a list of declarations as in C, such as "int size, char [10] name". It
 * must name all integer and pointer arguments up to the last that is wanted, since the order says where each is (System
 * V ABI for x86-64, 3.2.3).
 */
#ifndef TASKMON_DECLARATION_H
#define TASKMON_DECLARATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DECLARED_MAX = 16,           /* arguments */
	DECLARED_NAME_BYTES = 40,    /* with NUL */
	DECLARED_TEXT_MAX = 255,     /* bytes of one text */
	DECLARED_TEXT_DEFAULT = 127, /* of const char * */
	DECLARED_TEXTS_BYTES = 1024, /* of all texts together, each with a NUL */
	DECLARED_REGISTERS = 6,      /* what comes later is on the stack, 8 bytes each */
	DECLARATION_BYTES_MAX = 1024,
};

enum declared_kind { DECLARED_SIGNED, DECLARED_UNSIGNED, DECLARED_BOOL, DECLARED_POINTER, DECLARED_TEXT };

struct declared_argument {
	char name[DECLARED_NAME_BYTES];
	enum declared_kind kind;
	unsigned int bytes; /* 1, 2, 4 or 8 of its value; of what a text points to: how many at most */
	unsigned int place; /* which of the integer registers; from DECLARED_REGISTERS on, of the words on the stack */
};

struct declaration {
	struct declared_argument arguments[DECLARED_MAX];
	size_t count;
};

/**
 * Parse `text`; an empty one, or "void", declares nothing. Returns 0, or -EINVAL with one line in `error`: which
 * argument cannot be captured, why, and what was expected.
 */
int declaration_parse(struct declaration *declaration, const char *text, char *error, size_t error_size);

/** The 64 bits of a register or stack word as a value of this type: what is beyond its width is anything. */
uint64_t declared_value(const struct declared_argument *argument, uint64_t word);

#endif
