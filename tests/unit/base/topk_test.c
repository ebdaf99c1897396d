/*
 * topk_test.c -- the k best, best first, as by sorting everything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/topk.h"

/* At equal scores, by a permutation of the ids, so that neither order of ids nor of arrival will do. */
static uint32_t tie(uint32_t id)
{
    return id * 2654435761u;
}

static bool before(void *context, uint32_t a, uint32_t b)
{
    (*(size_t *)context)++;
    return tie(a) < tie(b);
}

static int order(const void *left, const void *right)
{
    const struct fr_ranked *a = left, *b = right;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return tie(a->id) < tie(b->id) ? -1 : tie(a->id) > tie(b->id);
}

static void the_best_come_first_as_by_sorting(void **state)
{
    (void)state;
    static const size_t ks[] = {1, 2, 3, 10, 64, 500};
    struct fr_ranked all[500], room[500];
    size_t calls = 0;

    srand(7);
    for (int round = 0; round < 300; round++) {
        size_t n = (size_t)rand() % 500, k = ks[round % 6];
        int levels = 1 + rand() % (round % 2 ? 5 : 1000); /* many ties, or few */
        struct fr_topk top;
        fr_topk_init(&top, room, k, before, &calls);
        for (size_t i = 0; i < n; i++) {
            all[i] = (struct fr_ranked){rand() % levels / 8.0 - 2.5, (uint32_t)i};
            fr_topk_offer(&top, all[i].id, all[i].score);
        }
        fr_topk_finish(&top);
        qsort(all, n, sizeof(*all), order);
        assert_int_equal(top.len, n < k ? n : k);
        for (size_t i = 0; i < top.len; i++) {
            assert_int_equal(room[i].id, all[i].id);
            assert_true(room[i].score == all[i].score);
        }
    }
}

static void none_are_wanted(void **state)
{
    (void)state;
    struct fr_topk top;

    fr_topk_init(&top, NULL, 0, before, NULL);
    fr_topk_offer(&top, 1, 5.0);
    fr_topk_finish(&top);
    assert_int_equal(top.len, 0);
}

static void infinite_scores_have_their_place(void **state)
{
    (void)state;
    struct fr_ranked room[3];
    struct fr_topk top;
    size_t calls = 0;

    fr_topk_init(&top, room, 3, before, &calls);
    fr_topk_offer(&top, 1, -1.0 / 0.0);
    fr_topk_offer(&top, 2, 1.0 / 0.0);
    fr_topk_offer(&top, 3, 0);
    fr_topk_finish(&top);
    assert_int_equal(room[0].id, 2);
    assert_int_equal(room[1].id, 3);
    assert_int_equal(room[2].id, 1);
}

static void an_offer_that_is_too_low_asks_for_no_tie(void **state)
{
    (void)state;
    struct fr_ranked room[2];
    struct fr_topk top;
    size_t calls = 0;

    fr_topk_init(&top, room, 2, before, &calls);
    fr_topk_offer(&top, 1, 10);
    fr_topk_offer(&top, 2, 11);
    for (uint32_t id = 3; id < 100; id++)
        fr_topk_offer(&top, id, 9.99);
    assert_int_equal(calls, 0);
    fr_topk_offer(&top, 100, 10);
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_come_first_as_by_sorting),
        cmocka_unit_test(none_are_wanted),
        cmocka_unit_test(infinite_scores_have_their_place),
        cmocka_unit_test(an_offer_that_is_too_low_asks_for_no_tie),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
