/*
 * journal_test.c -- what goes in comes out, in order, whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "journal_checks.h"

static void operations_come_back_in_order(void **state)
{
    (void)state;
    struct journal *journal = journal_new();
    uint32_t others[3] = {7, 0, UINT32_MAX};
    int32_t by[3] = {-4, INT32_MIN, INT32_MAX};
    struct journal_cursor cursor;
    struct journal_op op;

    journal_star(journal, TABLE_PAIRS, 5, others, 3, -2);
    journal_add(journal, TABLE_PAIRS, 1, 2, 3);
    journal_adds(journal, TABLE_PAIRS, 6, others, by, 3);
    journal_clear(journal, TABLE_PAIRS, 7);

    journal_begin(journal, TABLE_PAIRS, &cursor);
    assert_true(journal_next(&cursor, &op));
    assert_int_equal(op.kind, JOURNAL_STAR);
    assert_int_equal(op.table, TABLE_PAIRS);
    assert_int_equal(op.row, 5);
    assert_int_equal(op.by, -2);
    assert_int_equal(op.others_len, 3);
    assert_memory_equal(op.others, others, sizeof(others));
    assert_true(journal_next(&cursor, &op));
    assert_int_equal(op.kind, JOURNAL_ADD);
    assert_int_equal(op.row, 1);
    assert_int_equal(op.column, 2);
    assert_int_equal(op.by, 3);
    assert_int_equal(op.others_len, 0);
    assert_true(journal_next(&cursor, &op));
    assert_int_equal(op.kind, JOURNAL_ADDS);
    assert_int_equal(op.row, 6);
    assert_int_equal(op.others_len, 3);
    assert_memory_equal(op.others, others, sizeof(others));
    assert_memory_equal(op.each, by, sizeof(by));
    assert_true(journal_next(&cursor, &op));
    assert_int_equal(op.kind, JOURNAL_CLEAR);
    assert_int_equal(op.row, 7);
    assert_int_equal(op.others_len, 0);
    assert_false(journal_next(&cursor, &op));
    assert_false(journal_next(&cursor, &op));
    journal_free(journal);
}

static void each_table_has_its_own_operations(void **state)
{
    (void)state;
    struct journal *journal = journal_new();
    struct journal_cursor cursor;
    struct journal_op op;

    journal_key_put(journal, FR_BYTES("key"), FR_BYTES("value"));
    journal_put(journal, TABLE_HISTORY, 9, COLUMN_HEAD, "hello", 5);
    journal_clear(journal, TABLE_DEDUP, 8);
    journal_delete(journal, TABLE_HISTORY, 4, 6);
    journal_key_delete(journal, FR_BYTES("gone"));
    journal_put(journal, TABLE_CATALOGUE_USERS, 3, 1, "", 0);

    journal_begin(journal, TABLE_HISTORY, &cursor);
    assert_true(journal_next(&cursor, &op));
    assert_int_equal(op.kind, JOURNAL_PUT);
    assert_int_equal(op.table, TABLE_HISTORY);
    assert_int_equal(op.row, 9);
    assert_int_equal(op.column, COLUMN_HEAD);
    assert_true(fr_bytes_equal(op.bytes, FR_BYTES("hello")));
    assert_true(journal_next(&cursor, &op));
    assert_int_equal(op.kind, JOURNAL_DELETE);
    assert_int_equal(op.row, 4);
    assert_int_equal(op.column, 6);
    assert_false(journal_next(&cursor, &op));
    journal_begin(journal, TABLE_DEDUP, &cursor);
    assert_true(journal_next(&cursor, &op));
    assert_int_equal(op.kind, JOURNAL_CLEAR);
    assert_int_equal(op.table, TABLE_DEDUP);
    assert_int_equal(op.row, 8);
    assert_false(journal_next(&cursor, &op));
    journal_begin(journal, TABLE_KEYS, &cursor);
    assert_true(journal_next(&cursor, &op));
    assert_int_equal(op.kind, JOURNAL_KEY_PUT);
    assert_true(fr_bytes_equal(op.key, FR_BYTES("key")));
    assert_true(fr_bytes_equal(op.bytes, FR_BYTES("value")));
    assert_true(journal_next(&cursor, &op));
    assert_int_equal(op.kind, JOURNAL_KEY_DELETE);
    assert_true(fr_bytes_equal(op.key, FR_BYTES("gone")));
    assert_false(journal_next(&cursor, &op));
    journal_begin(journal, TABLE_CATALOGUE_USERS, &cursor);
    assert_true(journal_next(&cursor, &op));
    assert_int_equal(op.kind, JOURNAL_PUT);
    assert_int_equal(op.bytes.len, 0);
    assert_non_null(op.bytes.at);
    assert_false(journal_next(&cursor, &op));
    journal_begin(journal, TABLE_PAIRS, &cursor);
    assert_false(journal_next(&cursor, &op));
    journal_free(journal);
}

static void a_new_or_reset_journal_is_empty(void **state)
{
    (void)state;
    struct journal *journal = journal_new();
    struct journal_cursor cursor;
    struct journal_op op;

    for (int round = 0; round < 3; round++) {
        assert_true(journal_empty(journal));
        assert_int_equal(journal_bytes(journal), 0);
        journal_begin_only(journal, TABLE_USERS, &cursor);
        assert_false(journal_next(&cursor, &op));
        journal_clear(journal, TABLE_USERS, 1);
        assert_false(journal_empty(journal));
        assert_true(journal_bytes(journal) > 0);
        journal_reset(journal);
    }
    journal_free(journal);
}

static void a_star_without_others_is_nothing(void **state)
{
    (void)state;
    struct journal *journal = journal_new();

    journal_star(journal, TABLE_PAIRS, 1, NULL, 0, 1);
    journal_adds(journal, TABLE_PAIRS, 1, NULL, NULL, 0);
    assert_true(journal_empty(journal));
    journal_free(journal);
}

/* The length of the n-th put of the long test: all remainders of 4, and now and then longer than any chunk. */
static size_t length_of(uint32_t n)
{
    return n % 1000 == 999 ? 300000 + n : n % 61;
}

static void many_operations_of_all_lengths_survive_over_many_chunks(void **state)
{
    (void)state;
    struct journal *journal = journal_new();
    struct journal_cursor puts, keys;
    struct journal_op op;
    size_t total = 0;
    char *bytes = malloc(400000);

    for (int round = 0; round < 2; round++) {
        total = 0;
        for (uint32_t n = 0; n < 20000; n++) {
            size_t len = length_of(n);
            memset(bytes, (int)(n & 0xff), len);
            if (n % 2)
                journal_put(journal, TABLE_HISTORY, n, ~n, bytes, len);
            else
                journal_key_put(journal, (struct fr_bytes){(const char *)&n, sizeof(n)}, (struct fr_bytes){bytes, len});
            total += len;
        }
        assert_true(journal_bytes(journal) >= total);
        assert_true(journal_bytes(journal) < total + 20000 * 24 + 20 * 400000);
        journal_begin(journal, TABLE_HISTORY, &puts);
        journal_begin(journal, TABLE_KEYS, &keys);
        for (uint32_t n = 0; n < 20000; n++) {
            assert_true(journal_next(n % 2 ? &puts : &keys, &op));
            size_t len = length_of(n);
            memset(bytes, (int)(n & 0xff), len);
            assert_int_equal(op.bytes.len, len);
            assert_memory_equal(op.bytes.at, bytes, len);
            if (n % 2) {
                assert_int_equal(op.row, n);
                assert_int_equal(op.column, ~n);
            } else {
                assert_int_equal(op.key.len, sizeof(n));
                assert_memory_equal(op.key.at, &n, sizeof(n));
            }
        }
        assert_false(journal_next(&puts, &op));
        assert_false(journal_next(&keys, &op));
        journal_reset(journal);
    }
    free(bytes);
    journal_free(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_come_back_in_order),
        cmocka_unit_test(each_table_has_its_own_operations),
        cmocka_unit_test(a_new_or_reset_journal_is_empty),
        cmocka_unit_test(a_star_without_others_is_nothing),
        cmocka_unit_test(many_operations_of_all_lengths_survive_over_many_chunks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
