/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_COLLECTOR_OPTIONS_H
#define TASKMON_COLLECTOR_OPTIONS_H

#include <stdbool.h>

/** The command line. Strings are owned by the struct: options_free(). */
struct options {
	char *config; /* NULL: the default path, if there is such a file */
	char *socket; /* NULL: as the configuration says */
	bool verbose, doctor, version;
};

/**
 * Returns 0; -EINVAL after one line on stderr; or -ECANCELED when --help was printed and nothing is left to do.
 */
int options_parse(struct options *options, int argc, const char **argv);
void options_free(struct options *options);

#endif
