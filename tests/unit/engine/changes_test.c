/*
 * changes_test.c -- settling, worked by hand, and the sort against qsort.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "changes.h"

static uint64_t place(uint32_t row, uint32_t column)
{
    return (uint64_t)row << 32 | column;
}

static void sums_are_added_and_zeros_dropped(void **state)
{
    (void)state;
    struct changes changes = {0};

    changes_begin(&changes, true);
    changes_add(&changes, 7, 3, 5);
    changes_add(&changes, 2, 9, 1);
    changes_add(&changes, 7, 3, -2);
    changes_add(&changes, 2, 9, -1);
    changes_add(&changes, 2, 8, 4);
    assert_true(changes_settle(&changes));
    assert_int_equal(changes.len, 2);
    assert_true(changes.at[0].place == place(2, 8) && (int64_t)changes.at[0].what == 4);
    assert_true(changes.at[1].place == place(7, 3) && (int64_t)changes.at[1].what == 3);
    changes_release(&changes);
}

static void a_clear_drops_what_came_before_and_keeps_what_comes_after(void **state)
{
    (void)state;
    struct changes changes = {0};
    struct changes_walk walk = {0, 0};
    struct changes_row row;

    changes_begin(&changes, true);
    changes_add(&changes, 7, 3, 5);
    changes_add(&changes, 8, 3, 5);
    changes_clear(&changes, 7);
    changes_add(&changes, 7, 4, 1);
    changes_clear(&changes, 5);
    changes_clear(&changes, 7);
    changes_add(&changes, 7, 6, 2);
    assert_true(changes_settle(&changes));
    assert_true(changes_next_row(&changes, &walk, &row));
    assert_int_equal(row.row, 5);
    assert_true(row.cleared);
    assert_int_equal(row.len, 0);
    assert_true(changes_next_row(&changes, &walk, &row));
    assert_int_equal(row.row, 7);
    assert_true(row.cleared);
    assert_int_equal(row.len, 1);
    assert_int_equal(change_column(&row.at[0]), 6);
    assert_true(changes_next_row(&changes, &walk, &row));
    assert_int_equal(row.row, 8);
    assert_false(row.cleared);
    assert_int_equal(row.len, 1);
    assert_false(changes_next_row(&changes, &walk, &row));
    changes_release(&changes);
}

static void of_bytes_the_last_operation_counts(void **state)
{
    (void)state;
    struct changes changes = {0};

    changes_begin(&changes, false);
    changes_put(&changes, 1, 1, FR_BYTES("a"));
    changes_put(&changes, 1, 1, FR_BYTES("b"));
    changes_put(&changes, 1, 2, FR_BYTES("c"));
    changes_delete(&changes, 1, 2);
    changes_delete(&changes, 1, 3);
    changes_put(&changes, 1, 3, FR_BYTES("d"));
    changes_clear(&changes, 2);
    changes_delete(&changes, 2, 2); /* said by the clear */
    assert_true(changes_settle(&changes));
    assert_int_equal(changes.len, 3);
    assert_true(fr_bytes_equal(changes.blobs[changes.at[0].what], FR_BYTES("b")));
    assert_true(changes.at[1].place == place(1, 2) && changes.at[1].what == CHANGE_DELETED);
    assert_true(fr_bytes_equal(changes.blobs[changes.at[2].what], FR_BYTES("d")));
    changes_release(&changes);
}

static void a_sum_past_64_bits_is_noticed(void **state)
{
    (void)state;
    struct changes changes = {0};

    changes_begin(&changes, true);
    changes_add(&changes, 1, 1, INT64_MAX);
    changes_add(&changes, 1, 1, 1);
    assert_false(changes_settle(&changes));
    changes_release(&changes);
}

static int by_place(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static void the_sort_is_that_of_numbers_whatever_bits_differ(void **state)
{
    (void)state;
    enum { LEN = 5000 };
    static const uint64_t masks[] = {
        0, 1, 0xffff, 0xffffffff, UINT64_MAX, 0xff00ff00ff00ff00, 0x8000000080000001, 0x0001ffff0001ffff};
    uint64_t want[LEN], random = 88172645463325252u;
    struct changes changes = {0};

    for (size_t m = 0; m < sizeof(masks) / sizeof(*masks); m++) {
        size_t different = 0;
        changes_begin(&changes, true);
        for (size_t i = 0; i < LEN; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            want[i] = (random & masks[m]) | (0x0010000000100000 & ~masks[m]);
            changes_add(&changes, (uint32_t)(want[i] >> 32), (uint32_t)want[i], 1);
        }
        qsort(want, LEN, sizeof(*want), by_place);
        assert_true(changes_settle(&changes));
        for (size_t i = 0; i < LEN; different++) {
            int64_t equal = 0;
            uint64_t here = want[i];
            for (; i < LEN && want[i] == here; i++)
                equal++;
            assert_true(changes.at[different].place == here);
            assert_true((int64_t)changes.at[different].what == equal);
        }
        assert_int_equal(changes.len, different);
    }
    changes_release(&changes);
}

static void a_star_is_collected_in_both_directions_and_by_rows(void **state)
{
    (void)state;
    struct journal *journal = journal_new();
    struct changes_count counts[TABLES];
    struct changes changes = {0};
    uint32_t others[3] = {10, 20, 30};

    journal_star(journal, TABLE_PAIRS, 15, others, 3, 2);
    journal_put(journal, TABLE_USERS, 99, 0, "x", 1);
    changes_count(journal, counts);
    assert_int_equal(counts[TABLE_PAIRS].len, 6);
    assert_int_equal(counts[TABLE_PAIRS].row_max, 30);
    assert_int_equal(counts[TABLE_USERS].len, 1);
    assert_int_equal(counts[TABLE_USERS].row_max, 99);
    assert_int_equal(counts[TABLE_HISTORY].len, 0);
    changes_begin(&changes, true);
    changes_collect(&changes, journal, TABLE_PAIRS, 11, 20);
    assert_true(changes_settle(&changes));
    assert_int_equal(changes.len, 4); /* (15, 10) (15, 20) (15, 30) (20, 15) */
    assert_true(changes.at[0].place == place(15, 10) && changes.at[3].place == place(20, 15));
    assert_int_equal(changes.at[2].what, 2);
    changes_release(&changes);
    journal_free(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_added_and_zeros_dropped),
        cmocka_unit_test(a_clear_drops_what_came_before_and_keeps_what_comes_after),
        cmocka_unit_test(of_bytes_the_last_operation_counts),
        cmocka_unit_test(a_sum_past_64_bits_is_noticed),
        cmocka_unit_test(the_sort_is_that_of_numbers_whatever_bits_differ),
        cmocka_unit_test(a_star_is_collected_in_both_directions_and_by_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
