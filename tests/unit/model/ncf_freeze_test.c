/*
 * ncf_freeze_test.c -- what a freeze saves of a neural model that goes on learning, against a deep copy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cell_store.h"
#include "ncf_driver.h"
#include "rows_copy.h"

enum { NUMBERS = 4 };

/* A deep copy of all that a freeze stands for. */
struct moment {
    struct rows_copy rows[4];
    void *dense;
    uint64_t numbers[NUMBERS];
};

static void rows_of(const struct model *model, const struct embedding *rows[4])
{
    rows[0] = &model->gmf_items;
    rows[1] = &model->mlp_items;
    rows[2] = &model->gmf_history;
    rows[3] = &model->mlp_history;
}

static size_t dense_bytes(const struct model *model)
{
    return 4 * model->dense.shape.len * sizeof(float);
}

static struct moment moment_of(const struct model *model)
{
    const struct embedding *rows[4];
    struct moment moment = {
        .dense = bytes_copy(model->dense.numbers, dense_bytes(model)),
        .numbers = {model->dense.steps, model->dense.examples, model->seen, atomic_load(&model->events)},
    };

    rows_of(model, rows);
    for (int k = 0; k < 4; k++)
        moment.rows[k] = rows_copy_of(rows[k]);
    return moment;
}

static void moment_assert_stored(struct moment *moment, struct cell_store *store)
{
    struct driver *after = driver_new(&ncf_defaults);
    const struct model *model = after->model;
    const struct embedding *rows[4];

    cell_store_load(store, &ncf_ops, after->model);
    rows_of(model, rows);
    for (int k = 0; k < 4; k++) {
        rows_copy_assert(&moment->rows[k], rows[k]);
        rows_copy_free(&moment->rows[k]);
    }
    assert_memory_equal(moment->dense, model->dense.numbers, dense_bytes(model));
    const uint64_t numbers[NUMBERS] = {model->dense.steps, model->dense.examples, model->seen, atomic_load(&model->events)};
    assert_memory_equal(moment->numbers, numbers, sizeof(numbers));
    free(moment->dense);
    driver_free(after);
}

/* Whatever is learned while a freeze is being paid: the store holds what was there when it began, to the unfinished batch. */
static void what_is_saved_is_as_of_the_freeze(void **state)
{
    struct driver *driver = driver_new(&ncf_defaults);
    struct cell_store *store = fr_zalloc(1, sizeof(*store));
    uint64_t at = 0, random = 1;

    (void)state;
    for (int freeze = 0; freeze < 40; freeze++) {
        for (uint64_t upto = at + 1 + (uint64_t)freeze * 37 % 200; at < upto; at++)
            driver_event_at(driver, at);
        struct moment moment = moment_of(driver->model);
        struct journal *aside = driver_freeze(driver, &at, &random);
        cell_store_take(store, aside);
        journal_free(aside);
        moment_assert_stored(&moment, store);
    }
    cell_store_free(store);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_as_of_the_freeze),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
