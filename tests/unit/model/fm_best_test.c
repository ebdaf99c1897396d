/*
 * fm_best_test.c -- the best among many: found by bytes, ranked exactly. How many of the true best are found, with vectors at
 * random, in clusters, and of very different lengths; that what is marked or held by nobody takes no place; and what a small
 * catalogue, or one that becomes large, is answered with.
 *
 * Rows are written straight into the tables, as if learned: what is tested is asking.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fm_parts.h"
#include "sanitized.h"

enum { ITEMS = 20000, ABOVE = 5000, K = 10, QUESTIONS = SANITIZED ? 50 : 200, LONG = 20, CLUSTERS = 50 };

struct shop {
    struct fr_epoch *epoch;
    struct journal *journal;
    struct model *model;
    struct scores scores, exact;
    _Atomic uint32_t *users_of_item, items_held;
    uint32_t item[LONG];
    uint16_t step[LONG];
    uint64_t stamp[LONG];
    double affinity[LONG];
    uint64_t random;
};

static uint32_t draw(struct shop *shop, uint32_t below)
{
    shop->random = shop->random * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(shop->random >> 33) % below;
}

/* Near enough to normal. */
static float normal(struct shop *shop)
{
    float sum = 0;

    for (int k = 0; k < 12; k++)
        sum += (float)draw(shop, 1U << 24) * 0x1p-24F;
    return sum - 6;
}

static struct shop *shop_open(uint32_t d, uint32_t above, uint32_t candidates)
{
    struct shop *shop = fr_zalloc(1, sizeof(*shop));
    struct fm_options options = fm_defaults;

    options.dimensions = d;
    options.int8_above = above;
    options.candidates = candidates;
    shop->random = 1;
    shop->epoch = fr_epoch_new();
    shop->journal = journal_new();
    shop->users_of_item = fr_zalloc(ITEMS, sizeof(*shop->users_of_item));
    const struct model_host host = {shop->epoch, &shop->journal, shop->users_of_item, &shop->items_held, ITEMS, NULL, NULL, NULL, NULL};
    shop->model = fm_ops.open(&options, &host);
    scores_init(&shop->scores);
    scores_init(&shop->exact);
    scores_reset(&shop->scores, ITEMS);
    for (uint32_t item = 0; item < ITEMS; item++)
        shop->users_of_item[item] = 1;
    for (uint32_t k = 0; k < LONG; k++) {
        shop->stamp[k] = stamp_of(1000 + k, 1);
        shop->step[k] = 1;
        shop->affinity[k] = 1;
    }
    return shop;
}

static void shop_free(struct shop *shop)
{
    fm_ops.close(shop->model);
    scores_release(&shop->scores);
    scores_release(&shop->exact);
    journal_free(shop->journal);
    fr_epoch_free(shop->epoch);
    free((void *)shop->users_of_item);
    free(shop);
}

enum kind { RANDOM, CLUSTERED, LOPSIDED };

static void row_write(struct shop *shop, struct embedding *embedding, uint32_t row, const float *centre, float spread, float bias)
{
    float *vector = embedding_vector(embedding, row);

    for (size_t i = 0; i < embedding->d; i++)
        vector[i] = (centre ? centre[i] : 0) + spread * normal(shop);
    *embedding_state(embedding, row) = (struct row_state){1, bias, 1, 1, 1};
    embedding_change(embedding, row);
}

/* Items [from, to), both rows. */
static void stock(struct shop *shop, enum kind kind, uint32_t from, uint32_t to)
{
    static float centre[CLUSTERS][FM_DIMENSIONS_MAX];
    size_t d = shop->model->options.dimensions;

    for (size_t c = 0; c < CLUSTERS && from == 0; c++)
        for (size_t i = 0; i < d; i++)
            centre[c][i] = .5F * normal(shop);
    fm_ops.extend(shop->model, to);
    for (uint32_t item = from; item < to; item++) {
        const float *of = kind == CLUSTERED ? centre[item % CLUSTERS] : NULL;
        float spread = kind == CLUSTERED ? .1F : kind == LOPSIDED ? .01F + .5F * (float)(item % 100 == 0) : .3F;
        row_write(shop, &shop->model->items, item, of, spread, .1F * normal(shop));
        row_write(shop, &shop->model->history, item, of, spread, 0);
        if (kind == LOPSIDED) /* one number of each row says nearly everything */
            embedding_vector(&shop->model->items, item)[3] *= 20;
    }
    fm_ops.publish(shop->model);
    fr_epoch_reclaim(shop->epoch);
}

static struct query question(struct shop *shop, uint32_t items, uint32_t best)
{
    for (uint32_t k = 0; k < LONG; k++)
        shop->item[k] = draw(shop, items);
    return (struct query){.history = {shop->item, shop->step, shop->stamp, shop->affinity, NULL, LONG}, .now = 1, .items = items, .best = best};
}

static int descending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left < right) - (left > right);
}

/* The K-th highest of what may be answered. */
static double exact_kth(struct shop *shop, const struct query *query)
{
    static double sorted[ITEMS];
    struct query all = *query;
    size_t len = 0;

    all.best = 0;
    scores_reset(&shop->exact, query->items);
    fm_ops.retrieve(shop->model, &all, &shop->exact);
    assert_true(shop->exact.dense);
    for (uint32_t item = 0; item < query->items; item++)
        if (!(shop->scores.mark[item] & SCORES_EXCLUDED) && shop->users_of_item[item] && scores_touched(&shop->exact, item))
            sorted[len++] = shop->exact.value[item];
    qsort(sorted, len, sizeof(*sorted), descending);
    return sorted[K - 1];
}

/* Asks, checks what is touched, and returns how many of the true K best are. */
static size_t found_of(struct shop *shop, const struct query *query)
{
    double kth = exact_kth(shop, query);
    size_t found = 0;

    scores_reset(&shop->scores, query->items);
    fm_ops.retrieve(shop->model, query, &shop->scores);
    assert_false(shop->scores.dense);
    for (uint32_t i = 0; i < shop->scores.touched_len; i++) {
        uint32_t item = shop->scores.touched[i];
        assert_true(shop->scores.value[item] == shop->exact.value[item]); /* exact, to the bit */
        assert_false(shop->scores.mark[item] & SCORES_EXCLUDED);
        assert_true(shop->users_of_item[item] > 0);
        found += shop->scores.value[item] >= kth;
    }
    return found > K ? K : found; /* equal ones may be more */
}

static void nearly_all_of_the_best_are_found(void **state)
{
    static const uint32_t dimensions[] = {16, 32, 64};

    (void)state;
    for (enum kind kind = RANDOM; kind <= LOPSIDED; kind++) {
        for (size_t which = 0; which < 3; which++) {
            struct shop *shop = shop_open(dimensions[which], ABOVE, 100);
            size_t found = 0;
            stock(shop, kind, 0, ITEMS);
            for (int q = 0; q < QUESTIONS; q++) {
                struct query query = question(shop, ITEMS, K);
                found += found_of(shop, &query);
                assert_int_equal(shop->scores.touched_len, 100);
            }
            if ((double)found < .995 * QUESTIONS * K)
                fail_msg("kind %d, d = %u: recall %.4f", (int)kind, dimensions[which], (double)found / (QUESTIONS * K));
            shop_free(shop);
        }
    }
}

/* The best are marked, the next ones held by nobody: those behind them are answered with, as many as ever. */
static void what_may_not_be_answered_takes_no_place(void **state)
{
    struct shop *shop = shop_open(32, ABOVE, 100);
    static double sorted[ITEMS];
    size_t found = 0;

    (void)state;
    stock(shop, RANDOM, 0, ITEMS);
    for (int q = 0; q < 20; q++) {
        struct query query = question(shop, ITEMS, K);
        scores_reset(&shop->scores, ITEMS);
        memset(shop->scores.mark, 0, ITEMS);
        for (uint32_t item = 0; item < ITEMS; item++)
            shop->users_of_item[item] = 1;
        exact_kth(shop, &query);
        memcpy(sorted, shop->exact.value, sizeof(sorted));
        qsort(sorted, ITEMS, sizeof(*sorted), descending);
        for (uint32_t item = 0; item < ITEMS; item++) {
            if (shop->exact.value[item] >= sorted[149])
                shop->scores.mark[item] = SCORES_EXCLUDED;
            else if (shop->exact.value[item] >= sorted[299])
                shop->users_of_item[item] = 0;
        }
        found += found_of(shop, &query);
        assert_int_equal(shop->scores.touched_len, 100);
    }
    assert_true(found >= 199);
    shop_free(shop);
}

static void assert_all_are_scored(struct shop *shop, uint32_t items, uint32_t best)
{
    struct query query = question(shop, items, best);

    exact_kth(shop, &query);
    scores_reset(&shop->scores, items);
    fm_ops.retrieve(shop->model, &query, &shop->scores);
    assert_true(shop->scores.dense);
    assert_memory_equal(shop->scores.value, shop->exact.value, items * sizeof(double));
}

static void few_items_or_many_wanted_are_scored_whole(void **state)
{
    struct shop *shop = shop_open(16, ABOVE, 100), *never = shop_open(16, 0, 100);

    (void)state;
    stock(shop, RANDOM, 0, ABOVE);
    assert_all_are_scored(shop, ABOVE, K); /* not above it */
    assert_false(fm_ops.estimates(shop->model, ABOVE, K));
    assert_null(embedding_shown(&shop->model->items)->chunks[0]->codes.code);
    stock(shop, RANDOM, ABOVE, ABOVE + 700); /* chunks that have not changed get their bytes too */
    assert_true(fm_ops.estimates(shop->model, ABOVE + 700, K));
    struct query query = question(shop, ABOVE + 700, K);
    assert_true(found_of(shop, &query) >= K - 1);
    assert_all_are_scored(shop, ABOVE + 700, 0);
    assert_all_are_scored(shop, ABOVE + 700, 1000); /* 2,000 candidates: a good part of all there are */
    assert_all_are_scored(shop, ABOVE, K);          /* as of a moment when there were no more */
    query = question(shop, ABOVE + 300, K);         /* and those that are younger than the question are left out */
    found_of(shop, &query);
    for (uint32_t i = 0; i < shop->scores.touched_len; i++)
        assert_true(shop->scores.touched[i] < ABOVE + 300);
    query = question(shop, ABOVE + 700, 60);
    found_of(shop, &query);
    assert_int_equal(shop->scores.touched_len, 120); /* twice as many as are asked for */
    stock(never, RANDOM, 0, ITEMS);
    assert_all_are_scored(never, ITEMS, K);
    assert_false(fm_ops.estimates(never->model, ITEMS, K));
    shop_free(shop);
    shop_free(never);
}

/* Of which nothing has been learned, or whose numbers are none: no place, no harm. */
static void items_without_a_score_take_no_place(void **state)
{
    struct shop *shop = shop_open(16, ABOVE, 100);

    (void)state;
    stock(shop, RANDOM, 0, ITEMS);
    for (uint32_t item = 0; item < ITEMS; item++) {
        if (item % 200 == 0)
            continue;
        embedding_state(&shop->model->items, item)->count = 0;
        embedding_change(&shop->model->items, item);
    }
    fm_ops.publish(shop->model);
    fr_epoch_reclaim(shop->epoch);
    for (int q = 0; q < 10; q++) {
        struct query query = question(shop, ITEMS, K);
        assert_int_equal(found_of(shop, &query), K); /* all 100 are candidates */
        assert_int_equal(shop->scores.touched_len, ITEMS / 200);
    }
    embedding_vector(&shop->model->items, 400)[2] = NAN; /* its bytes are those of a row of zeros, so it is found: first of all */
    embedding_state(&shop->model->items, 400)->bias = 1000;
    embedding_change(&shop->model->items, 400);
    fm_ops.publish(shop->model);
    struct query query = question(shop, ITEMS, K);
    scores_reset(&shop->scores, ITEMS);
    fm_ops.retrieve(shop->model, &query, &shop->scores);
    assert_int_equal(shop->scores.touched_len, ITEMS / 200 - 1);
    assert_false(scores_touched(&shop->scores, 400));
    shop_free(shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearly_all_of_the_best_are_found),
        cmocka_unit_test(what_may_not_be_answered_takes_no_place),
        cmocka_unit_test(few_items_or_many_wanted_are_scored_whole),
        cmocka_unit_test(items_without_a_score_take_no_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
