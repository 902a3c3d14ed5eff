/* SPDX-License-Identifier: BSD-2-Clause */
#include "ring_merge.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

enum { RINGS = 5, SLOTS = 8192, TASKS = 11, STEPS = 200003 };

static struct stream_ring rings[RINGS];
static struct syscall_record records[RINGS][SLOTS];
static struct ring_merge *merge;

/* What a thread has done, and what was handed over of it. */
static u64 done[TASKS], seen[TASKS], last_ns, total_seen;

static bool record(unsigned int cpu, u64 time_ns, unsigned int task)
{
	struct stream_ring *ring = &rings[cpu];

	if (ring->head - ring->tail == ring->slots)
		return false;
	records[cpu][ring->head % SLOTS] = (struct syscall_record){ .time_ns = time_ns, .tid = task, .value = done[task]++ };
	ring->head++;
	return true;
}

static void check(const struct syscall_record *got, void *context)
{
	assert_ptr_equal(context, &merge);
	assert_true(got->time_ns >= last_ns);
	assert_int_equal(got->value, seen[got->tid]);
	last_ns = got->time_ns;
	seen[got->tid]++;
	total_seen++;
}

static int begin(void **state)
{
	(void)state;
	memset(rings, 0, sizeof(rings));
	memset(done, 0, sizeof(done));
	memset(seen, 0, sizeof(seen));
	last_ns = total_seen = 0;
	merge = ring_merge_new(RINGS);
	for (unsigned int i = 0; i < RINGS; i++) {
		rings[i].slots = SLOTS;
		ring_merge_set(merge, i, &rings[i], records[i]);
	}
	return merge ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	ring_merge_free(merge);
	return 0;
}

static void nothing_is_nothing(void **state)
{
	(void)state;
	assert_int_equal(ring_merge_read(merge, UINT64_MAX, 100, check, &merge), 0);
}

/* What is younger than the moment waits, though older records of other rings came after it. */
static void the_present_is_the_end(void **state)
{
	(void)state;
	record(0, 10, 0);
	record(0, 30, 0);
	record(1, 20, 1);
	record(2, 40, 2);
	assert_int_equal(ring_merge_read(merge, 30, 100, check, &merge), 3);
	record(1, 35, 0);
	assert_int_equal(ring_merge_read(merge, 39, 100, check, &merge), 1);
	assert_int_equal(ring_merge_read(merge, 40, 100, check, &merge), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(rings[i].tail, rings[i].head);
}

static void a_portion_is_the_oldest(void **state)
{
	(void)state;
	for (u64 i = 0; i < 97; i++)
		record((unsigned int)(i % RINGS), i, (unsigned int)(i % TASKS));
	for (u64 portion = 0; portion < 9; portion++) {
		assert_int_equal(ring_merge_read(merge, 1000, 10, check, &merge), 10);
		assert_int_equal(last_ns, 10 * portion + 9);
	}
	assert_int_equal(ring_merge_read(merge, 1000, 10, check, &merge), 7);
}

/* A ring that is read at one go has room again before that is over. */
static void room_comes_back_on_the_way(void **state)
{
	u64 before;

	(void)state;
	for (u64 i = 0; i < SLOTS; i++)
		assert_true(record(3, i, 1));
	assert_false(record(3, SLOTS, 1));
	before = rings[3].tail;
	assert_int_equal(ring_merge_read(merge, 1000000, SLOTS / 2 + 1, check, &merge), SLOTS / 2 + 1);
	assert_int_equal(rings[3].tail - before, SLOTS / 2 + 1);
	assert_true(record(3, SLOTS, 1));
}

/* Threads that move from CPU to CPU, read in portions at any moment. */
static void wanderers_keep_their_order(void **state)
{
	u64 now_ns = 0, recorded = 0;

	(void)state;
	srand(1);
	for (int step = 0; step < STEPS; step++) {
		now_ns += 1 + (u64)rand() % 3; /* nobody moves within a nanosecond */
		recorded += record((unsigned int)rand() % RINGS, now_ns, (unsigned int)rand() % TASKS);
		if (rand() % 1000 == 0)
			ring_merge_read(merge, now_ns, (size_t)rand() % 2000, check, &merge);
	}
	while (ring_merge_read(merge, now_ns, 1000, check, &merge))
		;
	assert_int_equal(total_seen, recorded);
	assert_memory_equal(seen, done, sizeof(done));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_nothing),         TEST(the_present_is_the_end),     TEST(a_portion_is_the_oldest),
		TEST(room_comes_back_on_the_way), TEST(wanderers_keep_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
