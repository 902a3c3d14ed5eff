/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc_figures.h"
#include "proc_stat.h"
#include "top_output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

#define NUMBERS "7 9 9 0 -1 4194560 101 103 5 107 31 11 13 17 20 0 3 0 19937 4096000 23 18446744073709551615 1 1\n"
#define MS 1000000ull
#define TICK proc_ticks_to_ns(1)

/* --- /proc/PID/stat */

static void parse(const char *text, struct proc_stat *stat)
{
	assert_true(proc_stat_parse(text, strlen(text), stat));
}

static void a_name_may_hold_anything(void **state)
{
	static const char *const names[] = { "sh", "", "a b", "x) R 1 2 3 4 (y", ")", "((", "\n", "tab\tand)" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct proc_stat stat;
		char text[256];

		snprintf(text, sizeof(text), "42 (%s) S " NUMBERS, names[i]);
		parse(text, &stat);
		assert_string_equal(stat.comm, names[i]);
		assert_int_equal(stat.state, 'S');
		assert_int_equal(stat.ppid, 7);
		assert_int_equal(stat.minor_faults, 101);
		assert_int_equal(stat.major_faults, 5);
		assert_int_equal(stat.user_ticks, 31);
		assert_int_equal(stat.system_ticks, 11);
		assert_int_equal(stat.children_ticks, 13 + 17);
		assert_int_equal(stat.threads, 3);
		assert_int_equal(stat.start_ticks, 19937);
		assert_int_equal(stat.vm_bytes, 4096000);
		assert_int_equal(stat.rss_pages, 23);
	}
}

static void what_is_no_stat_file_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"42",
		"42 (sh",
		"42 (sh)",
		"42 (sh) ",
		"42 (sh) S",
		"42 (sh) S 1 2 3\n",
		") S (" NUMBERS,
		"42 (sh) S x 9 9 0 -1 4194560 101 103 5 107 31 11 13 17 20 0 3 0 19937 4096000 23 1\n",
		"42 (sh) S 7 9 9 0 -1 4194560 101 103 5 107 31 11 13 17 20 0 3 0 99999999999999999999 4096000 23 1\n",
	};
	struct proc_stat stat;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(proc_stat_parse(texts[i], strlen(texts[i]), &stat));
}

static void our_own_is_read(void **state)
{
	struct proc_stat stat;
	uint32_t uid, tgid;

	(void)state;
	assert_int_equal(proc_stat_read((uint32_t)getpid(), 0, &stat), 0);
	assert_int_equal(stat.ppid, getppid());
	assert_int_equal(stat.threads, 1);
	assert_false(proc_stat_is_over(&stat));
	assert_int_equal(proc_status_read((uint32_t)getpid(), &uid, &tgid), 0);
	assert_int_equal(uid, getuid());
	assert_int_equal(tgid, getpid());
	assert_int_equal(proc_stat_read(4194305, 0, &stat), -ENOENT); /* beyond PID_MAX_LIMIT */
}

/* --- CPU time */

static uint64_t advance(struct proc_clock *clock, uint64_t time_ns, uint64_t used_ns, uint64_t threads)
{
	const struct proc_reading reading = { .time_ns = time_ns, .used_ns = used_ns, .threads = threads };
	uint64_t before = clock->on_cpu_ns;

	proc_clock_advance(clock, &reading, 2);
	return clock->on_cpu_ns - before;
}

/* One that spins, read at any instants: its time comes in ticks, user and system each rounded down. */
static void a_spinning_thread_never_reads_above_its_time(void **state)
{
	struct proc_clock clock;
	uint64_t now = 0, user = 0, system = 0;

	(void)state;
	proc_clock_begin(&clock, 0);
	for (unsigned int i = 1; i <= 1000; i++) {
		uint64_t elapsed = (95 + i * 37 % 23) * MS + i * 7919 % 9973, was = clock.on_cpu_ns;

		now += elapsed;
		user += elapsed / 3 * 2;
		system = now - user;
		assert_true(advance(&clock, now, user / TICK * TICK + system / TICK * TICK, 1) <= elapsed);
		assert_true(clock.on_cpu_ns >= was);
		assert_true(clock.on_cpu_ns <= now && clock.on_cpu_ns + 2 * TICK >= now); /* nothing is lost */
	}
}

static void a_process_reads_up_to_its_threads_and_cpus(void **state)
{
	struct proc_clock clock;

	(void)state;
	proc_clock_begin(&clock, 0);
	assert_int_equal(advance(&clock, 1000 * MS, 1010 * MS, 1), 1000 * MS);
	assert_int_equal(advance(&clock, 2000 * MS, 2010 * MS, 1), 1000 * MS);
	assert_int_equal(advance(&clock, 3000 * MS, 4020 * MS, 16), 2000 * MS); /* two CPUs */
	assert_int_equal(clock.off_cpu_ns, 14000 * MS);
	assert_int_equal(advance(&clock, 4000 * MS, 6020 * MS, 1), 2000 * MS); /* 16 threads when it began */
	assert_int_equal(advance(&clock, 5000 * MS, 7520 * MS, 1), 1520 * MS); /* others came and went */
	assert_int_equal(advance(&clock, 6000 * MS, 7000 * MS, 1), 0);
	assert_int_equal(clock.on_cpu_ns, 7520 * MS);
}

static void a_thread_that_took_the_place_of_another_does_not_fit(void **state)
{
	const struct proc_clock clock = { .time_ns = 1000 * MS, .on_cpu_ns = 300 * MS, .threads = 1 };
	struct proc_reading reading = { .time_ns = 2000 * MS, .used_ns = 1300 * MS, .threads = 1 };

	(void)state;
	assert_true(proc_clock_fits(&clock, &reading));
	reading.used_ns += 2 * TICK;
	assert_true(proc_clock_fits(&clock, &reading));
	reading.used_ns++;
	assert_false(proc_clock_fits(&clock, &reading));
	reading.slack_ns = 1; /* it may have been counted that much later */
	assert_true(proc_clock_fits(&clock, &reading));
	reading.used_ns = 299 * MS;
	assert_false(proc_clock_fits(&clock, &reading));
}

static void what_is_not_known_is_absent(void **state)
{
	const struct proc_stat kernel_thread = { .state = 'I', .threads = 1 },
			       process = { .state = 'S', .threads = 3, .vm_bytes = 4096 };
	uint64_t value[METRIC_TOTAL], of_process = proc_metrics(&process, false, value);

	(void)state;
	assert_int_equal(of_process | METRIC_BIT(M_task_on_cpu_ns), PROC_METRICS);
	assert_int_equal(value[M_task_thread_count], 3);
	assert_int_equal(of_process & ~proc_metrics(&kernel_thread, false, value),
			 METRIC_BIT(M_task_vm_size) | METRIC_BIT(M_task_pm_size));
	assert_int_equal(of_process & ~proc_metrics(&process, true, value),
			 METRIC_BIT(M_task_vm_size) | METRIC_BIT(M_task_pm_size) | METRIC_BIT(M_task_thread_count));
}

/* --- top */

struct pictures {
	unsigned int count;
	char text[256]; /* TID:HUNDREDTHS of the last one */
};

static int on_picture(void *context, struct top_figures *figures)
{
	struct pictures *pictures = context;
	size_t used = 0;

	pictures->count++;
	pictures->text[0] = '\0';
	for (size_t i = 0; i < figures->count; i++)
		used += (size_t)snprintf(pictures->text + used, sizeof(pictures->text) - used, "%u:%u ", figures->list[i].tid,
					 figures->list[i].hundredths);
	return 0;
}

#define SUMMARY "top - 03:18:13 up  3:35,  0 user,  load average: 1.64, 1.08, 0.90\n"
#define HEADER "\n  PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND\n"
#define TASK(pid, cpu) #pid " root      20   0   20380  18676  12828 S  " #cpu "   0.1   0:00.47 a b 7 8.9"

/* In pieces of every size. */
static void check_top(const char *text, unsigned int count, const char *last)
{
	for (size_t piece = 1; piece <= strlen(text); piece++) {
		struct top_output output = { 0 };
		struct pictures pictures = { 0 };

		for (size_t at = 0; at < strlen(text); at += piece)
			assert_int_equal(top_output_feed(&output, text + at, strlen(text + at) < piece ? strlen(text + at) : piece,
							 on_picture, &pictures),
					 0);
		assert_int_equal(pictures.count, count);
		assert_string_equal(pictures.text, last);
		top_output_free(&output);
	}
}

static void a_picture_is_complete_with_its_last_task(void **state)
{
	(void)state;
	/* without the end of the last line, which top prints only before the next picture */
	check_top(SUMMARY "Tasks:   2 total,   1 running\n" HEADER TASK(23, 37.5) "\n" TASK(7, 100.0), 1, "7:10000 23:3750 ");
	check_top(SUMMARY "Threads: 2 total,   1 running\n" HEADER "23 root 20 0 1 2 3 S 0,3 0.1 0:00.47 sh"
			  "\n" TASK(7, 1234) "\n" SUMMARY,
		  1, "7:123400 23:30 ");
	check_top(SUMMARY "Tasks: 1 total\n" HEADER TASK(23, 37.5) "\n\n" SUMMARY "Tasks: 1 total\n" HEADER TASK(29, 2.25) "\n", 2,
		  "29:225 ");
}

static void without_a_number_the_next_picture_ends_it(void **state)
{
	(void)state;
	check_top(SUMMARY HEADER TASK(23, 37.5) "\n" TASK(7, 1.0) "\n", 0, "");
	check_top(SUMMARY HEADER TASK(23, 37.5) "\n" TASK(7, 1.0) "\n" SUMMARY, 1, "7:100 23:3750 ");
}

static void columns_are_found_by_their_names(void **state)
{
	(void)state;
	check_top(SUMMARY "Tasks: 2 total\n\n %CPU S PID\n 12.5 R 11\n 0.5 S 13 x\n", 1, "11:1250 13:50 ");
	check_top(SUMMARY "Tasks: 2 total\n\n PID USER\n 11 root\n 13 root\n", 0, ""); /* no %CPU */
}

static void what_is_no_task_is_passed_over(void **state)
{
	(void)state;
	check_top("top: unknown option 'z'\nUsage:\n top -hv\n", 0, "");
	check_top(SUMMARY "Tasks: 4 total\n" HEADER "x y z\n" TASK(-3, 1.0) "\n" TASK(0, 1.0) "\n" TASK(31, 1.x) "\n", 1, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_may_hold_anything),
		cmocka_unit_test(what_is_no_stat_file_is_refused),
		cmocka_unit_test(our_own_is_read),
		cmocka_unit_test(a_spinning_thread_never_reads_above_its_time),
		cmocka_unit_test(a_process_reads_up_to_its_threads_and_cpus),
		cmocka_unit_test(a_thread_that_took_the_place_of_another_does_not_fit),
		cmocka_unit_test(what_is_not_known_is_absent),
		cmocka_unit_test(a_picture_is_complete_with_its_last_task),
		cmocka_unit_test(without_a_number_the_next_picture_ends_it),
		cmocka_unit_test(columns_are_found_by_their_names),
		cmocka_unit_test(what_is_no_task_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
