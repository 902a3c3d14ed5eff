/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a report may touch once its outputs are open.
 */
#ifndef TASKMON_CONFINE_H
#define TASKMON_CONFINE_H

#include "options.h"

/**
 * Confine this process for good, where the kernel has Landlock (landlock(7), Linux 5.13): it may write, rename and remove files
 * in the directories of its outputs, read what it needs to name users and to see who lives, connect to the collector, and
 * nothing else; no program can be executed. To be called when the outputs are open and the command has been forked.
 * The directories are those of this moment: one that is made anew under the same name is another one.
 */
void confine(const struct options *options);

#endif
