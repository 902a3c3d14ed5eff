/* SPDX-License-Identifier: BSD-2-Clause */
#include "settle.h"

#include <unistd.h>

#include "unit.h"

#define MS 1000000ULL
#define START (1000 * MS)

static struct task_record record_of(u32 tid, u64 time_ns, u64 on_cpu_ns)
{
	struct task_record record = { .flags = RECORD_THREAD, .tid = tid, .start_time_ns = START, .time_ns = time_ns };

	record.value[M_task_on_cpu_ns] = on_cpu_ns;
	record.value[M_task_off_cpu_ns] = time_ns - START - on_cpu_ns;
	record.kept_runtime_ns = on_cpu_ns;
	return record;
}

static u64 settled(struct settler *settler, u32 tid, u64 time_ns, u64 on_cpu_ns)
{
	struct task_record record = record_of(tid, time_ns, on_cpu_ns);

	settle(settler, &record);
	/* what is not on the CPU is off it */
	if (record.value[M_task_on_cpu_ns] == on_cpu_ns)
		assert_true(record.value[M_task_off_cpu_ns] >= time_ns - START - on_cpu_ns);
	return record.value[M_task_on_cpu_ns];
}

static void time_on_the_cpu_never_goes_back(void **state)
{
	struct settler *settler = settler_new();

	(void)state;
	assert_int_equal(settled(settler, 7, START + 100 * MS, 53 * MS), 53 * MS);
	assert_int_equal(settled(settler, 7, START + 200 * MS, 47 * MS), 53 * MS);
	assert_int_equal(settled(settler, 7, START + 300 * MS, 59 * MS), 59 * MS);
	settler_free(settler);
	settler_free(NULL);
}

static void time_on_the_cpu_never_grows_faster_than_time(void **state)
{
	struct settler *settler = settler_new();

	(void)state;
	assert_int_equal(settled(settler, 7, START + 100 * MS, 101 * MS), 100 * MS);
	assert_int_equal(settled(settler, 7, START + 110 * MS, 400 * MS), 110 * MS);
	settler_free(settler);
}

static void ticks_add_up_to_the_run_time_and_never_go_back(void **state)
{
	const u64 ns_per_tick = 1000 * MS / (u64)sysconf(_SC_CLK_TCK);
	struct settler *settler = settler_new();
	struct task_record record = record_of(7, START + 5000 * MS, 3000 * MS);

	(void)state;
	/* the kernel has shown 1700 ms of user time before; ticks say that half is system time */
	record.shown_utime_ns = 1700 * MS;
	record.value[M_task_utime_jiffies] = record.value[M_task_stime_jiffies] = 900 * MS;
	settle(settler, &record);
	assert_int_equal(record.value[M_task_utime_jiffies], 1700 * MS / ns_per_tick);
	assert_int_equal(record.value[M_task_stime_jiffies], 1300 * MS / ns_per_tick);

	record = record_of(7, START + 6000 * MS, 4000 * MS);
	record.value[M_task_stime_jiffies] = 900 * MS; /* all system time now */
	settle(settler, &record);
	assert_int_equal(record.value[M_task_utime_jiffies], 1700 * MS / ns_per_tick);
	assert_int_equal(record.value[M_task_stime_jiffies], 2300 * MS / ns_per_tick);
	settler_free(settler);
}

static void an_end_is_settled_and_forgotten(void **state)
{
	struct settler *settler = settler_new();
	struct task_record end = record_of(7, START + 300 * MS, 11 * MS);

	(void)state;
	settled(settler, 7, START + 200 * MS, 53 * MS);
	settle_end(settler, &end);
	assert_int_equal(end.value[M_task_on_cpu_ns], 53 * MS);
	assert_int_equal(settled(settler, 7, START + 400 * MS, 3 * MS), 3 * MS); /* exec gave its number to another thread */
	settler_free(settler);
}

static void rows_of_processes_are_left_alone(void **state)
{
	struct settler *settler = settler_new();
	struct task_record record = record_of(7, START + 300 * MS, 11 * MS);

	(void)state;
	settled(settler, 7, START + 200 * MS, 53 * MS);
	record.flags = 0;
	settle(settler, &record);
	assert_int_equal(record.value[M_task_on_cpu_ns], 11 * MS);
	settler_free(settler);
}

/* In order, backwards, in part, with new ones between and others gone: each thread's own figure is found. */
static void any_order_will_do(void **state)
{
	enum { THREADS = 4001 };
	struct settler *settler = settler_new();

	(void)state;
	for (u32 tid = 1; tid <= THREADS; tid++)
		settled(settler, tid, START + 100 * MS, tid * 1000);
	for (u32 tid = THREADS; tid > 0; tid--)
		assert_int_equal(settled(settler, tid, START + 200 * MS, 1), tid * 1000);
	for (u32 tid = 1; tid <= THREADS; tid += 3) {
		struct task_record end = record_of(tid, START + 210 * MS, 1);

		settle_end(settler, &end);
		assert_int_equal(end.value[M_task_on_cpu_ns], tid * 1000);
	}
	for (u32 tid = THREADS + 1; tid <= 3 * THREADS; tid++)
		settled(settler, tid, START + 220 * MS, tid * 1000);
	for (u32 tid = 1; tid <= 3 * THREADS; tid++)
		assert_int_equal(settled(settler, tid, START + 300 * MS, 1), tid <= THREADS && tid % 3 == 1 ? 1 : tid * 1000);
	settler_free(settler);
}

static void those_that_nobody_watches_are_forgotten(void **state)
{
	struct settler *settler = settler_new();

	(void)state;
	settled(settler, 7, START + 100 * MS, 53 * MS);
	settled(settler, 11, START + 200 * MS, 53 * MS);
	settle_forget(settler, START + 150 * MS);
	assert_int_equal(settled(settler, 7, START + 300 * MS, 3 * MS), 3 * MS);
	assert_int_equal(settled(settler, 11, START + 300 * MS, 3 * MS), 53 * MS);
	settler_free(settler);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_on_the_cpu_never_goes_back),
		cmocka_unit_test(time_on_the_cpu_never_grows_faster_than_time),
		cmocka_unit_test(ticks_add_up_to_the_run_time_and_never_go_back),
		cmocka_unit_test(an_end_is_settled_and_forgotten),
		cmocka_unit_test(rows_of_processes_are_left_alone),
		cmocka_unit_test(any_order_will_do),
		cmocka_unit_test(those_that_nobody_watches_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
