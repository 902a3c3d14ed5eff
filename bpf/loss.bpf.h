/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Nothing is lost in silence: what could not be recorded is counted per watch and cause.
 */
#ifndef TASKMON_LOSS_BPF_H
#define TASKMON_LOSS_BPF_H

#include "maps.bpf.h"

static __always_inline void add_loss(u64 watches, enum loss_cause cause, u64 count)
{
	for (int i = 0; i < WATCH_MAX; i++)
		if (watches >> i & 1)
			__sync_fetch_and_add(&lost[i][cause], count);
}

static __always_inline void count_loss(u64 watches, enum loss_cause cause)
{
	add_loss(watches, cause, 1);
}

#endif
