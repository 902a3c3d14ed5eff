/* SPDX-License-Identifier: BSD-2-Clause */
#include "why.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

enum { TEXT_BYTES = 1024 };

static const char *yes_or_no(bool is)
{
	return is ? "yes" : "no";
}

/* Texts come from the wire, so they are made harmless. */
static void print_line(const char *indent, bool is, const char *negation, const char *text)
{
	char clean[TEXT_BYTES];

	str_sanitize(clean, sizeof(clean), text, strlen(text));
	printf("%s%-4s %s%s\n", indent, yes_or_no(is), negation, clean);
}

static int print_terms(const Taskmon__Explained *explained, const uint32_t *indices, size_t count, bool wanted)
{
	for (size_t i = 0; i < count; i++) {
		const Taskmon__Explained__Term *term;

		if (indices[i] >= explained->n_terms)
			return -EPROTO;
		term = explained->terms[indices[i]];
		print_line("     ", !!term->holds == wanted, wanted ? "" : "not ", term->text);
	}
	return 0;
}

static int print_verdict(const Taskmon__Explained *explained, const Taskmon__Explained__Verdict *verdict)
{
	int err = 0;

	print_line("", verdict->selects, "", verdict->rule);
	for (size_t i = 0; !err && i < verdict->n_alternatives; i++) {
		const Taskmon__Explained__Alternative *alternative = verdict->alternatives[i];

		if (i > 0)
			puts("     or");
		err = print_terms(explained, alternative->need, alternative->n_need, true);
		if (!err)
			err = print_terms(explained, alternative->except, alternative->n_except, false);
	}
	return err;
}

int why_print(const Taskmon__Explained *explained)
{
	int err = 0;

	printf("\nWhich rules select %u, and which of their conditions hold:\n", explained->process);
	for (size_t i = 0; !err && i < explained->n_verdicts; i++)
		err = print_verdict(explained, explained->verdicts[i]);
	if (explained->n_verdicts == 0)
		puts("there are no rules");
	fflush(stdout);
	return err;
}
