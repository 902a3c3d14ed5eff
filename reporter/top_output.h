/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What top(1) prints in batch mode, taken apart: the share of the CPU of each task, picture by picture. It is another
 * program's output: whatever is in it, only numbers below a header with PID and %CPU count.
 */
#ifndef TASKMON_TOP_OUTPUT_H
#define TASKMON_TOP_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct top_figure {
	uint32_t tid;
	unsigned int hundredths; /* of a percent of one CPU */
};

/** The figures of one picture. */
struct top_figures {
	struct top_figure *list;
	size_t count, room;
};

/** False: there is none of this task. */
bool top_figures_find(const struct top_figures *figures, uint32_t tid, unsigned int *hundredths);
/** To be called before the first top_figures_find(). */
void top_figures_sort(struct top_figures *figures);

enum { TOP_LINE_BYTES = 1024, TOP_TASKS_MAX = 4 << 20 }; /* PID_MAX_LIMIT */

struct top_output {
	struct top_figures figures;
	char line[TOP_LINE_BYTES]; /* what of it has come; the rest of a longer one is dropped */
	size_t used;
	bool in_list; /* below the header */
	bool taken;   /* the line has been read although its end has not come yet */
	unsigned int pid_column, cpu_column;
	size_t expected; /* tasks, as the summary says; 0: not known */
	size_t listed;
};

/** `complete` gets each picture once all its tasks have come; an error that it returns ends the feeding. */
typedef int (*top_picture)(void *context, struct top_figures *figures);

/** More of the output. Returns 0, -ENOMEM, or what `complete` returned. */
int top_output_feed(struct top_output *output, const char *text, size_t size, top_picture complete, void *context);

/** Is a picture begun that lacks some of its tasks, and may not get them? */
bool top_output_is_open(const struct top_output *output);

/** It is as complete as it will be. Returns 0 or what `complete` returned. */
int top_output_finish(struct top_output *output, top_picture complete, void *context);

void top_output_free(struct top_output *output);

#endif
