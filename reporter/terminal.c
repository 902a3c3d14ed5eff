/* SPDX-License-Identifier: BSD-2-Clause */
#include "terminal.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { USUAL_WIDTH = 80, USUAL_HEIGHT = 24 };

void terminal_measure(struct terminal *terminal)
{
	struct winsize size = { 0 };

	if (!terminal->is_terminal)
		return;
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	terminal->width = size.ws_col ? size.ws_col : USUAL_WIDTH;
	terminal->height = size.ws_row ? size.ws_row : USUAL_HEIGHT;
}

void terminal_init(struct terminal *terminal)
{
	const char *type = getenv("TERM"), *no_colour = getenv("NO_COLOR");
	static locale_t widths; /* until the process ends */

	if (!widths)
		widths = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	if (widths)
		uselocale(widths);
	*terminal = (struct terminal){ .is_terminal = isatty(STDOUT_FILENO) };
	terminal->can_steer = terminal->is_terminal && type && *type && strcmp(type, "dumb") != 0;
	terminal->has_colour = terminal->can_steer && !(no_colour && *no_colour);
	terminal_measure(terminal);
}
