/* SPDX-License-Identifier: BSD-2-Clause */
#include "frame.h"

#include <errno.h>
#include <string.h>

#include "unit.h"
#include "wire.h"

static struct frame *hello(uint32_t protocol)
{
	Taskmon__Frame message = TASKMON__FRAME__INIT;
	Taskmon__Hello body = TASKMON__HELLO__INIT;
	struct frame *frame;

	body.protocol = protocol;
	body.client = "unit";
	message.body_case = TASKMON__FRAME__BODY_HELLO;
	message.hello = &body;
	frame = frame_encode(&message);
	assert_non_null(frame);
	return frame;
}

struct seen {
	int count;
	uint32_t protocols;
	int answer;
};

static int see(const Taskmon__Frame *message, void *context)
{
	struct seen *seen = context;

	assert_int_equal(message->body_case, TASKMON__FRAME__BODY_HELLO);
	assert_string_equal(message->hello->client, "unit");
	seen->count++;
	seen->protocols += message->hello->protocol;
	return seen->answer;
}

static void frames_survive_any_cut(void **state)
{
	struct frame *a = hello(17), *b = hello(300);
	uint8_t stream[256];
	size_t size = a->size + b->size;

	(void)state;
	memcpy(stream, a->bytes, a->size);
	memcpy(stream + a->size, b->bytes, b->size);
	for (size_t cut = 0; cut <= size; cut++) {
		struct frame_reader reader;
		struct seen seen = { 0 };

		frame_reader_init(&reader, WIRE_CLIENT_FRAME_MAX);
		assert_int_equal(frame_reader_feed(&reader, stream, cut, see, &seen), 0);
		assert_int_equal(frame_reader_feed(&reader, stream + cut, size - cut, see, &seen), 0);
		assert_int_equal(seen.count, 2);
		assert_int_equal(seen.protocols, 317);
		frame_reader_free(&reader);
	}
	frame_unref(a);
	frame_unref(b);
}

static void a_length_over_the_limit_is_refused_before_its_payload(void **state)
{
	const uint8_t header[] = { 0x01, 0x00, 0x01, 0x00 }; /* 65537 */
	struct frame_reader reader;
	struct seen seen = { 0 };

	(void)state;
	frame_reader_init(&reader, WIRE_CLIENT_FRAME_MAX);
	assert_int_equal(frame_reader_feed(&reader, header, 3, see, &seen), 0);
	assert_int_equal(frame_reader_feed(&reader, header + 3, 1, see, &seen), -EMSGSIZE);
	assert_true(reader.capacity < 100);
	frame_reader_free(&reader);
}

static void what_is_no_frame_is_refused(void **state)
{
	const uint8_t empty[] = { 0, 0, 0, 0 };
	const uint8_t garbage[] = { 3, 0, 0, 0, 0xff, 0xff, 0xff };
	const uint8_t unknown_body[] = { 3, 0, 0, 0, 0xa2, 0x06, 0x00 }; /* field 100, empty */
	const struct {
		const uint8_t *bytes;
		size_t size;
	} cases[] = { { empty, sizeof(empty) }, { garbage, sizeof(garbage) }, { unknown_body, sizeof(unknown_body) } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct frame_reader reader;
		struct seen seen = { 0 };

		frame_reader_init(&reader, WIRE_CLIENT_FRAME_MAX);
		assert_int_equal(frame_reader_feed(&reader, cases[i].bytes, cases[i].size, see, &seen), -EPROTO);
		assert_int_equal(seen.count, 0);
		frame_reader_free(&reader);
	}
}

static void the_handler_can_stop_the_reading(void **state)
{
	struct frame *a = hello(1);
	struct seen seen = { .answer = -ECANCELED };
	struct frame_reader reader;
	uint8_t twice[256];

	(void)state;
	memcpy(twice, a->bytes, a->size);
	memcpy(twice + a->size, a->bytes, a->size);
	frame_reader_init(&reader, WIRE_CLIENT_FRAME_MAX);
	assert_int_equal(frame_reader_feed(&reader, twice, 2 * a->size, see, &seen), -ECANCELED);
	assert_int_equal(seen.count, 1);
	frame_reader_free(&reader);
	frame_unref(a);
}

/* A handler that wants no more for now: what is left can be fed later, and nothing is seen twice. */
static void reading_can_be_interrupted(void **state)
{
	struct frame *a = hello(17), *b = hello(300);
	size_t size = a->size + b->size + 3;
	uint8_t stream[256];
	struct seen seen = { .answer = 1 };
	struct frame_reader reader;

	(void)state;
	memcpy(stream, a->bytes, a->size);
	memcpy(stream + a->size, b->bytes, b->size);
	memcpy(stream + a->size + b->size, a->bytes, 3);
	frame_reader_init(&reader, WIRE_CLIENT_FRAME_MAX);
	assert_int_equal(frame_reader_feed(&reader, stream, size, see, &seen), 1);
	assert_int_equal(reader.left, b->size + 3);
	assert_int_equal(seen.protocols, 17);
	assert_int_equal(frame_reader_feed(&reader, stream + a->size, b->size + 3, see, &seen), 1);
	assert_int_equal(reader.left, 3);
	assert_int_equal(seen.protocols, 317);
	assert_int_equal(frame_reader_feed(&reader, stream + a->size + b->size, 3, see, &seen), 0);
	assert_int_equal(reader.left, 0);
	assert_int_equal(frame_reader_feed(&reader, a->bytes + 3, a->size - 3, see, &seen), 1);
	assert_int_equal(seen.count, 3);
	frame_reader_free(&reader);
	frame_unref(a);
	frame_unref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading_can_be_interrupted),
		cmocka_unit_test(frames_survive_any_cut),
		cmocka_unit_test(a_length_over_the_limit_is_refused_before_its_payload),
		cmocka_unit_test(what_is_no_frame_is_refused),
		cmocka_unit_test(the_handler_can_stop_the_reading),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
