/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A share of one CPU: who has used a slice of it rests until that is paid for. Over any time T at most share * T and one
 * slice are used, and what is done in one go. To be asked before each piece of work.
 */
#ifndef TASKMON_BUDGET_H
#define TASKMON_BUDGET_H

#include <stdint.h>

#define BUDGET_SLICE_NS 2000000 /* long enough that the pauses do not cost more wake-ups than work */

struct budget {
	double share;    /* of one CPU: above 0, at most 1 */
	double owed_ns;  /* CPU time that was used and not paid for */
	uint64_t now_ns; /* as of the last call */
	uint64_t used_ns;
};

/** How long to rest now, if `used_ns` of CPU time were used up to `now_ns`, of any clock that does not step. */
static inline uint64_t budget_rest_ns(struct budget *budget, uint64_t now_ns, uint64_t used_ns)
{
	budget->owed_ns += (double)(used_ns - budget->used_ns) - budget->share * (double)(now_ns - budget->now_ns);
	if (budget->owed_ns < 0)
		budget->owed_ns = 0; /* what was not used by now is not saved up */
	budget->now_ns = now_ns;
	budget->used_ns = used_ns;
	return budget->owed_ns < BUDGET_SLICE_NS ? 0 : (uint64_t)(budget->owed_ns / budget->share);
}

#endif
