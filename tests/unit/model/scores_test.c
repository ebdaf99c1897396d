/* scores_test.c -- the accumulator forgets what it held and nothing else; decay halves. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "freshet/model.h"

static void adding_sums_and_lists_each_item_once(void **state)
{
    struct scores scores;

    (void)state;
    scores_init(&scores);
    scores_reset(&scores, 5);
    scores_add(&scores, 4, 1.5);
    scores_add(&scores, 1, -1);
    scores_add(&scores, 4, 0.25);
    scores_add(&scores, 2, 0); /* evidence that sums to nothing is evidence */
    scores_add(&scores, 5, 9); /* born later */
    assert_int_equal(scores.touched_len, 3);
    assert_int_equal(scores.touched[0], 4);
    assert_int_equal(scores.touched[1], 1);
    assert_int_equal(scores.touched[2], 2);
    assert_true(scores.value[4] == 1.75 && scores.value[1] == -1 && scores.value[2] == 0);
    assert_true(scores_touched(&scores, 4) && scores_touched(&scores, 1) && scores_touched(&scores, 2));
    assert_false(scores_touched(&scores, 0) || scores_touched(&scores, 3));
    scores_release(&scores);
}

/* The value of an untouched item is a negative zero: no evidence may leave one behind. */
static void a_touch_lasts_whatever_sums_to_zero(void **state)
{
    static const double adds[][2] = {{-0.0, -0.0}, {0.0, -0.0}, {-0.0, 0.0}, {1.5, -1.5}, {-1.5, 1.5}, {-0x1p-1074, 0x1p-1074}};
    struct scores scores;

    (void)state;
    scores_init(&scores);
    for (uint32_t i = 0; i < sizeof(adds) / sizeof(*adds); i++) {
        scores_reset(&scores, 2);
        scores_add(&scores, 1, adds[i][0]);
        assert_true(scores_touched(&scores, 1));
        scores_add(&scores, 1, adds[i][1]);
        assert_true(scores_touched(&scores, 1) && scores.value[1] == 0 && !signbit(scores.value[1]));
        assert_int_equal(scores.touched_len, 1);
    }
    scores_reset(&scores, 2);
    assert_false(scores_touched(&scores, 1));
    scores_release(&scores);
}

static void all_items_may_be_touched(void **state)
{
    struct scores scores;

    (void)state;
    scores_init(&scores);
    scores_reset(&scores, 3);
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t item = 0; item < 3; item++)
            scores_add(&scores, item, 1);
    }
    assert_int_equal(scores.touched_len, 3);
    scores_reset(&scores, 0); /* nothing exists */
    scores_add(&scores, 0, 1);
    assert_int_equal(scores.touched_len, 0);
    scores_release(&scores);
}

static void a_reset_clears_touched_items_and_grows(void **state)
{
    struct scores scores;

    (void)state;
    scores_init(&scores);
    for (uint32_t items = 1; items < 3000; items = items * 2 + 1) {
        scores_reset(&scores, items);
        for (uint32_t item = 0; item < items; item++) {
            assert_true(scores.value[item] == 0 && !scores_touched(&scores, item));
            assert_int_equal(scores.mark[item], 0);
        }
        scores_add(&scores, items / 2, 3);
        scores_add(&scores, items - 1, 4);
    }
    scores_reset(&scores, 2); /* fewer are fine */
    scores_reset(&scores, 3000);
    for (uint32_t item = 0; item < 3000; item++)
        assert_true(scores.value[item] == 0 && scores.mark[item] == 0);
    scores_release(&scores);
}

static void an_exclusion_alone_is_not_a_touch(void **state)
{
    struct scores scores;

    (void)state;
    scores_init(&scores);
    scores_reset(&scores, 2);
    scores.mark[1] = SCORES_EXCLUDED;
    assert_false(scores_touched(&scores, 1));
    scores_add(&scores, 1, 1);
    assert_int_equal(scores.touched_len, 1);
    assert_int_equal(scores.mark[1], SCORES_EXCLUDED);
    scores_release(&scores);
}

static void decay_halves_each_half_life_and_never_grows(void **state)
{
    (void)state;
    assert_true(decay_factor(0, 1000) == 1);
    assert_true(decay_factor(1000, 1000) == 0.5);
    assert_true(decay_factor(3000, 1000) == 0.125);
    assert_true(fabs(decay_factor(500, 1000) - 0.70710678118654752) < 1e-16);
    assert_true(decay_factor(-1000, 1000) == 1); /* an event after now */
    assert_true(decay_factor(1000, 0) == 1);     /* no decay */
    assert_true(decay_factor((span_ms)1 << 44, 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adding_sums_and_lists_each_item_once),
        cmocka_unit_test(a_touch_lasts_whatever_sums_to_zero),
        cmocka_unit_test(all_items_may_be_touched),
        cmocka_unit_test(a_reset_clears_touched_items_and_grows),
        cmocka_unit_test(an_exclusion_alone_is_not_a_touch),
        cmocka_unit_test(decay_halves_each_half_life_and_never_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
