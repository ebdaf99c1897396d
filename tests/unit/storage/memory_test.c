/*
 * memory_test.c -- the store in memory keeps the contract, fails when told to, and forgets what was not synced.
 */
#include <stdio.h>

#include "store_contract.h"

static int open_store(void **state)
{
    *state = store_memory_new(NULL);
    return 0;
}

static int close_store(void **state)
{
    struct store *store = *state;

    store->ops->close(store);
    return 0;
}

static void the_nth_write_fails_and_leaves_nothing(void **state)
{
    (void)state;
    struct store_faults faults = {.fail_write_at = 2, .code = FR_FULL};
    struct store *store = store_memory_new(&faults);
    struct fr_err err;

    assert_int_equal(write_text(store, "a=1", &err), FR_OK);
    assert_int_equal(write_text(store, "a=2 b=2", &err), FR_FULL);
    assert_int_equal(err.code, FR_FULL);
    assert_holds(store, "", "a=1");
    assert_int_equal(write_text(store, "a=3", &err), FR_OK);
    assert_holds(store, "", "a=3");
    store->ops->close(store);
}

static void the_nth_sync_fails(void **state)
{
    (void)state;
    struct store_faults faults = {.fail_sync_at = 1, .code = FR_IO};
    struct store *store = store_memory_new(&faults);
    struct fr_err err;

    assert_int_equal(write_text(store, "a=1", &err), FR_OK);
    assert_int_equal(store->ops->sync(store, &err), FR_IO);
    struct store *left = store_memory_after_power_cut(store);
    assert_holds(left, "", "");
    left->ops->close(left);
    assert_int_equal(store->ops->sync(store, &err), FR_OK);
    left = store_memory_after_power_cut(store);
    assert_holds(left, "", "a=1");
    left->ops->close(left);
    store->ops->close(store);
}

static void a_power_cut_leaves_what_was_synced_and_the_old_store_goes_on(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);

    write_text(store, "a=1 b=1", NULL);
    store->ops->sync(store, NULL);
    write_text(store, "-a b=2 c=2", NULL);
    struct store *left = store_memory_after_power_cut(store);
    assert_holds(left, "", "a=1 b=1");
    assert_holds(store, "", "b=2 c=2");
    write_text(left, "d=3", NULL);
    assert_holds(left, "", "a=1 b=1 d=3");
    write_text(store, "e=3", NULL);
    assert_holds(store, "", "b=2 c=2 e=3");
    store->ops->close(store);
    assert_holds(left, "", "a=1 b=1 d=3");
    left->ops->close(left);
}

static void numbers_are_known_or_not(void **state)
{
    struct store *store = *state;
    uint64_t value;

    write_text(store, "abc=12345", NULL);
    assert_true(store->ops->number(store, "memtable_bytes", &value));
    assert_int_equal(value, 8);
    assert_false(store->ops->number(store, "moons", &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_CONTRACT(open_store, close_store),
        cmocka_unit_test(the_nth_write_fails_and_leaves_nothing),
        cmocka_unit_test(the_nth_sync_fails),
        cmocka_unit_test(a_power_cut_leaves_what_was_synced_and_the_old_store_goes_on),
        cmocka_unit_test_setup_teardown(numbers_are_known_or_not, open_store, close_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
