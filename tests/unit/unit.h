/* SPDX-License-Identifier: BSD-2-Clause */
/* cmocka wants these before it. */
#ifndef TASKMON_UNIT_H
#define TASKMON_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
