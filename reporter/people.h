/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Figures and names as people read them; not for CSV or JSON.
 */
#ifndef TASKMON_PEOPLE_H
#define TASKMON_PEOPLE_H

#include <stddef.h>
#include <stdint.h>

/** Bytes in at most 5 characters: "0", "812", "1.4K", "23M", "1023G". */
#define PEOPLE_BYTES_ROOM 16
const char *people_bytes(char out[PEOPLE_BYTES_ROOM], uint64_t bytes);

/** A number in at most 5 characters: "0", "99999", "100K", "1.2M". */
const char *people_count(char out[PEOPLE_BYTES_ROOM], uint64_t count);

/** A time in at most 5 characters: "0", "812ns", "1.4us", "23ms", "99s", "120m", "50h". */
const char *people_ns(char out[PEOPLE_BYTES_ROOM], uint64_t ns);

/** Names of users, each looked up once. */
struct people_users;
void people_users_free(struct people_users *users);

/** The name of `uid`, or its number; valid until the next call. Begin with `*users` NULL. */
const char *people_user(struct people_users **users, uint32_t uid);

#endif
