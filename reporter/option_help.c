/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <popt.h>
#include <stdio.h>

#include "option_table.h"

void options_print_help(void)
{
	const char *argv[] = { "taskmon-report", NULL };
	poptContext context = poptGetContext(argv[0], 1, argv, option_table, 0);

	if (!context)
		return;
	poptSetOtherOptionHelp(context, "[OPTIONS] [-- COMMAND [ARG...]]");
	poptPrintHelp(context, stdout, 0);
	poptFreeContext(context);
	fputs("\n"
	      "Reports what processes do: CPU time, memory, input and output. It needs a\n"
	      "running taskmon-collector (but see --cpu) and no privilege of its own. Without\n"
	      "--csv and --json it prints a table at every interval: on a terminal always in the\n"
	      "same place (but not with COMMAND, which may write there, too), in colour unless\n"
	      "NO_COLOR is set.\n"
	      "\n"
	      "--name, --regex, --user and --cgroup narrow what the other options select; if none\n"
	      "does, they select from all processes. COMMAND starts once everything is armed, as you, with\n"
	      "your files, environment and signals. SIGTERM is passed on to it, and a second one\n"
	      "ends the report at once. Without COMMAND, SIGINT or SIGTERM ends the report with\n"
	      "a last sample, and a second one ends it at once.\n"
	      "\n"
	      "Whole lines are written, at every tick, so files are valid up to their last line\n"
	      "end at any moment. SIGHUP opens the files of --csv and --json anew by their names,\n"
	      "for logrotate; without such files, or if the terminal has gone, it is as SIGTERM.\n"
	      "A full disk ends the report with status 1; what was written stays valid.\n"
	      "\n"
	      "If the collector goes away, the outputs say so (gap), and the report waits until\n"
	      "it is back and goes on; no figure stands for the time between. Processes that\n"
	      "end in the meantime are noticed.\n"
	      "\n"
	      "Exit status: 0 done, 1 failure, 2 wrong use, 3 no collector, 4 refused by the\n"
	      "collector. With COMMAND its own: 128+N if signal N ended it, 127 if it was not\n"
	      "found, 126 if it could not be executed.\n",
	      stdout);
}
