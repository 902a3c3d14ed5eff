/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --list tasks --pid N: which conditions of each rule hold for a process, on standard output.
 */
#ifndef TASKMON_WHY_H
#define TASKMON_WHY_H

#include "taskmon.pb-c.h"

/** -EPROTO if it refers to what is not in it. */
int why_print(const Taskmon__Explained *explained);

#endif
