/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uthash without its exit(): an element that found no memory has `hh.tbl == NULL` after HASH_ADD.
 */
#ifndef TASKMON_HASH_H
#define TASKMON_HASH_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#endif
