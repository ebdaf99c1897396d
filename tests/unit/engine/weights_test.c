/*
 * weights_test.c -- the map against an array, with entries coming and going; and when folding is due.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weights.h"

static void entries_come_and_go(void **state)
{
    (void)state;
    enum { SEGMENTS = 700 };
    uint64_t want[SEGMENTS] = {0}, random = 1;
    struct weights weights = {0};
    size_t len = 0;

    assert_null(weights_find(&weights, TABLE_PAIRS, 0));
    weights_forget(&weights, TABLE_PAIRS, 0);
    for (int step = 0; step < 200000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t segment = (uint32_t)(random >> 40) % SEGMENTS;
        if (random >> 63) {
            len += !want[segment];
            want[segment] = 1 + (random >> 33) % 1000;
            weights_set(&weights, TABLE_DEDUP, segment << 20, want[segment], 5);
        } else {
            len -= want[segment] != 0;
            want[segment] = 0;
            weights_forget(&weights, TABLE_DEDUP, segment << 20);
        }
        assert_int_equal(weights.len, len);
        if (step % 1000)
            continue;
        for (uint32_t i = 0; i < SEGMENTS; i++) {
            struct weight *weight = weights_find(&weights, TABLE_DEDUP, i << 20);
            assert_int_equal(weight ? weight->base : 0, want[i]);
            assert_null(weights_find(&weights, TABLE_USERS, i << 20));
        }
    }
    weights_release(&weights);
}

static void folding_is_due_when_deltas_outweigh_half_the_base_and_four_kilobytes(void **state)
{
    (void)state;
    assert_false(weight_is_due(0, 4096));
    assert_true(weight_is_due(0, 4097));
    assert_true(weight_is_due(8192, 4097));
    assert_false(weight_is_due(100000, 50000));
    assert_true(weight_is_due(100000, 50001));
    assert_false(weight_is_due(WEIGHT_UNFOLDABLE, UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_and_go),
        cmocka_unit_test(folding_is_due_when_deltas_outweigh_half_the_base_and_four_kilobytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
