/*
 * patience_test.c -- who waits gives up when nothing has moved for too long, and not before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "patience.h"

enum { MOST_MS = 100 };

static const uint64_t up_ns = 5000000000000; /* the machine has been up for more than an hour */

static bool over_at(struct patience *patience, uint64_t ms, uint64_t moved, bool awaited)
{
    return patience_over(patience, moved, awaited, up_ns + ms * 1000000, MOST_MS);
}

static void the_clock_begins_with_the_first_look(void **state)
{
    struct patience patience = {0};

    (void)state;
    assert_false(over_at(&patience, 0, 0, true)); /* an error of Kafka's that waits to be told can be there before any record */
    assert_false(over_at(&patience, MOST_MS, 0, true));
    assert_true(over_at(&patience, MOST_MS + 1, 0, true));
}

static void what_moves_is_waited_for(void **state)
{
    struct patience patience = {0};

    (void)state;
    for (uint64_t n = 0; n < 5; n++)
        assert_false(over_at(&patience, n * 2 * MOST_MS, n, true));
    assert_false(over_at(&patience, 9 * MOST_MS, 4, true));
    assert_true(over_at(&patience, 9 * MOST_MS + 1, 4, true));
    assert_false(over_at(&patience, 9 * MOST_MS + 2, 3, true)); /* what is left of something moves downwards */
}

static void while_nothing_is_awaited_nothing_is_late(void **state)
{
    struct patience patience = {0};

    (void)state;
    for (uint64_t n = 0; n < 5; n++)
        assert_false(over_at(&patience, n * 2 * MOST_MS, 7, false));
    assert_false(over_at(&patience, 9 * MOST_MS, 7, true));
    assert_true(over_at(&patience, 9 * MOST_MS + 1, 7, true));
}

/* Sequence of what is left, and what has moved with each. */
static void the_same_ground_counts_once_more_and_no_third_time(void **state)
{
    static const struct {
        uint64_t left, moved;
    } looks[] = {{9, 0}, {7, 1}, {8, 1}, {8, 1}, {7, 2}, {6, 3}, {8, 3}, {7, 4}, {6, 5}, {8, 5}, {7, 5}, {6, 5}, {9, 5}, {6, 5},
                 {5, 6}, {100, 6}, {5, 7}, {100, 7}, {5, 7}, {0, 8}};
    struct ground ground = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(looks) / sizeof(*looks); i++)
        assert_int_equal(ground_gained(&ground, looks[i].left), looks[i].moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_begins_with_the_first_look),
        cmocka_unit_test(what_moves_is_waited_for),
        cmocka_unit_test(while_nothing_is_awaited_nothing_is_late),
        cmocka_unit_test(the_same_ground_counts_once_more_and_no_third_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
