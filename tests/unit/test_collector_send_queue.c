/* SPDX-License-Identifier: BSD-2-Clause */
#include "send_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "wire.h"

enum { LIMIT = 1000, TENTH = LIMIT / 10, TAKEN_MAX = 64 };

static uint64_t told[LOSS_CAUSES_WIRE]; /* by all frames that were taken in a test */

/* Frames of the tests have a letter for a name and, unlike real ones, no length before it. */
static struct frame *frame_of(char name, size_t size)
{
	struct frame *frame = calloc(1, sizeof(*frame) + size);

	assert_non_null(frame);
	frame->references = 1;
	frame->size = size;
	frame->bytes[FRAME_HEADER_BYTES] = (uint8_t)name;
	return frame;
}

static int put_sized(struct send_queue *queue, char name, size_t size, enum session_load load, size_t rows)
{
	struct frame *frame = frame_of(name, size);
	int err = send_queue_put(queue, frame, load, rows);

	assert_int_equal(frame->references, err ? 1 : 2);
	frame_unref(frame);
	return err;
}

static int put(struct send_queue *queue, char name, enum session_load load, size_t rows)
{
	return put_sized(queue, name, TENTH, load, rows);
}

static int on_loss(const Taskmon__Frame *message, void *context)
{
	(void)context;
	assert_int_equal(message->body_case, TASKMON__FRAME__BODY_LOSS);
	for (size_t i = 0; i < message->loss->n_counts; i++)
		told[message->loss->counts[i]->cause] += message->loss->counts[i]->count;
	return 0;
}

/* The names of the next frames, which stay the queue's; `!` is one that tells of losses. */
static const char *take(struct send_queue *queue, size_t most)
{
	static char names[TAKEN_MAX + 1];
	struct frame *frames[TAKEN_MAX];
	size_t count = send_queue_take(queue, frames, most);

	assert_true(count <= most);
	for (size_t i = 0; i < count; i++) {
		struct frame_reader reader;

		names[i] = frames[i]->bytes[0] ? '!' : (char)frames[i]->bytes[FRAME_HEADER_BYTES];
		if (names[i] != '!')
			continue;
		frame_reader_init(&reader, WIRE_SERVER_FRAME_MAX);
		assert_int_equal(frame_reader_feed(&reader, frames[i]->bytes, frames[i]->size, on_loss, NULL), 0);
		frame_reader_free(&reader);
	}
	names[count] = '\0';
	return names;
}

static const char *write_all(struct send_queue *queue)
{
	const char *names = take(queue, TAKEN_MAX);

	send_queue_written(queue);
	assert_int_equal(queue->bytes, 0);
	return names;
}

#define assert_told(cause, rows) assert_int_equal(told[TASKMON__LOSS__CAUSE__##cause], rows)

static uint64_t told_in_all(void)
{
	uint64_t sum = 0;

	for (int cause = 0; cause < LOSS_CAUSES_WIRE; cause++)
		sum += told[cause];
	return sum;
}

static int begin(void **state)
{
	static struct send_queue queue;

	memset(told, 0, sizeof(told));
	send_queue_init(&queue, LIMIT);
	*state = &queue;
	return 0;
}

static int end(void **state)
{
	struct send_queue *queue = *state;

	send_queue_clear(queue);
	send_queue_written(queue);
	assert_int_equal(queue->bytes, 0);
	return 0;
}

static void frames_leave_in_the_order_in_which_they_came(void **state)
{
	struct send_queue *queue = *state;

	assert_string_equal(take(queue, TAKEN_MAX), "");
	assert_false(send_queue_is_writing(queue));
	for (int load = 0; load < SESSION_LOADS; load++)
		assert_int_equal(put(queue, (char)('a' + load), (enum session_load)load, 7), 0);
	assert_string_equal(take(queue, 4), "abcd");
	assert_true(send_queue_is_writing(queue));
	assert_int_equal(queue->bytes, SESSION_LOADS * TENTH);
	send_queue_written(queue);
	assert_false(send_queue_is_writing(queue));
	assert_int_equal(queue->bytes, (SESSION_LOADS - 4) * TENTH);
	assert_string_equal(write_all(queue), "ef");
	assert_int_equal(told_in_all(), 0);
}

static void what_is_least_missed_goes_first(void **state)
{
	struct send_queue *queue = *state;

	put(queue, 'a', SESSION_EVENTS, 2);
	put(queue, 'b', SESSION_SAMPLES, 3);
	put(queue, 'c', SESSION_SYSCALLS, 5);
	put(queue, 'd', SESSION_ENDED, 7);
	put(queue, 'e', SESSION_PROBES, 11);
	put(queue, 'f', SESSION_SYSCALLS, 13);
	put(queue, 'g', SESSION_SAMPLES, 17);
	put(queue, 'h', SESSION_CONTROL, 0);
	put(queue, 'i', SESSION_EVENTS, 19);
	put(queue, 'j', SESSION_PROBES, 23);
	assert_int_equal(queue->bytes, LIMIT);
	/* one for one: both of system calls, both of samples, the oldest two of the others */
	for (const char *name = "klmnop"; *name; name++) {
		assert_int_equal(put(queue, *name, SESSION_EVENTS, 29), 0);
		assert_int_equal(queue->bytes, LIMIT);
	}
	assert_string_equal(write_all(queue), "!ehijklmnop");
	assert_told(QUEUE_SYSCALLS, 5 + 13);
	assert_told(QUEUE_SAMPLES, 3 + 17);
	assert_told(QUEUE_EVENTS, 2);
	assert_told(QUEUE_ENDED, 7);
	assert_int_equal(told_in_all(), 2 + 3 + 5 + 7 + 13 + 17);
}

/* No more than need be, and a system call before a sample that is older. */
static void the_oldest_of_a_kind_goes_first(void **state)
{
	struct send_queue *queue = *state;

	for (const char *name = "abcdefghij"; *name; name++)
		put(queue, *name, SESSION_SAMPLES, 31);
	assert_int_equal(put_sized(queue, 'k', 3 * TENTH, SESSION_SAMPLES, 37), 0);
	assert_int_equal(put(queue, 'l', SESSION_SYSCALLS, 41), 0); /* of its own kind there is none */
	assert_int_equal(put_sized(queue, 'm', 2 * TENTH, SESSION_SAMPLES, 43), 0);
	assert_string_equal(write_all(queue), "!fghijkm");
	assert_told(QUEUE_SAMPLES, 5 * 31);
	assert_told(QUEUE_SYSCALLS, 41);
}

static void losses_are_told_once_and_before_what_is_still_there(void **state)
{
	struct send_queue *queue = *state;

	put(queue, 'a', SESSION_EVENTS, 47);
	send_queue_add_loss(queue, TASKMON__LOSS__CAUSE__RING_FULL, 53);
	send_queue_add_loss(queue, TASKMON__LOSS__CAUSE__SKIPPED, 59);
	send_queue_add_loss(queue, TASKMON__LOSS__CAUSE__RING_FULL, 61);
	assert_int_equal(send_queue_put(queue, NULL, SESSION_ENDED, 67), -ENOMEM); /* could not be encoded */
	assert_int_equal(send_queue_put(queue, NULL, SESSION_CONTROL, 0), -ENOMEM);
	assert_string_equal(take(queue, 1), "!");
	assert_told(RING_FULL, 53 + 61);
	assert_told(SKIPPED, 59);
	assert_told(QUEUE_ENDED, 67);
	assert_int_equal(told_in_all(), 53 + 59 + 61 + 67);
	send_queue_written(queue);
	assert_string_equal(write_all(queue), "a");
	assert_string_equal(write_all(queue), "");
}

static void what_is_being_written_takes_room_and_stays(void **state)
{
	struct send_queue *queue = *state;

	for (const char *name = "abcdefghij"; *name; name++)
		put(queue, *name, SESSION_SAMPLES, 71);
	assert_string_equal(take(queue, 9), "abcdefghi");
	assert_int_equal(put(queue, 'k', SESSION_EVENTS, 73), 0); /* instead of j */
	assert_int_equal(put_sized(queue, 'l', 2 * TENTH, SESSION_EVENTS, 79), -ENOBUFS);
	assert_int_equal(queue->bytes, 9 * TENTH);
	send_queue_written(queue);
	assert_int_equal(put_sized(queue, 'm', 10 * TENTH, SESSION_EVENTS, 83), 0);
	assert_string_equal(write_all(queue), "!m");
	assert_told(QUEUE_SAMPLES, 71);
	assert_told(QUEUE_EVENTS, 73 + 79);
}

/* Or a limit below the size of a frame would let nothing through. */
static void an_empty_queue_takes_a_frame_of_any_size(void **state)
{
	struct send_queue *queue = *state;

	assert_int_equal(put_sized(queue, 'a', 3 * LIMIT, SESSION_SAMPLES, 89), 0);
	assert_int_equal(put_sized(queue, 'b', 2 * LIMIT, SESSION_SAMPLES, 97), 0); /* instead of a */
	assert_string_equal(take(queue, TAKEN_MAX), "!b");
	assert_int_equal(put(queue, 'c', SESSION_SAMPLES, 101), -ENOBUFS);
	send_queue_written(queue);
	assert_int_equal(put(queue, 'd', SESSION_SAMPLES, 103), 0);
	assert_string_equal(write_all(queue), "!d");
	assert_told(QUEUE_SAMPLES, 89 + 101);
}

static void answers_are_not_dropped_but_not_without_end(void **state)
{
	struct send_queue *queue = *state;
	size_t answer = 100003, count = 0;

	put(queue, 'a', SESSION_EVENTS, 107);
	while (put_sized(queue, 'b', answer, SESSION_CONTROL, 0) == 0) {
		count++;
		assert_int_equal(send_queue_is_ignored(queue), count * answer > 1 << 20);
		assert_in_range(count, 1, TAKEN_MAX - 2);
	}
	/* the first answer that finds more than this is refused */
	assert_in_range(queue->bytes, 2 * LIMIT + WIRE_SERVER_FRAME_MAX + 1, 2 * LIMIT + WIRE_SERVER_FRAME_MAX + answer);
	assert_int_equal(queue->bytes, TENTH + count * answer);
	assert_int_equal(put(queue, 'c', SESSION_EVENTS, 109), -ENOBUFS); /* though a has gone for it */
	assert_int_equal(queue->bytes, count * answer);
	assert_int_equal(strlen(take(queue, TAKEN_MAX)), 1 + count);
	assert_false(send_queue_is_ignored(queue)); /* they are on their way */
	assert_told(QUEUE_EVENTS, 107 + 109);
}

static void what_waits_for_a_user_counts_together(void **state)
{
	struct send_queue *queue = *state, other;
	size_t bytes = 0;

	send_queue_init(&other, LIMIT);
	send_queue_share(queue, &bytes, LIMIT);
	send_queue_share(&other, &bytes, LIMIT);
	for (const char *name = "abcdef"; *name; name++)
		put(queue, *name, SESSION_SAMPLES, 113);
	for (const char *name = "ABCD"; *name; name++)
		put(&other, *name, SESSION_SAMPLES, 127);
	assert_int_equal(bytes, LIMIT);
	/* for its own frames a client gives up its own */
	assert_int_equal(put(&other, 'E', SESSION_EVENTS, 131), 0);
	assert_int_equal(bytes, LIMIT);
	assert_string_equal(take(&other, TAKEN_MAX), "!BCDE");
	assert_told(QUEUE_SAMPLES, 127);
	assert_int_equal(put(&other, 'F', SESSION_EVENTS, 137), -ENOBUFS);
	assert_true(bytes > LIMIT); /* the news of losses is never refused */
	send_queue_written(&other);
	assert_int_equal(bytes, 6 * TENTH);
	assert_int_equal(put(&other, 'G', SESSION_EVENTS, 139), 0);
	assert_string_equal(take(queue, 2), "ab");
	send_queue_clear(queue);
	assert_int_equal(bytes, 3 * TENTH); /* clearing leaves what is being written */
	send_queue_written(queue);
	assert_string_equal(write_all(&other), "!G");
	assert_told(QUEUE_EVENTS, 137);
	assert_int_equal(bytes, 0);
}

/* Of a small queue a frame needs most; of a large one a quarter is room enough. */
static void a_client_is_behind_when_little_room_is_left(void **state)
{
	static const struct {
		size_t limit, mark;
	} cases[] = { { LIMIT, LIMIT / 4 }, { 1 << 20, 1 << 18 }, { 4 << 20, 3 << 20 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct send_queue queue;

		send_queue_init(&queue, cases[i].limit);
		put_sized(&queue, 'a', cases[i].mark - TENTH, SESSION_SAMPLES, 149);
		put(&queue, 'b', SESSION_SAMPLES, 149);
		assert_false(send_queue_is_behind(&queue));
		put(&queue, 'c', SESSION_SAMPLES, 149);
		assert_true(send_queue_is_behind(&queue));
		take(&queue, 2);
		assert_true(send_queue_is_behind(&queue)); /* being written is not being read */
		send_queue_written(&queue);
		assert_false(send_queue_is_behind(&queue));
		send_queue_clear(&queue);
	}
}

#define queue_test(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		queue_test(frames_leave_in_the_order_in_which_they_came),
		queue_test(what_is_least_missed_goes_first),
		queue_test(the_oldest_of_a_kind_goes_first),
		queue_test(losses_are_told_once_and_before_what_is_still_there),
		queue_test(what_is_being_written_takes_room_and_stays),
		queue_test(an_empty_queue_takes_a_frame_of_any_size),
		queue_test(answers_are_not_dropped_but_not_without_end),
		queue_test(what_waits_for_a_user_counts_together),
		queue_test(a_client_is_behind_when_little_room_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
