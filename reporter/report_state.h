/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of a report share: report.c (its course, the command, signals), conversation.c (with the collector).
 */
#ifndef TASKMON_REPORT_STATE_H
#define TASKMON_REPORT_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "launch.h"
#include "link.h"
#include "local.h"
#include "options.h"
#include "pipeline.h"
#include "source.h"
#include "subscribe.h"

enum { REPORT_SIGNALS = 4 };

enum phase {
	PHASE_CONNECTING, /* until Subscribed; in a gap again */
	PHASE_ARMED,
	PHASE_CLOSING, /* Unsubscribe has been sent */
	PHASE_OVER,    /* nothing more is reported; a command may still run */
};

struct report {
	const struct options *options;
	struct pipeline *pipeline;
	struct launch *launch;
	uv_loop_t loop;
	uv_timer_t guard; /* on the collector's answers */
	uv_timer_t duration;
	uv_timer_t retry; /* to connect, in a gap */
	uv_timer_t progress;
	uint64_t began_ns; /* uv_hrtime() */
	uv_signal_t signals[REPORT_SIGNALS];
	uv_poll_t command; /* its end */
	struct link link;
	struct source source;
	struct local *local; /* --cpu stat and top; NULL: it is the collector that tells of the CPU */
	bool alone;          /* and there is no collector */
	struct subscribe_targets targets;
	enum phase phase;
	uint32_t feed;
	bool greeted;          /* on this connection */
	bool in_gap;           /* from the loss of the connection to the next baseline */
	uint64_t gap_began_ns; /* uv_hrtime() */
	uint64_t retry_ms;
	bool had_baseline;   /* once: from here on a lost collector is waited for */
	bool had_terminal;   /* that controls us */
	bool told_to_end;    /* by a signal */
	bool leaves_command; /* running */
	size_t explained;    /* of the processes that --list tasks names */
	int status;
};

/* --- report.c */

/** Nothing more is reported. A command that runs is waited for, unless it shall be left. */
void report_be_over(struct report *report, int status);

/** Has what is watched ended? A report on everything ends with its command, if it has one. */
bool report_is_finished(const struct report *report);

/** End with a last sample, if report_is_finished(). */
void report_close_if_finished(struct report *report);

/** Let the command go. Returns 0 or a negative errno, after the report has been ended. */
int report_release_command(struct report *report);

/** The time that was asked for begins. */
void report_start_duration(struct report *report);

/** A source has its baseline. If all have, the command goes. Returns as report_release_command(). */
int report_has_baseline(struct report *report);

/* --- conversation.c */

/** Connect, and go on from there. */
void conversation_begin(struct report *report);

/** Ask for a last sample and the end of the feed. Returns 0 or a negative errno after it has been logged. */
int conversation_close(struct report *report);

#endif
