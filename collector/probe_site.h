/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where in a function a probe costs least. The kernel replaces an instruction by a breakpoint, and then either emulates the instruction
 * (push, nop, jump, call: below a microsecond) or has the CPU execute a copy of it in single steps (14 times that).
 */
#ifndef TASKMON_PROBE_SITE_H
#define TASKMON_PROBE_SITE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Reads code: `at` bytes from the beginning of the function (may be negative); how many bytes there were, 0: none. */
typedef size_t (*probe_site_reader)(int64_t at, uint8_t *code, size_t size, void *context);

/**
 * How far behind its beginning a function of `size` bytes is best probed: at the first instruction that the kernel emulates. 0, the
 * beginning, unless it is certain that whoever enters the function comes by there exactly once, with the arguments still in
 * their registers and the return address on top of the stack, and that nobody else comes there.
 */
uint64_t probe_site_choose(size_t size, probe_site_reader read, void *context);

#endif
