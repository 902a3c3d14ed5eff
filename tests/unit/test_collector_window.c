/* SPDX-License-Identifier: BSD-2-Clause */
#include "window.h"

#include "unit.h"

#define OFF_CPU M_task_switch_offcpu_time_max
#define IO_WAIT M_task_io_wait_time_max

static struct task_record record_of(u32 tid, u64 start_time_ns, u64 off_cpu_ns, u64 io_wait_ns)
{
	struct task_record record = { .tid = tid, .tgid = 7, .start_time_ns = start_time_ns };

	record.value[OFF_CPU] = off_cpu_ns;
	record.value[IO_WAIT] = io_wait_ns;
	record.value[M_task_on_cpu_ns] = 1009;
	record.value[M_task_state] = 'S';
	return record;
}

static void keep(struct windows *windows, u32 tid, u64 start_time_ns, u64 off_cpu_ns, u64 io_wait_ns)
{
	const struct task_record record = record_of(tid, start_time_ns, off_cpu_ns, io_wait_ns);

	windows_keep(windows, &record);
}

static void expect(const struct windows *windows, u32 tid, u64 start_time_ns, u64 off_cpu_ns, u64 io_wait_ns)
{
	struct task_record record = record_of(tid, start_time_ns, 0, 0);

	windows_include(windows, &record);
	assert_int_equal(record.value[OFF_CPU], off_cpu_ns);
	assert_int_equal(record.value[IO_WAIT], io_wait_ns);
}

static void what_was_not_kept_is_as_it_was_read(void **state)
{
	struct windows *windows = windows_new();
	struct task_record record = record_of(3, 11, 211, 101);

	(void)state;
	windows_include(windows, &record);
	assert_int_equal(record.value[OFF_CPU], 211);
	assert_int_equal(record.value[IO_WAIT], 101);
	windows_forget(windows, &record);
	windows_begin(windows);
	windows_free(windows);
	windows_free(NULL);
}

static void each_maximum_is_the_largest_of_all(void **state)
{
	struct windows *windows = windows_new();
	struct task_record record = record_of(3, 11, 307, 5);

	(void)state;
	keep(windows, 3, 11, 211, 17);
	keep(windows, 3, 11, 401, 13);
	keep(windows, 3, 11, 101, 19);
	expect(windows, 3, 11, 401, 19);
	/* reading it changes nothing, and what was read now counts */
	expect(windows, 3, 11, 401, 19);
	record.value[IO_WAIT] = 23;
	windows_include(windows, &record);
	assert_int_equal(record.value[OFF_CPU], 401);
	assert_int_equal(record.value[IO_WAIT], 23);
	windows_free(windows);
}

static void times_are_wider_than_32_bits(void **state)
{
	struct windows *windows = windows_new();

	(void)state;
	keep(windows, 3, 11, 7000000000001ULL, 5);
	keep(windows, 3, 11, 4294967311ULL, 4294967357ULL);
	expect(windows, 3, 11, 7000000000001ULL, 4294967357ULL);
	windows_free(windows);
}

static void only_maxima_are_kept(void **state)
{
	struct windows *windows = windows_new();
	struct task_record record = record_of(3, 11, 0, 0);

	(void)state;
	keep(windows, 3, 11, 211, 101);
	for (int id = 0; id < METRIC_TOTAL; id++)
		if (!(metric_window_bits >> id & 1))
			record.value[id] = 1;
	windows_include(windows, &record);
	for (int id = 0; id < METRIC_TOTAL; id++)
		if (!(metric_window_bits >> id & 1))
			assert_int_equal(record.value[id], 1);
	assert_int_equal(record.value[OFF_CPU], 211);
	windows_free(windows);
}

static void a_reused_number_is_another_task(void **state)
{
	struct windows *windows = windows_new();
	struct task_record ended = record_of(3, 11, 0, 0);

	(void)state;
	keep(windows, 3, 11, 211, 0);
	keep(windows, 3, 13, 101, 0);
	keep(windows, 5, 11, 307, 0);
	expect(windows, 3, 11, 211, 0);
	expect(windows, 3, 13, 101, 0);
	expect(windows, 5, 11, 307, 0);
	windows_forget(windows, &ended);
	expect(windows, 3, 11, 0, 0);
	expect(windows, 3, 13, 101, 0);
	windows_free(windows);
}

static void a_new_window_begins_with_nothing(void **state)
{
	struct windows *windows = windows_new();

	(void)state;
	for (u32 tid = 1; tid <= 1009; tid++)
		keep(windows, tid, 11, tid, 2 * tid);
	for (u32 tid = 1; tid <= 1009; tid++)
		expect(windows, tid, 11, tid, 2 * tid);
	windows_begin(windows);
	for (u32 tid = 1; tid <= 1009; tid++)
		expect(windows, tid, 11, 0, 0);
	keep(windows, 3, 11, 7, 0);
	expect(windows, 3, 11, 7, 0);
	windows_free(windows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_kept_is_as_it_was_read), cmocka_unit_test(each_maximum_is_the_largest_of_all),
		cmocka_unit_test(times_are_wider_than_32_bits),        cmocka_unit_test(only_maxima_are_kept),
		cmocka_unit_test(a_reused_number_is_another_task),     cmocka_unit_test(a_new_window_begins_with_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
