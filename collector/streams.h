/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls on their way from the kernel side to the feeds that want them. Nobody is woken up for one: they are
 * fetched at short intervals, and before anything is sent that must come after them.
 */
#ifndef TASKMON_STREAMS_H
#define TASKMON_STREAMS_H

#include <stdbool.h>
#include <stddef.h>

struct feed;
struct kernel;
struct streams;

/** NULL when out of memory. */
struct streams *streams_new(struct kernel *kernel);
void streams_free(struct streams *streams);

/**
 * The feeds that there are; those that want system calls get them from now on. Returns 0 or -ENOMEM: nobody gets any.
 */
int streams_set_feeds(struct streams *streams, struct feed *const *feeds, size_t count);
/** Does any? */
bool streams_wanted(const struct streams *streams);

/**
 * Send a part of what there is. Nothing is fetched while all who want it are behind: it waits in the kernel's memory,
 * where there is more room. Returns whether there may be more to send at once.
 */
bool streams_poll(struct streams *streams);

/** Send all that was recorded before this moment. */
void streams_drain(struct streams *streams);

#endif
