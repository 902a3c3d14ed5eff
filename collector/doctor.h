/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TASKMON_DOCTOR_H
#define TASKMON_DOCTOR_H

/** Print each hook and metric: available, or why not. 0 when all are there, else -ENOTSUP or what failed. */
int doctor_run(void);

#endif
