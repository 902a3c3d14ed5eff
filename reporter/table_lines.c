/* SPDX-License-Identifier: BSD-2-Clause */
#include "table_lines.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "metric.h"
#include "text_width.h"

enum { CLOCK_BYTES = 16, NS_PER_S = 1000000000 };

static const char *clock_of(char out[CLOCK_BYTES], uint64_t wall_ns)
{
	time_t seconds = wall_ns ? (time_t)(wall_ns / NS_PER_S) : time(NULL);
	struct tm local;

	localtime_r(&seconds, &local);
	strftime(out, CLOCK_BYTES, "%H:%M:%S", &local);
	return out;
}

void table_put_line(const struct table_screen *screen, const char *colour, const char *text)
{
	char fitted[TABLE_LINE_BYTES];

	if (screen->in_place)
		output_text(screen->output, TERMINAL_ERASE_LINE);
	if (screen->layout.width) {
		text_fit(fitted, sizeof(fitted), text, screen->layout.width, false);
		text = fitted;
	}
	colour = screen->terminal.has_colour ? colour : NULL;
	if (colour)
		output_text(screen->output, colour);
	output_text(screen->output, text);
	if (colour)
		output_text(screen->output, TERMINAL_PLAIN);
	output_line_end(screen->output);
}

void table_put_title(const struct table_screen *screen, const struct table_row *rows, size_t count, uint64_t wall_ns)
{
	const struct table_layout *layout = &screen->layout;
	const char *what = layout->threads ? "thread" : "process";
	const char *plural = count == 1 ? "" : layout->threads ? "s" : "es";
	char text[TABLE_LINE_BYTES], clock[CLOCK_BYTES];
	uint64_t cpu = 0;

	for (size_t i = 0; i < count; i++)
		cpu += rows[i].figure[FIGURE_CPU];
	snprintf(text, sizeof(text), "%s  %zu %s%s, %.1f%% CPU%s%s", clock_of(clock, wall_ns), count, what, plural,
		 (double)cpu / 100, layout->sort == TABLE_SORT_CPU ? "" : ", most first of ",
		 layout->sort == TABLE_SORT_CPU ? "" : metrics[layout->sort].name);
	table_put_line(screen, NULL, text);
	table_format_header(layout, text, sizeof(text));
	if (screen->terminal.has_colour) { /* the bar is as wide as the screen */
		char bar[TABLE_LINE_BYTES];

		text_fit(bar, sizeof(bar), text, layout->width, true);
		snprintf(text, sizeof(text), "%s", bar);
	}
	table_put_line(screen, TERMINAL_REVERSE, text);
}

void table_put_row(const struct table_screen *screen, const struct table_row *row, const char *user)
{
	char text[TABLE_LINE_BYTES];

	table_format_row(&screen->layout, row, user, text, sizeof(text));
	table_put_line(screen, row->alarm ? TERMINAL_RED : row->state == 'X' ? TERMINAL_DIM : NULL, text);
}

static void add_losses(const struct table_news *news, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < news->loss_count && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s=%llu", i ? " " : "", news->losses[i].cause,
					 (unsigned long long)news->losses[i].count);
}

void table_put_footer(const struct table_screen *screen, const struct table_news *news, size_t in_alarm, size_t shown, size_t count)
{
	char text[TABLE_LINE_BYTES], losses[512] = "nothing", gap[64] = "", clock[CLOCK_BYTES];

	add_losses(news, losses, sizeof(losses));
	if (news->gap_ticks)
		snprintf(gap, sizeof(gap), "no collector since %s: waiting  ", clock_of(clock, news->gap_wall_ns));
	else if (news->gap_count)
		snprintf(gap, sizeof(gap), "gaps: %llu, last at %s  ", (unsigned long long)news->gap_count,
			 clock_of(clock, news->gap_wall_ns));
	/* the latest alarm, until there is another one */
	snprintf(text, sizeof(text), "%slost: %s  alarms: %zu  shown: %zu of %zu%s%s", gap, losses, in_alarm, shown, count,
		 news->alarm_count ? "  " : "", news->alarm_count ? news->alarm_lines[news->alarm_count - 1] : "");
	table_put_line(screen, news->gap_ticks || news->loss_count ? TERMINAL_YELLOW : NULL, text);
}

void table_put_remarks(const struct table_screen *screen, const struct table_news *news, size_t left_out, bool idle)
{
	char text[TABLE_LINE_BYTES];

	if (left_out) {
		snprintf(text, sizeof(text), idle ? "… and %zu more that did less or nothing" : "… and %zu more", left_out);
		table_put_line(screen, NULL, text);
	}
	if (news->loss_count) {
		strcpy(text, "lost: ");
		add_losses(news, text + strlen(text), sizeof(text) - strlen(text));
		table_put_line(screen, TERMINAL_YELLOW, text);
	}
	for (size_t i = 0; i < news->alarm_count; i++)
		table_put_line(screen, TERMINAL_RED, news->alarm_lines[i]);
	output_line_end(screen->output);
}

void table_put_gap(const struct table_screen *screen, const struct gap *gap)
{
	char text[TABLE_LINE_BYTES], clock[CLOCK_BYTES];

	snprintf(text, sizeof(text), "gap: %s  %s, waiting for the collector", clock_of(clock, gap->wall_ns), gap->cause);
	table_put_line(screen, TERMINAL_YELLOW, text);
}
