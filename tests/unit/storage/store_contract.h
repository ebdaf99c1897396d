/* store_contract.h -- what store.h promises, asked of each implementation. *state is a struct store that is empty. */
#ifndef FR_STORE_CONTRACT_H
#define FR_STORE_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/store.h"

/* "a=1 b=2 -c": puts and deletions, in one batch. */
static inline int write_text(struct store *store, const char *text, struct fr_err *err)
{
    struct store_batch *batch = store->ops->batch_new(store);
    char *copy = strdup(text), *rest = copy, *word;

    while ((word = strsep(&rest, " "))) {
        char *value = strchr(word, '=');
        if (value) {
            *value++ = 0;
            store->ops->batch_put(batch, fr_bytes_of(word), fr_bytes_of(value));
        } else if (*word == '-') {
            store->ops->batch_delete(batch, fr_bytes_of(word + 1));
        }
    }
    int status = store->ops->write(store, batch, err);
    store->ops->batch_free(batch);
    free(copy);
    return status;
}

/* What an iteration gives, as "a=1 b=2". */
static inline void assert_holds(struct store *store, const char *prefix, const char *want)
{
    struct store_iter *iter = store->ops->iterate(store, fr_bytes_of(prefix));
    struct fr_bytes key, value;
    char got[1024] = "";
    size_t len = 0;

    while (store->ops->next(iter, &key, &value))
        len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%.*s=%.*s", len ? " " : "", (int)key.len, key.at,
                                (int)value.len, value.at);
    assert_int_equal(store->ops->iter_close(iter, NULL), FR_OK);
    assert_string_equal(got, want);
}

static inline void a_batch_is_applied_in_its_order(void **state)
{
    struct store *store = *state;

    assert_int_equal(write_text(store, "b=1 a=1 b=2 c=1 -c d=1 -d d=3", NULL), FR_OK);
    assert_holds(store, "", "a=1 b=2 d=3");
    assert_int_equal(write_text(store, "-a c=9 b=3 -nothing", NULL), FR_OK);
    assert_holds(store, "", "b=3 c=9 d=3");
}

static inline void a_prefix_selects_its_keys_and_no_others(void **state)
{
    struct store *store = *state;

    assert_int_equal(write_text(store, "a=0 o=1 o1=2 o11=3 o2=4 p=5", NULL), FR_OK);
    assert_holds(store, "o", "o=1 o1=2 o11=3 o2=4");
    assert_holds(store, "o1", "o1=2 o11=3");
    assert_holds(store, "q", "");
    assert_holds(store, "", "a=0 o=1 o1=2 o11=3 o2=4 p=5");
}

static inline void keys_sort_as_unsigned_bytes_and_a_prefix_may_end_in_255(void **state)
{
    struct store *store = *state;
    struct store_batch *batch = store->ops->batch_new(store);
    const struct fr_bytes keys[] = {{"\xff\xff\x01", 3}, {"\xff\xff", 2},  {"\xff\x7f", 2}, {"s\0\x80", 3},
                                    {"s\xff", 2},        {"s\xff\xff", 3}, {"t", 1}};
    struct fr_bytes key, value;

    for (size_t i = 0; i < 7; i++)
        store->ops->batch_put(batch, keys[i], FR_BYTES("v"));
    assert_int_equal(store->ops->batch_keys(batch), 7);
    assert_true(store->ops->batch_bytes(batch) >= 16 + 7);
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_clear(batch);
    assert_int_equal(store->ops->batch_keys(batch), 0);
    store->ops->batch_free(batch);
    struct store_iter *iter = store->ops->iterate(store, (struct fr_bytes){"s\xff", 2});
    assert_true(store->ops->next(iter, &key, &value) && fr_bytes_equal(key, keys[4]));
    assert_true(store->ops->next(iter, &key, &value) && fr_bytes_equal(key, keys[5]));
    assert_false(store->ops->next(iter, &key, &value));
    assert_false(store->ops->next(iter, &key, &value));
    store->ops->iter_close(iter, NULL);
    iter = store->ops->iterate(store, (struct fr_bytes){"\xff\xff", 2});
    assert_true(store->ops->next(iter, &key, &value) && fr_bytes_equal(key, keys[1]));
    assert_true(store->ops->next(iter, &key, &value) && fr_bytes_equal(key, keys[0]));
    assert_false(store->ops->next(iter, &key, &value));
    store->ops->iter_close(iter, NULL);
}

static inline void get_gives_the_value_or_says_that_there_is_none(void **state)
{
    struct store *store = *state;
    struct fr_err err;
    char *value;
    size_t len;

    assert_int_equal(write_text(store, "a=hello empty=", NULL), FR_OK);
    assert_int_equal(store->ops->get(store, FR_BYTES("a"), &value, &len, &err), FR_OK);
    assert_int_equal(len, 5);
    assert_memory_equal(value, "hello", 5);
    free(value);
    assert_int_equal(store->ops->get(store, FR_BYTES("empty"), &value, &len, &err), FR_OK);
    assert_int_equal(len, 0);
    free(value);
    assert_int_equal(store->ops->get(store, FR_BYTES("b"), &value, &len, &err), FR_NOT_FOUND);
    assert_int_equal(err.code, FR_NOT_FOUND);
    assert_int_equal(store->ops->get(store, FR_BYTES("b"), &value, &len, NULL), FR_NOT_FOUND);
}

static inline void an_iteration_does_not_see_what_is_written_meanwhile(void **state)
{
    struct store *store = *state;
    struct fr_bytes key, value;

    assert_int_equal(write_text(store, "a=1 b=1 c=1", NULL), FR_OK);
    struct store_iter *iter = store->ops->iterate(store, FR_BYTES(""));
    assert_true(store->ops->next(iter, &key, &value));
    assert_int_equal(write_text(store, "-b c=2 d=1", NULL), FR_OK);
    assert_true(store->ops->next(iter, &key, &value) && fr_bytes_equal(key, FR_BYTES("b")));
    assert_true(store->ops->next(iter, &key, &value) && fr_bytes_equal(value, FR_BYTES("1")));
    assert_false(store->ops->next(iter, &key, &value));
    store->ops->iter_close(iter, NULL);
    assert_holds(store, "", "a=1 c=2 d=1");
}

static inline void values_of_megabytes_are_fine(void **state)
{
    struct store *store = *state;
    struct store_batch *batch = store->ops->batch_new(store);
    size_t size = 5 << 20, len;
    char *big = malloc(size), *value;

    for (size_t i = 0; i < size; i++)
        big[i] = (char)(i * 2654435761U >> 13);
    store->ops->batch_put(batch, FR_BYTES("big"), (struct fr_bytes){big, size});
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
    assert_int_equal(store->ops->get(store, FR_BYTES("big"), &value, &len, NULL), FR_OK);
    assert_int_equal(len, size);
    assert_memory_equal(value, big, size);
    free(value);
    free(big);
}

#define STORE_CONTRACT(setup, teardown)                                                                                \
    cmocka_unit_test_setup_teardown(a_batch_is_applied_in_its_order, setup, teardown),                                 \
        cmocka_unit_test_setup_teardown(a_prefix_selects_its_keys_and_no_others, setup, teardown),                     \
        cmocka_unit_test_setup_teardown(keys_sort_as_unsigned_bytes_and_a_prefix_may_end_in_255, setup, teardown),     \
        cmocka_unit_test_setup_teardown(get_gives_the_value_or_says_that_there_is_none, setup, teardown),              \
        cmocka_unit_test_setup_teardown(an_iteration_does_not_see_what_is_written_meanwhile, setup, teardown),         \
        cmocka_unit_test_setup_teardown(values_of_megabytes_are_fine, setup, teardown)

#endif
