/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <errno.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "log.h"

enum { OPTION_VERBOSE = 1, OPTION_DOCTOR, OPTION_VERSION, OPTION_HELP };

int options_parse(struct options *options, int argc, const char **argv)
{
	const struct poptOption table[] = {
		{ "config", 'c', POPT_ARG_STRING, &options->config, 0,
		  "read settings from FILE (default: " CONFIG_DEFAULT_PATH " if it exists)", "FILE" },
		{ "socket", 's', POPT_ARG_STRING, &options->socket, 0, "serve clients on PATH (default: " CONFIG_DEFAULT_SOCKET ")",
		  "PATH" },
		{ "verbose", 'v', POPT_ARG_NONE, NULL, OPTION_VERBOSE, "say more about clients and what they ask for", NULL },
		{ "doctor", '\0', POPT_ARG_NONE, NULL, OPTION_DOCTOR,
		  "print each hook, metric and privilege with available or why not, and end", NULL },
		{ "version", '\0', POPT_ARG_NONE, NULL, OPTION_VERSION, "print the version and end", NULL },
		{ "help", 'h', POPT_ARG_NONE, NULL, OPTION_HELP, "print this and end", NULL },
		POPT_TABLEEND
	};
	poptContext context = poptGetContext(NULL, argc, argv, table, 0);
	int code, err = 0;

	poptSetOtherOptionHelp(context, "[OPTION...]\n"
					"Collects what processes and threads do, with eBPF, for taskmon-report. Needs root.\n");
	while ((code = poptGetNextOpt(context)) > 0) {
		switch (code) {
		case OPTION_VERBOSE:
			options->verbose = true;
			break;
		case OPTION_DOCTOR:
			options->doctor = true;
			break;
		case OPTION_VERSION:
			options->version = true;
			break;
		case OPTION_HELP:
			poptPrintHelp(context, stdout, 0);
			puts("\nSIGHUP reads the rules again. SIGTERM and SIGINT detach everything, remove the socket and end with "
			     "status 0.\n"
			     "Exit status: 0 done; 1 failure; 2 usage.");
			err = -ECANCELED;
			break;
		}
	}
	if (code < -1) {
		log_error(NULL, "%s: %s (see --help)", poptBadOption(context, POPT_BADOPTION_NOALIAS), poptStrerror(code));
		err = -EINVAL;
	} else if (poptPeekArg(context)) {
		log_error(NULL, "unexpected argument \"%s\" (see --help)", poptPeekArg(context));
		err = -EINVAL;
	}
	poptFreeContext(context);
	return err;
}

void options_free(struct options *options)
{
	free(options->config);
	free(options->socket);
}
