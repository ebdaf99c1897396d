/*
 * tail_test.c -- whatever fails when, and whatever the store holds when it is opened anew: in the end each batch has been
 * applied once, in order, and nothing was called durable that a power cut would have taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/format.h"
#include "tail.h"

enum { BATCHES = 40, KEYS = 5 };

/* Batch n: a new value for one key, one key more, one key less, and its own number. */
static void fill(struct store *store, struct store_batch *batch, uint64_t n)
{
    struct fr_writer value;
    char key[2] = {'k', (char)('0' + n % KEYS)}, once[2] = {'n', (char)n}, gone[2] = {'n', (char)(n - 3)};

    fr_writer_init(&value, 0);
    format_journals_value(&value, n);
    store->ops->batch_put(batch, FR_BYTES(FORMAT_JOURNALS_KEY), fr_written(&value));
    store->ops->batch_put(batch, (struct fr_bytes){key, 2}, (struct fr_bytes){(const char *)&n, sizeof(n)});
    store->ops->batch_put(batch, (struct fr_bytes){once, 2}, FR_BYTES("x"));
    if (n > 3)
        store->ops->batch_delete(batch, (struct fr_bytes){gone, 2});
    fr_writer_release(&value);
}

/* The store holds what batches 1 .. n make, and no more. */
static void assert_is_after(struct store *store, uint64_t n)
{
    struct store *want = store_memory_new(NULL);
    struct fr_bytes key, value, want_key, want_value;

    for (uint64_t i = 1; i <= n; i++) {
        struct store_batch *batch = want->ops->batch_new(want);
        fill(want, batch, i);
        assert_int_equal(want->ops->write(want, batch, NULL), FR_OK);
        want->ops->batch_free(batch);
    }
    struct store_iter *left = store->ops->iterate(store, FR_BYTES("")), *right = want->ops->iterate(want, FR_BYTES(""));
    while (want->ops->next(right, &want_key, &want_value)) {
        assert_true(store->ops->next(left, &key, &value));
        assert_true(fr_bytes_equal(key, want_key) && fr_bytes_equal(value, want_value));
    }
    assert_false(store->ops->next(left, &key, &value));
    store->ops->iter_close(left, NULL);
    want->ops->iter_close(right, NULL);
    want->ops->close(want);
}

static uint64_t number_in(struct store *store)
{
    uint64_t number;

    assert_int_equal(format_journals(store, &number, NULL), FR_OK);
    return number;
}

/* Batches go in one after the other, each once: a kill between two would else leave parts of several. */
static int (*write_inner)(struct store *store, struct store_batch *batch, struct fr_err *err);

static int write_in_order(struct store *store, struct store_batch *batch, struct fr_err *err)
{
    uint64_t before = number_in(store);
    int status = write_inner(store, batch, err);

    if (!status)
        assert_int_equal(number_in(store), before + 1);
    return status;
}

/* Appends all batches, syncing after each `sync_every`, and tries again whatever fails. Returns how often it failed. */
static int run(struct store *store, uint64_t sync_every)
{
    struct store_ops ops = *store->ops;
    struct tail *tail = tail_new(store);
    struct fr_err err;
    int failures = 0;

    write_inner = ops.write;
    ops.write = write_in_order;

    for (uint64_t n = 1; n <= BATCHES; n++) {
        fill(store, tail_room(tail), n);
        tail_append(tail, n, n);
        int (*step)(struct tail *, struct fr_err *) = n % sync_every == 0 ? tail_sync : tail_write;
        const struct store_ops *plain = store->ops;
        store->ops = &ops;
        for (; step(tail, &err); failures++)
            assert_false(tail_broken(tail));
        store->ops = plain;
        assert_is_after(store, n);
        struct store *left = store_memory_after_power_cut(store);
        assert_true(number_in(left) >= tail_durable(tail)); /* what is called durable is */
        assert_true(store->ops->marked(store) <= number_in(left));
        assert_is_after(left, number_in(left));
        left->ops->close(left);
    }
    assert_int_equal(tail_sync(tail, &err), FR_OK);
    assert_int_equal(tail_durable(tail), BATCHES);
    assert_int_equal(store->ops->marked(store), BATCHES);
    tail_free(tail);
    return failures;
}

/* Every n-th write, sync and opening fails; the failed write arrives or not; the newly opened store has forgotten what was not
 * synced or not. */
static void each_batch_is_applied_once_whatever_fails(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int n = 1; n <= BATCHES + 1; n++)
            for (int how = 0; how < 4; how++) {
                struct store_faults faults = {.code = FR_IO, .arrives = how & 1, .forgets = how & 2};
                struct store *store = store_memory_new(&faults);
                faults.fail_write_at = kind == 0 || kind == 2 ? n : 0;
                faults.fail_sync_at = kind == 1 ? n : 0;
                faults.fail_reopen_at = kind == 2;
                int failures = run(store, 5), wanted = kind == 2 ? 2 : 1;
                if (kind == 1 ? n <= BATCHES / 5 : n <= BATCHES)
                    assert_int_equal(failures, wanted);
                store->ops->close(store);
            }
}

static void a_store_that_comes_back_without_what_was_synced_is_not_written_to(void **state)
{
    (void)state;
    struct store_faults faults = {.code = FR_IO};
    struct store *store = store_memory_new(&faults);
    struct tail *tail = tail_new(store);
    struct fr_err err;

    fill(store, tail_room(tail), 1);
    tail_append(tail, 1, 1);
    assert_int_equal(tail_sync(tail, &err), FR_OK);
    struct store_batch *batch = store->ops->batch_new(store); /* the disk forgets */
    store->ops->batch_delete(batch, FR_BYTES(FORMAT_JOURNALS_KEY));
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
    fill(store, tail_room(tail), 2);
    tail_append(tail, 2, 2);
    tail_distrust(tail);
    assert_int_equal(tail_write(tail, &err), FR_CORRUPT);
    assert_non_null(strstr(err.text, "0 journals; 1 were synced and 2 written"));
    assert_true(tail_broken(tail));
    assert_int_equal(number_in(store), 0);
    tail_free(tail);
    store->ops->close(store);
}

static void what_is_not_synced_is_bounded(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct tail *tail = tail_new(store);
    struct fr_err err;
    uint64_t n = 0;

    while (!tail_long(tail)) {
        fill(store, tail_room(tail), ++n);
        tail_append(tail, n, n);
        assert_int_equal(tail_write(tail, &err), FR_OK);
    }
    assert_int_equal(n, 16);
    assert_int_equal(tail_sync(tail, &err), FR_OK);
    assert_false(tail_long(tail));
    assert_int_equal(tail_durable(tail), n);
    tail_free(tail);
    store->ops->close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_batch_is_applied_once_whatever_fails),
        cmocka_unit_test(a_store_that_comes_back_without_what_was_synced_is_not_written_to),
        cmocka_unit_test(what_is_not_synced_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
