/*
 * sieve_test.c -- the highest of very many against a sort; and a model's best, equal ones and marks looked at.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sieve.h"

static uint64_t random_state = 1;

static uint64_t draw(void)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return random_state >> 32;
}

static int descending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left < right) - (left > right);
}

static void the_sieve_keeps_the_highest(void **state)
{
    enum { LEN = 5000 };
    static double scores[LEN], sorted[LEN];
    static bool kept[LEN];
    struct scores scratch;

    (void)state;
    scores_init(&scratch);
    for (int kind = 0; kind < 5; kind++) { /* at random, rising, falling, few different ones, all alike */
        for (size_t most = 1; most < LEN; most = most * 3 + 1) {
            struct sieve sieve = sieve_in(&scratch, most);
            for (size_t k = 0; k < LEN; k++) {
                scores[k] = kind == 0 ? (double)draw() : kind == 1 ? (double)k : kind == 2 ? -(double)k : kind == 3 ? (double)(draw() % 7) : 1;
                sieve_take(&sieve, (uint32_t)k, scores[k]);
            }
            sieve_cut(&sieve);
            memcpy(sorted, scores, sizeof(sorted));
            qsort(sorted, LEN, sizeof(*sorted), descending);
            memset(kept, 0, sizeof(kept));
            assert_int_equal(sieve.len, most);
            assert_true(sieve.floor == sorted[most - 1]);
            for (size_t i = 0; i < most; i++) {
                assert_false(kept[sieve.room[i].id]);
                kept[sieve.room[i].id] = true;
                assert_true(sieve.room[i].score == scores[sieve.room[i].id] && sieve.room[i].score >= sorted[most - 1]);
            }
        }
        struct sieve few = sieve_in(&scratch, LEN);
        sieve_take(&few, 1, 2);
        sieve_cut(&few);
        assert_int_equal(few.len, 1);
        assert_true(few.floor == -INFINITY);
    }
    scores_release(&scratch);
}


/* ---- a model's best ---- */

enum { ITEMS = 3000 };
struct model {
    double value[ITEMS];
};

static void fill(const struct model *model, const struct query *query, uint32_t first, uint32_t len, double *values)
{
    assert_true(first + len <= query->items);
    memcpy(values, model->value + first, len * sizeof(*values));
}

static void a_models_best_are_there_with_all_that_equal_the_last(void **state)
{
    static struct model model;
    static double sorted[ITEMS];
    struct scores scores;

    (void)state;
    scores_init(&scores);
    for (int kind = 0; kind < 4; kind++) { /* how many different values */
        static const uint64_t different[] = {1U << 31, 1000, 5, 1};
        for (uint32_t items = 100; items <= ITEMS; items += 967) {
            struct query query = {.items = items, .best = 9};
            size_t allowed = 0, wanted = 0;
            scores_reset(&scores, items);
            for (uint32_t item = 0; item < items; item++) {
                model.value[item] = (double)(draw() % different[kind]);
                scores.mark[item] = draw() % 3 ? 0 : SCORES_EXCLUDED;
                if (!scores.mark[item])
                    sorted[allowed++] = model.value[item];
            }
            qsort(sorted, allowed, sizeof(*sorted), descending);
            assert_true(sieve_best(&model, &query, fill, &scores));
            assert_false(scores.dense);
            for (uint32_t item = 0; item < items; item++) {
                bool in = !scores.mark[item] && model.value[item] >= sorted[8];
                assert_int_equal(in, scores_touched(&scores, item));
                if (in)
                    assert_true(scores.value[item] == model.value[item]);
                wanted += in;
            }
            assert_int_equal(scores.touched_len, wanted);
            memset(scores.mark, 0, items);
        }
    }
    scores_reset(&scores, ITEMS);
    assert_false(sieve_best(&model, &(struct query){.items = ITEMS, .best = 0}, fill, &scores));
    assert_false(sieve_best(&model, &(struct query){.items = ITEMS, .best = ITEMS / 2}, fill, &scores));
    assert_int_equal(scores.touched_len, 0);
    scores_release(&scores);
}

static void strides_come_by_everything_once(void **state)
{
    static bool been[5000];

    (void)state;
    for (uint32_t len = 1; len < 5000; len = len < 100 ? len + 1 : len * 2 - 7) {
        memset(been, 0, sizeof(been));
        uint32_t stride = sieve_stride(len);
        for (uint32_t i = 0, at = 0; i < len; i++, at = (at + stride) % len) {
            assert_false(been[at]);
            been[at] = true;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sieve_keeps_the_highest),
        cmocka_unit_test(strides_come_by_everything_once),
        cmocka_unit_test(a_models_best_are_there_with_all_that_equal_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
