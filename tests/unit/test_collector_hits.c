/* SPDX-License-Identifier: BSD-2-Clause */
#include "hits.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

static struct declaration declaration;

static void declare(const char *text)
{
	char error[256];

	assert_int_equal(declaration_parse(&declaration, text, error, sizeof(error)), 0);
}

static void calls_and_returns_become_columns(void **state)
{
	struct hits *hits = hits_new();
	struct probe_texts call = {
		.hit = { .type = RECORD_PROBE,
			 .time_ns = 1009,
			 .tid = 11,
			 .tgid = 7,
			 .depth = 2,
			 .flags = PROBE_TEXTS | PROBE_TOTALS,
			 .heap_bytes = 500,
			 .heap_blocks = 5,
			 .present = 7,
			 .arguments = { 0xffffffff80000001, 6, 5 } },
	};
	struct probe_hit back = { .type = RECORD_PROBE,
				  .time_ns = 1013,
				  .tid = 11,
				  .tgid = 7,
				  .depth = 2,
				  .flags = PROBE_RETURN | PROBE_TOTALS | PROBE_CHANGE,
				  .heap_bytes = 400,
				  .heap_blocks = 4,
				  .bytes_change = (u64)-100,
				  .blocks_change = (u64)-1,
				  .present = 7 };
	const Taskmon__ProbeHits *message;

	(void)state;
	declare("int number, char [5] text, const char *name");
	memcpy(call.texts, "hello", 6);
	memcpy(call.texts + 6, "name", 5);
	assert_int_equal(hits_add(hits, &call.hit, sizeof(call), 3, &declaration), 0);
	assert_int_equal(hits_add(hits, &back, sizeof(back), 3, &declaration), 0);
	message = hits_message(hits);
	assert_int_equal(message->count, 2);
	assert_int_equal(message->base_ns + (uint64_t)message->time[1], 1013);
	assert_int_equal(message->tid[0], 11);
	assert_int_equal(message->probe[1], 3);
	assert_int_equal(message->depth[1], 2);
	assert_int_equal(message->flags[0], TASKMON__PROBE_HITS__FLAG__TOTALS);
	assert_int_equal(message->flags[1],
			 TASKMON__PROBE_HITS__FLAG__TOTALS | TASKMON__PROBE_HITS__FLAG__RETURN | TASKMON__PROBE_HITS__FLAG__CHANGE);
	assert_int_equal(message->heap_bytes[1], 400);
	assert_int_equal(message->n_bytes_change, 1);
	assert_int_equal(message->bytes_change[0], -100);
	assert_int_equal(message->times_change[0], -1);
	assert_int_equal(message->present[0], 7);
	assert_int_equal(message->present[1], 0); /* a return has no arguments */
	assert_int_equal(message->n_values, 1);
	assert_int_equal((int64_t)message->values[0], (int32_t)0x80000001);
	assert_int_equal(message->n_texts, 2);
	assert_int_equal(message->texts[0].len, 5);
	assert_memory_equal(message->texts[0].data, "hello", 5);
	assert_memory_equal(message->texts[1].data, "name", 4);
	hits_free(hits);
}

static void what_could_not_be_read_is_absent(void **state)
{
	struct hits *hits = hits_new();
	struct probe_texts call = { .hit = { .flags = PROBE_TEXTS, .present = 2, .arguments = { 1, 0 } } };

	(void)state;
	declare("char *text, long number");
	assert_int_equal(hits_add(hits, &call.hit, sizeof(call), 0, &declaration), 0);
	assert_int_equal(hits_message(hits)->present[0], 2);
	assert_int_equal(hits_message(hits)->n_texts, 0);
	assert_int_equal(hits_message(hits)->n_values, 1);
	assert_int_equal(hits_message(hits)->n_heap_bytes, 0);
	/* a record that says that texts follow must have them */
	assert_int_equal(hits_add(hits, &call.hit, sizeof(call.hit), 0, &declaration), -EINVAL);
	assert_int_equal(hits_add(hits, &call.hit, 8, 0, &declaration), -EINVAL);
	hits_free(hits);
	hits_free(NULL);
}

static void a_full_message_is_sent_first(void **state)
{
	struct hits *hits = hits_new();
	struct probe_hit hit = { .type = RECORD_PROBE };
	struct probe_texts call = { .hit = { .flags = PROBE_TEXTS, .present = 15 } };
	size_t count = 0;

	(void)state;
	declare("");
	while (hits_add(hits, &hit, sizeof(hit), 0, &declaration) == 0)
		count++;
	assert_int_equal(hits_count(hits), count);
	assert_in_range(count, 16, 100000);
	hits_reset(hits);
	assert_int_equal(hits_count(hits), 0);
	declare("char [255] a, char [255] b, char [255] c, char [255] d");
	memset(call.texts, 'x', sizeof(call.texts));
	for (count = 0; hits_add(hits, &call.hit, sizeof(call), 0, &declaration) == 0; count++)
		assert_int_equal(hits_message(hits)->texts[4 * count].len, 255);
	assert_true(taskmon__probe_hits__get_packed_size(hits_message(hits)) < 1 << 20);
	hits_free(hits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_and_returns_become_columns),
		cmocka_unit_test(what_could_not_be_read_is_absent),
		cmocka_unit_test(a_full_message_is_sent_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
