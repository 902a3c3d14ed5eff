/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A libuv for fuzzers: what happens, and in which order, is read from the fuzzer's input instead of from the kernel. It has what
 * the two programs use. Its loop ends when all handles are closed; what the input leaves undone is ended as a user would: with
 * SIGINT, and by the time that passes.
 */
#ifndef TASKMON_FAKE_UV_H
#define TASKMON_FAKE_UV_H

#include <stddef.h>
#include <stdint.h>

/**
 * What happens from now on. Steps of a byte each, whose upper bits choose among several handles:
 *   0, 1  a frame comes: a little-endian u16 says how long it is; its length is put before it
 *   2     so many bytes come, as they are
 *   3     a timer fires
 *   4     what was written has been sent; every eighth time it could not be
 *   5     somebody connects, or has been connected; every eighth time that fails
 *   6     the other side closes
 *   7     a descriptor is ready, or a signal comes
 */
void fake_uv_script(const uint8_t *data, size_t size);

/** The descriptor that uv_fileno() gives for every stream. */
void fake_uv_set_fd(int fd);

#endif
