/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

static const char *program_name = "taskmon";
static int debug_wanted;
static const char *erase_line = "";

void log_init(const char *program, int verbose)
{
	program_name = program;
	debug_wanted = verbose;
}

void log_set_erase(const char *erase)
{
	erase_line = erase;
}

/* One write per line, so that lines of several processes on one stderr do not mix. */
static void log_line(const char *subsystem, const char *severity, const char *format, va_list arguments)
{
	char line[1024];
	int used = snprintf(line, sizeof(line), "%s: %s%s%s", program_name, subsystem ? subsystem : "", subsystem ? ": " : "",
			    severity);

	if (used > 0 && (size_t)used < sizeof(line))
		vsnprintf(line + used, sizeof(line) - (size_t)used, format, arguments);
	fprintf(stderr, "%s%s\n", erase_line, line);
}

#define DEFINE_LOG(name, severity, wanted)                        \
	void name(const char *subsystem, const char *format, ...) \
	{                                                         \
		va_list arguments;                                \
                                                                  \
		if (!(wanted))                                    \
			return;                                   \
		va_start(arguments, format);                      \
		log_line(subsystem, severity, format, arguments); \
		va_end(arguments);                                \
	}

DEFINE_LOG(log_error, "", 1)
DEFINE_LOG(log_warning, "warning: ", 1)
DEFINE_LOG(log_info, "", 1)
DEFINE_LOG(log_debug, "", debug_wanted)
