/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_FAKE_KERNEL_H
#define TASKMON_FAKE_KERNEL_H

#include <stdint.h>

struct dispatch;

/** As when it was loaded: nobody watches. What happens in it follows from the seed, and is told to `dispatch`. */
void fake_kernel_begin(struct dispatch *dispatch, uint64_t seed);

#endif
