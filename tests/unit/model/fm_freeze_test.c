/*
 * fm_freeze_test.c -- what a freeze saves of a factorization machine that goes on learning, against a deep copy.
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
#include "rows_copy.h"

/* A deep copy of all that a freeze stands for. */
struct moment {
    struct rows_copy items, history, features;
    struct features_hand hand;
    struct fm_numbers numbers;
    void *filter;
    uint64_t events;
};

static struct moment moment_of(const struct model *model)
{
    return (struct moment){
        .items = rows_copy_of(&model->items),
        .history = rows_copy_of(&model->history),
        .features = rows_copy_of(&model->features.rows),
        .hand = model->features.state,
        .numbers = model->numbers,
        .filter = bytes_copy(model->features.cells, model->features.buckets * (size_t)16),
        .events = atomic_load(&model->events),
    };
}

static void moment_assert_stored(struct moment *moment, struct cell_store *store, const struct fm_options *options)
{
    struct driver *after = driver_new(options);
    struct model *model = after->model;

    cell_store_load(store, &fm_ops, model);
    fm_settle(model);
    rows_copy_assert(&moment->items, &model->items);
    rows_copy_assert(&moment->history, &model->history);
    rows_copy_assert(&moment->features, &model->features.rows);
    assert_memory_equal(&moment->hand, &model->features.state, sizeof(moment->hand));
    assert_memory_equal(&moment->numbers, &model->numbers, sizeof(moment->numbers));
    assert_memory_equal(moment->filter, model->features.cells, model->features.buckets * (size_t)16);
    assert_int_equal(moment->events, atomic_load(&model->events));
    rows_copy_free(&moment->items);
    rows_copy_free(&moment->history);
    rows_copy_free(&moment->features);
    free(moment->filter);
    driver_free(after);
}

/* Whatever is learned, admitted, expired and evicted while a freeze is being paid: the store holds what was there when it began. */
static void what_is_saved_is_as_of_the_freeze(void **state)
{
    (void)state;
    for (int loss = FM_SOFTMAX; loss <= FM_SQUARED; loss++) {
        struct fm_options options = fm_defaults;
        options.loss = (enum fm_loss)loss;
        options.features_max = 200;
        options.features_admit = 2;
        options.features_ttl = 300 * 1000;
        struct driver *driver = driver_new(&options);
        struct cell_store *store = fr_zalloc(1, sizeof(*store));
        uint64_t at = 0, random = (uint64_t)loss;
        for (int freeze = 0; freeze < 40; freeze++) {
            for (uint64_t upto = at + 1 + (uint64_t)freeze * 37 % 200; at < upto; at++)
                driver_event_at(driver, at);
            struct moment moment = moment_of(driver->model);
            struct journal *aside = driver_freeze(driver, &at, &random);
            cell_store_take(store, aside);
            journal_free(aside);
            moment_assert_stored(&moment, store, &options);
        }
        assert_true(driver->model->features.state.evicted + driver->model->features.state.expired > 50);
        cell_store_free(store);
        driver_free(driver);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_as_of_the_freeze),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
