/*
 * fm_bits_test.c -- the factorization machine to the last bit: killed and started again, cells that are not its own, widths of vector.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cell_store.h"
#include "fm_driver.h"
#include "learner_checks.h"

static void assert_same_rows(const struct embedding *a, const struct embedding *b)
{
    assert_int_equal(a->len, b->len);
    for (uint32_t row = 0; row < a->len; row++) {
        if (!embedding_state(a, row)->count && !embedding_state(b, row)->count)
            continue;
        assert_memory_equal(embedding_state(a, row), embedding_state(b, row), sizeof(struct row_state));
        assert_memory_equal(embedding_vector(a, row), embedding_vector(b, row), a->d * sizeof(float));
    }
}

static void assert_same_models(struct driver *a, struct driver *b)
{
    struct cell_store *of_a = fr_zalloc(1, sizeof(*of_a)), *of_b = fr_zalloc(1, sizeof(*of_b));

    assert_same_rows(&a->model->items, &b->model->items);
    assert_same_rows(&a->model->history, &b->model->history);
    assert_same_rows(&a->model->features.rows, &b->model->features.rows);
    assert_memory_equal(&a->model->features.state, &b->model->features.state, sizeof(struct features_hand));
    assert_memory_equal(a->model->features.cells, b->model->features.cells, a->model->features.buckets * 16);
    driver_publish(a);
    driver_publish(b);
    for (uint32_t user = 0; user < USERS; user++) {
        struct query query = driver_query(a, user);
        driver_ask(a, &query);
        driver_ask(b, &query);
        assert_memory_equal(a->scores.value, b->scores.value, ITEMS * sizeof(double));
    }
    for (struct driver *driver = a; driver; driver = driver == a ? b : NULL) {
        journal_reset(driver->journal);
        for (uint32_t row = 0; row < ITEMS; row++) {
            embedding_change(&driver->model->items, row);
            if (embedding_state(&driver->model->items, row)->count == 0)
                *embedding_state(&driver->model->items, row) = (struct row_state){0};
        }
        driver->model->saved = UINT64_MAX; /* the numbers too */
        driver_save(driver);
        cell_store_take(driver == a ? of_a : of_b, driver->journal);
    }
    cells_assert_same(of_a->first[TABLE_FM_DENSE], of_b->first[TABLE_FM_DENSE], 1);
    cell_store_free(of_a);
    cell_store_free(of_b);
}

/* Half of the items have features: some of a few, one of many. */
static void say_features(struct driver *driver)
{
    for (uint32_t item = 0; item < ITEMS; item += 2) {
        const uint64_t keys[] = {1 + item % 9, 50 + item / 4};
        fm_ops.describe(driver->model, item, keys, 2);
    }
}

/* Killed after a save, with events learned after it that are learned again. */
static void assert_restarted(bool featured)
{
    for (int loss = FM_SOFTMAX; loss <= FM_SQUARED; loss++) {
        struct fm_options options = fm_small((enum fm_loss)loss);
        options.features_max = 200;
        options.features_admit = 2;
        options.features_ttl = 300 * 1000;
        struct driver *driver = driver_new(&options), *after = driver_new(&options), saved;
        struct cell_store *store = fr_zalloc(1, sizeof(*store));
        for (struct driver *each = driver; featured && each; each = each == driver ? after : NULL)
            say_features(each); /* the engine says it before anything is loaded */
        for (uint64_t at = 0; at < 5000; at += 500) {
            driver_events(driver, at, at + 500);
            driver_publish(driver);
            driver_save(driver);
            cell_store_take(store, driver->journal);
        }
        driver_save(driver);
        assert_true(journal_empty(driver->journal)); /* nothing has changed */
        saved = *driver; /* the engine's part, which the engine keeps */
        driver_events(driver, 5000, 5200);

        cell_store_load(store, &fm_ops, after->model);
        memcpy(after->people, saved.people, sizeof(saved.people));
        after->events = saved.events;
        driver_events(driver, 5200, 8000);
        driver_events(after, 5000, 8000);
        assert_true(driver->model->features.state.evicted + driver->model->features.state.expired > 50);
        assert_int_equal(fm_stats_of(after).events, 8000);
        assert_same_models(driver, after);
        cell_store_free(store);
        driver_free(driver);
        driver_free(after);
    }
}

static void killed_and_restarted_is_as_if_never_stopped(void **state)
{
    (void)state;
    assert_restarted(false);
    assert_restarted(true);
}

static void cells_that_cannot_be_ours_are_refused(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct driver *driver = driver_new(&options), *other;
    struct cell_store *store = fr_zalloc(1, sizeof(*store));
    const uint32_t column = 0;

    (void)state;
    driver_events(driver, 0, 300);
    driver_save(driver);
    cell_store_take(store, driver->journal);
    options.dimensions = 48;
    other = driver_new(&options);
    for (size_t t = 0; t < fm_ops.tables_len; t++) {
        const struct model_table *table = &fm_ops.tables[t];
        uint32_t row = 0;
        while (!store->first[table->table][row].at)
            row++;
        const struct stored *cell = &store->first[table->table][row];
        const struct fr_bytes bytes = {cell->at, cell->len};
        assert_false(table->load(other->model, row, &column, NULL, &bytes, 1)); /* other dimensions */
        cell_assert_refused(table, driver->model, row, cell);
    }
    cell_store_free(store);
    driver_free(driver);
    driver_free(other);
}

static struct driver *with_kernels(const struct vector_kernels *kernels)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct driver *driver = driver_new(&options);

    driver->model->kernels = kernels;
    return driver;
}

static void every_width_of_vector_learns_the_same(void **state)
{
    (void)state;
    assert_widths_learn_the_same(with_kernels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_and_restarted_is_as_if_never_stopped),
        cmocka_unit_test(cells_that_cannot_be_ours_are_refused),
        cmocka_unit_test(every_width_of_vector_learns_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
