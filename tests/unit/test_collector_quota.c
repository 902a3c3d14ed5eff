/* SPDX-License-Identifier: BSD-2-Clause */
#include "quota.h"

#include <errno.h>

#include "unit.h"

#define SECOND 1000000000ULL

static const struct config config = { .max_clients = 16, .max_clients_per_user = 5, .queue_bytes = 1000 };

static const struct client alice = { .uid = 1001 }, bob = { .uid = 1002 }, carol = { .uid = 1003 };
static const struct client root = { .uid = 0, .sees_all = true }, member = { .uid = 1004, .sees_all = true };

static struct quota_user *enter(struct quota *quota, const struct client *client, int count)
{
	struct quota_user *user = NULL;

	for (int i = 0; i < count; i++) {
		assert_int_equal(quota_enter(quota, client, 0, &user), 0);
		assert_non_null(user);
	}
	return user;
}

static void nobody_takes_all_connections(void **state)
{
	struct quota *quota = quota_new(&config);
	struct quota_user *user;

	(void)state;
	enter(quota, &alice, 5);
	assert_int_equal(quota_enter(quota, &alice, 0, &user), -EUSERS);
	assert_null(user);
	enter(quota, &bob, 5);
	user = enter(quota, &carol, 4);
	assert_int_equal(quota_enter(quota, &carol, 0, &user), -ENOSPC); /* 14 of 16 are for users */
	enter(quota, &member, 1);
	enter(quota, &root, 1);
	assert_int_equal(quota_enter(quota, &root, 0, &user), -ENOSPC);
	quota_free(quota);
}

static void what_is_given_back_can_be_taken(void **state)
{
	struct quota *quota = quota_new(&config);
	struct quota_user *user, *again;

	(void)state;
	user = enter(quota, &alice, 5);
	quota_leave(quota, &alice, user);
	assert_int_equal(quota_enter(quota, &alice, 0, &again), 0);
	assert_ptr_equal(again, user);
	assert_int_equal(quota_enter(quota, &alice, 0, &again), -EUSERS);
	quota_leave(quota, &alice, NULL); /* one that was refused */
	assert_int_equal(quota_enter(quota, &alice, 0, &again), -EUSERS);
	enter(quota, &root, 9); /* root has no limit of its own */
	quota_free(quota);
}

static void who_asks_too_much_rests(void **state)
{
	struct quota *quota = quota_new(&config);
	struct quota_user *user = enter(quota, &alice, 1), *all = enter(quota, &root, 1);

	(void)state;
	quota_charge(user, 0, SECOND);
	assert_int_equal(quota_rest_ns(user, 0), 0);
	quota_charge(user, 0, SECOND / 2);
	assert_int_equal(quota_rest_ns(user, 0), 2 * SECOND); /* half a second at a quarter of a CPU */
	assert_int_equal(quota_rest_ns(user, SECOND), SECOND);
	assert_int_equal(quota_rest_ns(user, 2 * SECOND), 0);
	quota_charge(user, 2 * SECOND, SECOND / 4);
	assert_int_equal(quota_rest_ns(user, 2 * SECOND), SECOND);
	/* what is not used is not saved up beyond the burst */
	assert_int_equal(quota_rest_ns(user, 1000 * SECOND), 0);
	quota_charge(user, 1000 * SECOND, 2 * SECOND);
	assert_int_equal(quota_rest_ns(user, 1000 * SECOND), 4 * SECOND);
	/* nobody waits so long that he takes the collector for dead */
	quota_charge(user, 1000 * SECOND, 100 * SECOND);
	assert_int_equal(quota_rest_ns(user, 1000 * SECOND), 5 * SECOND);
	quota_charge(all, 0, 1000 * SECOND);
	assert_int_equal(quota_rest_ns(all, 0), 0);
	quota_free(quota);
}

/* Or connecting again would pay them. */
static void debts_outlive_connections(void **state)
{
	struct quota *quota = quota_new(&config);
	struct quota_user *user = enter(quota, &alice, 1), *again;

	(void)state;
	quota_charge(user, 0, 2 * SECOND);
	quota_leave(quota, &alice, user);
	assert_int_equal(quota_enter(quota, &alice, SECOND, &again), 0);
	assert_int_equal(quota_rest_ns(again, SECOND), 3 * SECOND);
	quota_free(quota);
}

static void bytes_are_counted_per_user(void **state)
{
	struct quota *quota = quota_new(&config);
	struct quota_user *user = enter(quota, &alice, 1), *again = enter(quota, &alice, 1);

	(void)state;
	*quota_waiting(user) += 7;
	assert_int_equal(*quota_waiting(again), 7);
	assert_int_equal(*quota_waiting(enter(quota, &bob, 1)), 0);
	assert_int_equal(quota_waiting_max(quota, user), 8000);
	assert_true(quota_waiting_max(quota, enter(quota, &root, 1)) == SIZE_MAX);
	quota_free(quota);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_takes_all_connections), cmocka_unit_test(what_is_given_back_can_be_taken),
		cmocka_unit_test(who_asks_too_much_rests),      cmocka_unit_test(debts_outlive_connections),
		cmocka_unit_test(bytes_are_counted_per_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
