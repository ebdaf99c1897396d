/*
 * fm_forget_test.c -- users' own rows when users are forgotten: while the model runs, or while it does not, and in stores of before it said so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cell_store.h"
#include "fm_driver.h"

/* Their rows are as if they had never been, there and after a restart, and the places are those of the next. */
static void rows_of_forgotten_users_go(void **state)
{
    struct fm_options options = fm_small(FM_LOGISTIC);
    const uint32_t ann = 0, bob = 1, nobody = 29;

    (void)state;
    options.user_rows = true;
    struct driver *driver = driver_new(&options), *after = driver_new(&options);
    struct cell_store *store = fr_zalloc(1, sizeof(*store));
    for (uint32_t k = 0; k < 400; k++)
        driver_event(driver, k & 1, k & 2 ? 2 + k / 4 % 20 : k & 1, 1, NULL, 0);
    driver_save(driver);
    cell_store_take(store, driver->journal);
    assert_int_equal(fm_stats_of(driver).features, 2);
    fm_ops.forget_user(driver->model, person_id(&nobody));
    assert_int_equal(fm_stats_of(driver).features, 2);
    fm_ops.forget_user(driver->model, person_id(&ann));
    assert_int_equal(fm_stats_of(driver).features, 1);
    fm_ops.forget_user(driver->model, person_id(&bob));
    journal_reset(driver->journal);
    driver_save(driver);
    cell_store_take(store, driver->journal);
    cell_store_load(store, &fm_ops, after->model);
    driver_publish(driver);
    driver_publish(after);
    assert_memory_equal(&after->model->features.state, &driver->model->features.state, sizeof(struct features_hand));
    assert_int_equal(fm_stats_of(after).features, 0);
    struct query query = driver_query(driver, bob);
    double value[3];
    for (int who = 0; who < 3; who++) {
        query.user_id = person_id(who == 0 ? &nobody : &ann);
        value[who] = driver_ask(who == 2 ? after : driver, &query)[3];
    }
    assert_true(value[0] == value[1] && value[1] == value[2]);
    for (uint32_t k = 0; k < 3; k++)
        driver_event(after, nobody, k, 1, NULL, 0);
    assert_int_equal(fm_stats_of(after).features, 2);          /* the newcomer at its third use, and her who was nobody */
    assert_int_equal(after->model->features.state.len, 2); /* where ann and bob were */
    cell_store_free(store);
    driver_free(driver);
    driver_free(after);
}

/* A store of before the model said whom it knows to be forgotten. */
static struct cell_store *store_of_before(const struct fm_options *options, uint64_t *ret_features)
{
    struct driver *driver = driver_new(options);
    struct cell_store *store = fr_zalloc(1, sizeof(*store));
    const uint64_t morning = 77;

    for (uint32_t k = 0; k < 40; k++)
        driver_event(driver, k & 1, 2 + k % 20, 1, &morning, 1);
    driver_save(driver);
    cell_store_take(store, driver->journal);
    struct stored *numbers = cell_store_at(store, TABLE_FM_DENSE, FM_ROW_NUMBERS, 0);
    assert_int_equal(numbers->len, 120);
    numbers->len = 108;
    numbers->at[0] = 1;
    *ret_features = fm_stats_of(driver).features;
    assert_true(*ret_features >= 1);
    driver_free(driver);
    return store;
}

/* With rows of users it goes by none of the features, unless nobody ever was forgotten. */
static void features_of_before_are_kept_where_nobody_can_be_among_them(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct fm_options options = fm_small(FM_LOGISTIC);
        const uint64_t forgotten = what & 1 ? 12345 : 0;
        uint64_t features;
        options.user_rows = what & 2;
        struct cell_store *store = store_of_before(&options, &features);
        struct driver *after = driver_new(&options);
        cell_store_load(store, &fm_ops, after->model);
        fm_ops.forgotten(after->model, forgotten);
        assert_int_equal(fm_stats_of(after).features, what == 3 ? 0 : features);
        driver_save(after); /* and from now on it says so */
        cell_store_take(store, after->journal);
        driver_free(after);
        after = driver_new(&options);
        cell_store_load(store, &fm_ops, after->model);
        fm_ops.forgotten(after->model, forgotten);
        assert_int_equal(fm_stats_of(after).features, what == 3 ? 0 : features);
        fm_ops.forgotten(after->model, forgotten + 1); /* one of whom it is told as she goes */
        assert_int_equal(fm_stats_of(after).features, what == 3 ? 0 : features);
        cell_store_free(store);
        driver_free(after);
    }
}

/* They may be users' own though users get none now: they are let be, and go when somebody is missed after that. */
static void features_of_before_go_with_the_next_who_is_missed(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct fm_options options = fm_small(FM_LOGISTIC);
        const uint64_t forgotten = what & 1 ? 12345 : 0;
        uint64_t features;
        options.user_rows = true;
        struct cell_store *store = store_of_before(&options, &features);
        options.user_rows = false;
        for (int start = 0; start < 2; start++) {
            struct driver *after = driver_new(&options);
            cell_store_load(store, &fm_ops, after->model);
            fm_ops.forgotten(after->model, forgotten + (uint64_t)start);
            assert_int_equal(fm_stats_of(after).features, start ? 0 : features);
            assert_false(journal_empty(after->journal)); /* it is noted though nothing happens */
            cell_store_take(store, after->journal);
            driver_free(after);
            options.user_rows = what & 2;
        }
        cell_store_free(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_forgotten_users_go),
        cmocka_unit_test(features_of_before_are_kept_where_nobody_can_be_among_them),
        cmocka_unit_test(features_of_before_go_with_the_next_who_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
