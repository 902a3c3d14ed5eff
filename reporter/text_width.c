/* SPDX-License-Identifier: BSD-2-Clause */
#include "text_width.h"

#include <string.h>
#include <wchar.h>

/* The next character of valid UTF-8. */
static size_t decode(const char *text, wchar_t *character)
{
	unsigned char first = (unsigned char)text[0];
	size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	*character = length == 1 ? first : first & (0x7f >> length);
	for (size_t i = 1; i < length; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 1; /* it is not valid after all */
		*character = *character << 6 | ((unsigned char)text[i] & 0x3f);
	}
	return length;
}

static unsigned int width_of(wchar_t character)
{
	int width = wcwidth(character);

	return width < 0 ? 1 : (unsigned int)width;
}

unsigned int text_width(const char *text)
{
	unsigned int width = 0;
	wchar_t character;

	for (; *text; text += decode(text, &character)) {
		decode(text, &character);
		width += width_of(character);
	}
	return width;
}

unsigned int text_fit(char *out, size_t size, const char *text, unsigned int width, bool pad)
{
	static const char ellipsis[] = "…";
	bool cut = text_width(text) > width;
	unsigned int used = 0, room = cut && width ? width - 1 : width;
	size_t at = 0;
	wchar_t character;

	for (size_t length; *text && at + 8 < size; text += length) {
		length = decode(text, &character);
		if (used + width_of(character) > room)
			break;
		memcpy(out + at, text, length);
		at += length;
		used += width_of(character);
	}
	if (cut && width && at + sizeof(ellipsis) < size) {
		memcpy(out + at, ellipsis, sizeof(ellipsis) - 1);
		at += sizeof(ellipsis) - 1;
		used++;
	}
	for (; pad && used < width && at + 1 < size; used++)
		out[at++] = ' ';
	out[at] = '\0';
	return used;
}
