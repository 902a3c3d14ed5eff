/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A feed is what a subscription is served from: one watch, one level (processes or threads), one set of metrics, one
 * interval. Identical subscriptions share a feed and get the same encoded frames.
 */
#ifndef TASKMON_FEED_H
#define TASKMON_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "declaration.h"
#include "probe.h"
#include "record.h"

struct cgroups;
struct watches;
struct session;
struct smaps;
struct streams;
struct feed;

enum { FEED_PROBES_MAX = PROBES_PER_SUBSCRIPTION };

/** A probed function, and which Probe of the subscription it comes of. */
struct feed_probe {
	u32 slot, number;
};

struct feed_spec {
	unsigned int watch; /* bit number */
	bool threads;       /* rows are threads */
	bool events;        /* send Events too */
	bool syscalls;      /* send Syscalls too */
	uint64_t metrics;   /* bit set */
	uint64_t interval_ns;
	uid_t probe_user; /* to whose account the probes are */
	size_t probe_count;
	struct feed_probe probes[FEED_PROBES_MAX];
};

/** NULL when out of memory. `watches` knows the names of rules, `cgroups` turns cgroup ids into paths; they, `smaps` and `streams` must live longer. */
struct feed *feed_new(uint32_t id, const struct feed_spec *spec, struct watches *watches, struct cgroups *cgroups,
		      struct smaps *smaps, struct streams *streams);
void feed_free(struct feed *feed);

/**
 * Is a record of this moment (CLOCK_BOOTTIME) for a feed of these watches? One that was written before the feed began is not: its
 * watch's bit may have been another one's.
 */
bool feed_wants(const struct feed *feed, u64 watches, u64 time_ns);

uint32_t feed_id(const struct feed *feed);
const struct feed_spec *feed_spec(const struct feed *feed);

/** Subscribers; each session at most once. */
int feed_join(struct feed *feed, struct session *session);
void feed_leave(struct feed *feed, struct session *session);
bool feed_has(const struct feed *feed, const struct session *session);
size_t feed_subscribers(const struct feed *feed);
struct session *feed_subscriber(const struct feed *feed, size_t index);

/** When its next tick is due, CLOCK_BOOTTIME. */
uint64_t feed_due(const struct feed *feed);
void feed_set_due(struct feed *feed, uint64_t due_ns);

enum feed_tick {
	FEED_BASELINE, /* number 0, for one who joins */
	FEED_REGULAR,  /* the next number, for all */
	FEED_CLOSING,  /* the next number, for one who leaves */
};

/** One tick: begin, add a record for each task, finish. `only`: who gets it, unless it is a regular one. */
void feed_begin_tick(struct feed *feed, enum feed_tick kind, uint64_t tick_ns, struct session *only);
void feed_add_sample(struct feed *feed, const struct task_record *record);
/** A record that was read for other feeds: its maxima belong to this feed's open window too. */
void feed_keep_maxima(struct feed *feed, const struct task_record *record);
void feed_finish_tick(struct feed *feed);

/** Between ticks: changes and final records. They leave with feed_flush(), events before final rows. */
void feed_add_event(struct feed *feed, const struct task_event *event);
/** A call or return of its probe `number`. */
void feed_add_hit(struct feed *feed, const struct probe_hit *hit, size_t size, u32 number, const struct declaration *declaration);
void feed_add_end(struct feed *feed, const struct task_record *record);
void feed_flush(struct feed *feed);

/** System calls leave when a frame of them is full and with feed_send_syscalls(). */
void feed_add_syscall(struct feed *feed, const struct syscall_record *record);
void feed_send_syscalls(struct feed *feed);

#endif
