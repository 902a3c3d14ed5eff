/* SPDX-License-Identifier: BSD-2-Clause */
#include "smaps.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access.h"
#include "budget.h"
#include "clock.h"
#include "metric.h"
#include "rollup.h"
#include "unit.h"

#define NS 1000000000ULL
#define NO_LIMIT (1ULL << 50)

static const char whole[] = "557c3f0c7000-7ffe3b9b8000 ---p 00000000 00:00 0                          [rollup]\n"
			    "Rss:                1748 kB\n"
			    "Pss:                 208 kB\n"
			    "Pss_Dirty:           112 kB\n"
			    "Shared_Clean:       1597 kB\n"
			    "Shared_Dirty:          3 kB\n"
			    "Private_Clean:        41 kB\n"
			    "Private_Dirty:       113 kB\n"
			    "Referenced:         1747 kB\n"
			    "Anonymous:           112 kB\n"
			    "LazyFree:              7 kB\n"
			    "Swap:                 11 kB\n"
			    "SwapPss:               0 kB\n"
			    "Locked:               99 kB\n";

static void parse(const char *text, struct task_record *record)
{
	struct rollup rollup;

	*record = (struct task_record){ 0 };
	rollup_parse(text, strlen(text), &rollup);
	rollup_put(&rollup, record);
}

#define assert_metric(record, name, bytes)                           \
	do {                                                         \
		assert_true((record).present &METRIC_BIT(M_##name)); \
		assert_int_equal((record).value[M_##name], bytes);   \
	} while (0)

static void a_rollup_is_read_by_its_keys(void **state)
{
	struct task_record record;

	(void)state;
	parse(whole, &record);
	assert_int_equal(record.present, metric_walk_bits & ~METRIC_BIT(M_task_smaps_age_ns));
	assert_metric(record, task_pss_size, 208 * 1024);
	assert_metric(record, task_shared_clean_size, 1597 * 1024);
	assert_metric(record, task_shared_dirty_size, 3 * 1024);
	assert_metric(record, task_private_clean_size, 41 * 1024);
	assert_metric(record, task_private_dirty_size, 113 * 1024);
	assert_metric(record, task_referenced_size, 1747 * 1024);
	assert_metric(record, task_lazyfree_size, 7 * 1024);
	assert_metric(record, task_swap_data_size, 11 * 1024);
	assert_metric(record, task_swap_data_pss_size, 0);
}

static void order_and_unknown_keys_do_not_matter(void **state)
{
	struct task_record record;

	(void)state;
	parse("Pss_Private: 5 kB\nPs: 6 kB\nSwap: 13 kB\nNew_Thing: many\nXPss: 9 kB\nPss: 17 kB", &record);
	assert_int_equal(record.present, METRIC_BIT(M_task_pss_size) | METRIC_BIT(M_task_swap_data_size));
	assert_metric(record, task_swap_data_size, 13 * 1024);
	assert_metric(record, task_pss_size, 17 * 1024); /* the last line needs no end */
}

static void what_is_not_a_number_of_kb_is_absent(void **state)
{
	/* clang-format off */
	static const char *const texts[] = {
		"", "\n", "\n\n:\n", "Pss", "Pss:", "Pss:\n", "Pss: kB", "Pss:  kB\n", "Pss: 12", "Pss: 12 k", "Pss: 12 MB\n",
		"Pss: 12 kB \n", "Pss: 12 kBs", "Pss: -12 kB", "Pss: 0x1 kB", "Pss: 1 2 kB", "pss: 12 kB", " Pss: 12 kB",
		"Pss : 12 kB", "Pss: 99999999999999999999999 kB", "Pss: 18446744073709551615 kB", "Pss 12 kB", "\x80\xff: 1 kB",
	};
	/* clang-format on */
	struct task_record record;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		parse(texts[i], &record);
		assert_int_equal(record.present, 0);
	}
}

/* As much of the text as there is, on a heap block of that size so that a sanitizer sees a byte too far. */
static void a_text_may_end_anywhere(void **state)
{
	struct rollup full;

	(void)state;
	rollup_parse(whole, strlen(whole), &full);
	for (size_t size = 0; size < sizeof(whole); size++) {
		char *text = malloc(size ? size : 1);
		struct rollup rollup;

		memcpy(text, whole, size);
		rollup_parse(text, size, &rollup);
		assert_int_equal(rollup.present & ~full.present, 0);
		for (int i = 0; i < ROLLUP_KEYS; i++)
			if (rollup.present >> i & 1)
				assert_int_equal(rollup.bytes[i], full.bytes[i]);
		free(text);
	}
}

/* A process that waits to be ended; its record. */
static pid_t start_child(struct task_record *record)
{
	struct client root = { .sees_all = true };
	struct pid_key key;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails does not come to end_child() */
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(access_process(&root, pid, &key), 0);
	*record = (struct task_record){
		.tid = (u32)pid,
		.tgid = (u32)pid,
		.start_time_ns = key.start_ticks * (NS / (u64)sysconf(_SC_CLK_TCK)) + 7,
		.time_ns = clock_boot_ns(),
		.present = METRIC_BIT(M_task_vm_size),
	};
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_process_is_its_number_and_its_start(void **state)
{
	const u64 tick = NS / (u64)sysconf(_SC_CLK_TCK);
	struct task_record record;
	struct rollup rollup;
	pid_t pid = start_child(&record);

	(void)state;
	assert_null(rollup_unavailable());
	assert_int_equal(rollup_read(record.tgid, record.start_time_ns, NO_LIMIT, &rollup), 0);
	assert_int_equal(rollup.present, (1U << ROLLUP_KEYS) - 1);
	assert_int_equal(rollup_read(record.tgid, record.start_time_ns + tick, NO_LIMIT, &rollup), -ESRCH);
	assert_int_equal(rollup_read(record.tgid, record.start_time_ns - tick, NO_LIMIT, &rollup), -ESRCH);
	assert_int_equal(rollup_read(record.tgid, record.start_time_ns, 4096, &rollup), -EFBIG);
	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT);
	assert_int_equal(rollup_read(record.tgid, record.start_time_ns, NO_LIMIT, &rollup), -ESRCH); /* a zombie */
	end_child(pid);
	assert_int_equal(rollup_read(record.tgid, record.start_time_ns, NO_LIMIT, &rollup), -ESRCH);
}

static void a_refusal_is_told(void **state)
{
	struct task_record record;
	struct rollup rollup;
	pid_t pid = start_child(&record), reader;
	int status;

	(void)state;
	if (geteuid() != 0) {
		end_child(pid);
		skip();
	}
	reader = fork();
	if (reader == 0)
		_exit(setresuid(65534, 65534, 65534) ||
		      rollup_read(record.tgid, record.start_time_ns, NO_LIMIT, &rollup) != -EACCES);
	waitpid(reader, &status, 0);
	assert_int_equal(status, 0);
	end_child(pid);
}

static void what_is_used_is_paid_for(void **state)
{
	struct budget budget = { .share = 0.05 };
	u64 now = 7 * NS, used = 0, rest;
	u64 began = now;

	(void)state;
	budget.now_ns = now;
	assert_int_equal(budget_rest_ns(&budget, now, used), 0);
	for (int i = 0; i < 1000; i++) {
		u64 work = (u64)(i % 7) * 700001;

		now += work;
		used += work;
		rest = budget_rest_ns(&budget, now, used);
		now += rest;
		if (rest)
			assert_int_equal(budget_rest_ns(&budget, now, used), 0);
		assert_true((double)used <= 0.05 * (double)(now - began) + BUDGET_SLICE_NS);
	}
	assert_true((double)used >= 0.049 * (double)(now - began)); /* and none is wasted */
	/* idle time is not saved up: after an hour only a slice is free */
	now += 3600 * NS;
	assert_int_equal(budget_rest_ns(&budget, now, used), 0);
	now += 2 * BUDGET_SLICE_NS;
	used += 2 * BUDGET_SLICE_NS;
	rest = budget_rest_ns(&budget, now, used);
	assert_int_equal(rest, (u64)(2 * BUDGET_SLICE_NS * 0.95 / 0.05));
}

/* Ask until the figures are those of a reading after `since`; the row that has them. */
static struct task_record until_read(struct smaps *smaps, const struct task_record *record, u64 since)
{
	const u64 limit = clock_boot_ns() + 60 * NS;

	for (;;) {
		struct task_record row = *record;

		assert_true(clock_boot_ns() < limit);
		row.time_ns = clock_boot_ns();
		smaps_fill(smaps, &row);
		if (row.present & METRIC_BIT(M_task_smaps_age_ns) && row.time_ns - row.value[M_task_smaps_age_ns] >= since)
			return row;
		usleep(1000);
	}
}

static bool is_known(struct smaps *smaps, const struct task_record *record)
{
	struct task_record row = *record;

	smaps_fill(smaps, &row);
	assert_true((row.present & metric_walk_bits) == 0 || (row.present & metric_walk_bits) == metric_walk_bits);
	return row.present & metric_walk_bits;
}

static void figures_belong_to_one_process(void **state)
{
	struct smaps *smaps = smaps_new(1, NO_LIMIT);
	struct task_record record, other, row;
	pid_t pid = start_child(&record);

	(void)state;
	other = record;
	other.start_time_ns -= NS;
	assert_false(is_known(smaps, &record));
	smaps_wish(smaps, &other, NS); /* asked first, so it is read first */
	smaps_wish(smaps, &record, NS);
	row = until_read(smaps, &record, record.time_ns);
	assert_true(row.value[M_task_private_dirty_size] > 0);
	assert_false(is_known(smaps, &other));
	row.time_ns = 1; /* measured before it was read */
	smaps_fill(smaps, &row);
	assert_metric(row, task_smaps_age_ns, 0);
	/* it ends: the figures are there for the final row, and then no more */
	end_child(pid);
	smaps_wish(smaps, &record, NS);
	assert_true(is_known(smaps, &record));
	smaps_forget(smaps, &record);
	assert_false(is_known(smaps, &record));
	smaps_free(smaps);
}

static void another_program_has_other_memory(void **state)
{
	struct smaps *smaps = smaps_new(1, NO_LIMIT);
	struct task_record record;
	pid_t pid = start_child(&record);
	struct task_event exec = { .start_time_ns = record.start_time_ns, .tgid = record.tgid };

	(void)state;
	smaps_wish(smaps, &record, NS);
	until_read(smaps, &record, 0);
	exec.time_ns = clock_boot_ns();
	smaps_restart(smaps, &exec);
	until_read(smaps, &record, exec.time_ns); /* read again without a wish */
	smaps_restart(smaps, &exec);              /* what was read since is of the new program */
	assert_true(is_known(smaps, &record));
	exec.tgid++;
	exec.time_ns = clock_boot_ns();
	smaps_restart(smaps, &exec);
	assert_true(is_known(smaps, &record));
	exec.tgid--;
	exec.time_ns += 3600 * NS; /* nothing can be read after that */
	smaps_restart(smaps, &exec);
	assert_false(is_known(smaps, &record));
	smaps_forget_all(smaps);
	end_child(pid);
	smaps_free(smaps);
}

static void what_nobody_wishes_for_is_dropped(void **state)
{
	struct smaps *smaps = smaps_new(1, NO_LIMIT);
	struct task_record record, later;
	pid_t pid = start_child(&record), other;

	(void)state;
	smaps_wish(smaps, &record, NS);
	until_read(smaps, &record, 0);
	other = start_child(&later);
	later.time_ns += 59 * NS;
	smaps_wish(smaps, &later, NS);
	assert_true(is_known(smaps, &record));
	later.time_ns += 61 * NS;
	smaps_wish(smaps, &later, NS);
	assert_false(is_known(smaps, &record));
	until_read(smaps, &later, 0);
	end_child(pid);
	end_child(other);
	smaps_free(smaps);
}

static void a_process_without_memory_is_not_wished_for(void **state)
{
	struct smaps *smaps = smaps_new(1, NO_LIMIT);
	struct task_record record, kernel_thread;
	pid_t pid = start_child(&record);

	(void)state;
	kernel_thread = record;
	kernel_thread.present = 0;
	smaps_wish(smaps, &kernel_thread, NS);
	assert_false(is_known(smaps, &record));
	smaps_free(smaps); /* no thread was started */
	end_child(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rollup_is_read_by_its_keys),
		cmocka_unit_test(order_and_unknown_keys_do_not_matter),
		cmocka_unit_test(what_is_not_a_number_of_kb_is_absent),
		cmocka_unit_test(a_text_may_end_anywhere),
		cmocka_unit_test(a_process_is_its_number_and_its_start),
		cmocka_unit_test(a_refusal_is_told),
		cmocka_unit_test(what_is_used_is_paid_for),
		cmocka_unit_test(figures_belong_to_one_process),
		cmocka_unit_test(another_program_has_other_memory),
		cmocka_unit_test(what_nobody_wishes_for_is_dropped),
		cmocka_unit_test(a_process_without_memory_is_not_wished_for),
	};

	return cmocka_run_group_tests_name("collector smaps", tests, NULL, NULL);
}
