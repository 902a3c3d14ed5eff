/* SPDX-License-Identifier: BSD-2-Clause */
#include "losses.h"

#include "session.h"

/* One that is in several feeds of the same watch (of any, with ANY_WATCH) is told only once. */
enum { ANY_WATCH = WATCH_MAX };

static bool is_concerned(const struct feed *feed, unsigned int watch, Taskmon__Loss__Cause cause)
{
	if (cause == TASKMON__LOSS__CAUSE__STREAM_FULL && !feed_spec(feed)->syscalls)
		return false;
	return watch == ANY_WATCH || feed_spec(feed)->watch == watch;
}

static bool told_already(struct feed *const *feeds, size_t before, unsigned int watch, Taskmon__Loss__Cause cause,
			 const struct session *session)
{
	for (size_t i = 0; i < before; i++)
		if (is_concerned(feeds[i], watch, cause) && feed_has(feeds[i], session))
			return true;
	return false;
}

static void tell(struct feed *const *feeds, size_t count, unsigned int watch, Taskmon__Loss__Cause cause, u64 lost)
{
	for (size_t i = 0; i < count; i++) {
		const struct feed *feed = feeds[i];

		for (size_t s = 0; is_concerned(feed, watch, cause) && s < feed_subscribers(feed); s++)
			if (!told_already(feeds, i, watch, cause, feed_subscriber(feed, s)))
				session_add_loss(feed_subscriber(feed, s), cause, lost);
	}
}

void losses_tell(struct losses *told, const struct kernel *kernel, struct feed *const *feeds, size_t count)
{
	static const Taskmon__Loss__Cause causes[LOSS_CAUSES] = {
		[LOSS_RING_FULL] = TASKMON__LOSS__CAUSE__RING_FULL,       [LOSS_STATE_FULL] = TASKMON__LOSS__CAUSE__STATE_FULL,
		[LOSS_TABLE_FULL] = TASKMON__LOSS__CAUSE__TABLE_FULL,     [LOSS_PROBE_FULL] = TASKMON__LOSS__CAUSE__PROBE_RING_FULL,
		[LOSS_PROBE_RETURN] = TASKMON__LOSS__CAUSE__PROBE_RETURN, [LOSS_STREAM_FULL] = TASKMON__LOSS__CAUSE__STREAM_FULL,
		[LOSS_HEAP_FULL] = TASKMON__LOSS__CAUSE__HEAP_FULL,       [LOSS_HEAP_LATE] = TASKMON__LOSS__CAUSE__HEAP_LATE,
	};
	u64 skipped = kernel_skipped(kernel);

	for (unsigned int watch = 0; watch < WATCH_MAX; watch++) {
		for (int cause = 0; cause < LOSS_CAUSES; cause++) {
			u64 lost = kernel_lost(kernel, watch, (enum loss_cause)cause);

			if (lost != told->lost[watch][cause])
				tell(feeds, count, watch, causes[cause], lost - told->lost[watch][cause]);
			told->lost[watch][cause] = lost;
		}
	}
	if (skipped != told->skipped)
		tell(feeds, count, ANY_WATCH, TASKMON__LOSS__CAUSE__SKIPPED, skipped - told->skipped);
	told->skipped = skipped;
}
