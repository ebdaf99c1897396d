/*
 * fm_test.c -- the factorization machine as the engine meets it: what is learned and what is not, answers, numbers that are none,
 * askers beside the learner. Gradients: fm_gradient_test.c; items' features: fm_items_test.c; restarts and widths: fm_bits_test.c;
 * who is forgotten: fm_forget_test.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cell_store.h"
#include "fm_driver.h"
#include "learner_checks.h"

/* ---- learning ---- */

/* Users come from ten corners of the catalogue; a random item is of one's own corner one time in ten. */
static void what_is_liked_together_is_ranked_first(void **state)
{
    (void)state;
    for (int loss = FM_SOFTMAX; loss <= FM_LOGISTIC; loss++) {
        struct fm_options options = fm_small((enum fm_loss)loss);
        struct driver *driver = driver_new(&options);
        uint32_t own = 0;
        driver_events(driver, 0, 20000);
        driver_publish(driver);
        for (uint32_t user = 0; user < USERS; user++) {
            struct query query = driver_query(driver, user);
            const double *value = driver_ask(driver, &query);
            uint32_t best = 0;
            for (uint32_t item = 1; item < ITEMS; item++)
                best = value[item] > value[best] ? item : best;
            own += best / (ITEMS / 10) == user % 10;
        }
        assert_true(own > USERS * 8 / 10);
        driver_free(driver);
    }
}

static void ratings_are_predicted_better_than_by_their_mean(void **state)
{
    struct fm_options options = fm_small(FM_SQUARED);
    struct driver *driver = driver_new(&options);
    double squares = 0, of_mean = 0, len = 0;

    (void)state;
    for (uint64_t k = 0; k < 30000; k++) { /* users like one half of the items, those with even numbers more so */
        uint32_t user = (uint32_t)(k * 7919 % USERS), item = (uint32_t)(k * 104729 % 211);
        double rating = 3 + (user % 2 == item % 2 ? 1 : -1) + (item % 4 < 2 ? 0.5 : -0.5);
        if (k >= 25000 && k % 10 == 0) {
            struct query query = driver_query(driver, user);
            double guess;
            driver_publish(driver);
            fm_ops.score(driver->model, &query, &item, 1, &guess);
            squares += (guess - rating) * (guess - rating);
            of_mean += (3 - rating) * (3 - rating);
            len++;
        }
        driver_event(driver, user, item, rating, NULL, 0);
    }
    assert_true(sqrt(squares / len) < 0.9 * sqrt(of_mean / len));
    driver_free(driver);
}

static void context_decides_where_history_does_not(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct driver *driver = driver_new(&options);
    const uint64_t morning = 11, evening = 22;

    (void)state;
    for (uint64_t k = 0; k < 6000; k++)
        driver_event(driver, (uint32_t)(k / 2 % USERS), (uint32_t)(k % 2 ? k * 17 % 50 : 50 + k * 19 % 50), 1,
                     k % 2 ? &morning : &evening, 1);
    driver_publish(driver);
    for (int late = 0; late < 2; late++) {
        struct query query = {.context = late ? &evening : &morning, .context_len = 1, .items = ITEMS};
        const double *value = driver_ask(driver, &query);
        double of_morning = 0, of_evening = 0;
        for (uint32_t item = 0; item < 50; item++) {
            of_morning += value[item];
            of_evening += value[50 + item];
        }
        assert_true(late ? of_evening > of_morning + 50 : of_morning > of_evening + 50);
    }
    assert_int_equal(fm_stats_of(driver).features, 3); /* and the newcomer's */
    assert_int_equal(fm_stats_of(driver).refused, 6);
    const uint64_t noon[] = {33, evening};
    driver_event(driver, 0, 0, 1, noon, 1);
    driver_publish(driver);
    assert_true(fm_ops.knows(driver->model, &morning, 1) && fm_ops.knows(driver->model, noon, 2));
    assert_false(fm_ops.knows(driver->model, noon, 1)); /* it came once, which admits no feature */
    driver_free(driver);
}

/* Two who did the same last, but of whom one always goes on to one item, the other to another. */
static void a_user_with_a_row_is_told_from_another(void **state)
{
    (void)state;
    for (int rows = 0; rows < 2; rows++) {
        struct fm_options options = fm_small(FM_LOGISTIC);
        options.user_rows = rows;
        options.shrink = .001;
        struct driver *driver = driver_new(&options);
        const uint32_t ann = 0, bob = 1;
        double ahead[2];
        for (uint32_t k = 0; k < 4000; k++)
            driver_event(driver, k & 1, k & 2 ? 2 + k / 4 % 20 : k & 1, 1, NULL, 0);
        driver_publish(driver);
        for (uint32_t user = ann; user <= bob; user++) {
            struct query query = driver_query(driver, ann); /* of whoever asks */
            query.user_id = person_id(&user);
            const double *value = driver_ask(driver, &query);
            ahead[user] = value[0] - value[1];
        }
        if (rows)
            assert_true(ahead[ann] > ahead[bob] + 2);
        else
            assert_true(ahead[ann] == ahead[bob]);
        assert_int_equal(fm_stats_of(driver).features, rows ? 2 : 0); /* the newcomer's has had too few uses */
        driver_free(driver);
    }
}

/* Not with the next event, nor only with the first after a start. */
static void features_are_told_with_the_event_that_made_them(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    const uint64_t morning = 11;

    (void)state;
    options.features_admit = 1;
    struct driver *driver = driver_new(&options), *after = driver_new(&options);
    struct cell_store *store = fr_zalloc(1, sizeof(*store));
    driver_event(driver, 0, 7, 1, &morning, 1);
    assert_int_equal(fm_stats_of(driver).features, 2); /* and the newcomer's */
    driver_save(driver);
    cell_store_take(store, driver->journal);
    cell_store_load(store, &fm_ops, after->model);
    fm_ops.publish(after->model);
    assert_int_equal(fm_stats_of(after).features, 2);
    cell_store_free(store);
    driver_free(driver);
    driver_free(after);
}

static void without_features_context_is_not_looked_at(void **state)
{
    struct fm_options options = fm_small(FM_LOGISTIC);
    const uint64_t context = 5;

    (void)state;
    options.features_max = 0;
    struct driver *driver = driver_new(&options);
    driver_events(driver, 0, 1000);
    driver_publish(driver);
    driver_save(driver);
    struct query query = driver_query(driver, 3);
    double without = driver_ask(driver, &query)[9];
    query.context = &context;
    query.context_len = 1;
    assert_true(driver_ask(driver, &query)[9] == without && isfinite(without));
    assert_int_equal(fm_stats_of(driver).features, 0);
    driver_free(driver);
}

/* Clicks: a weight that is not above 0 teaches nothing. Ratings: it is one like any other. */
static void what_is_not_wanted_is_not_learned(void **state)
{
    (void)state;
    for (int loss = FM_SOFTMAX; loss <= FM_SQUARED; loss++) {
        struct fm_options options = fm_small((enum fm_loss)loss);
        struct driver *driver = driver_new(&options);
        driver_events(driver, 0, 500);
        for (uint32_t k = 0; k < 3; k++) {
            const double weights[] = {-1, 0, NAN};
            struct row_state before = *embedding_state(&driver->model->items, 7);
            driver_event(driver, 3, 7, weights[k], NULL, 0);
            bool same = memcmp(&before, embedding_state(&driver->model->items, 7), sizeof(before)) == 0;
            assert_int_equal(same, loss != FM_SQUARED || k == 2);
        }
        assert_int_equal(fm_stats_of(driver).skipped, loss == FM_SQUARED);
        driver_free(driver);
    }
}

/* An event on a known item is learned with the history but for the item, which would tell it away. */
static void a_repeat_is_learned_without_itself(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct driver *driver = driver_new(&options);

    (void)state;
    driver_events(driver, 0, 500);
    for (uint32_t item = 0; item < 5; item++)
        driver_event(driver, 3, item, 1, NULL, 0);
    uint32_t count = embedding_state(&driver->model->items, 2)->count;
    driver_event(driver, 3, 2, 1, NULL, 0);
    assert_int_equal(embedding_state(&driver->model->items, 2)->count, count + 1);
    for (uint32_t k = 0; k < driver->model->event.terms.len; k++)
        assert_int_not_equal(driver->model->event.terms.item[k], 2);
    assert_int_equal(driver->model->event.terms.item[0], 4);
    driver_free(driver);
}

static void assert_terms(const struct history_terms *terms, const uint32_t *want, uint32_t len)
{
    double squares = 0;

    assert_int_equal(terms->len, len);
    assert_memory_equal(terms->item, want, len * sizeof(*want));
    for (uint32_t k = 0; k < len; k++) {
        squares += (double)terms->x[k] * (double)terms->x[k];
        assert_true(k == 0 || fabs((double)terms->x[k] - 0.8 * (double)terms->x[k - 1]) < 1e-6);
    }
    assert_true(!len || fabs(squares - 1) < 1e-6);
}

static void terms_are_the_newest_by_last_event_seeds_first(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    const uint32_t item[] = {10, 11, 12, 13, 14};
    const uint64_t stamp[] = {stamp_of(50, 2), stamp_of(20, 1), stamp_of(20, 1), stamp_of(40, 1), stamp_of(30, 1)};
    const double affinity[] = {1, 1, 1, -1, 0};
    const struct history history = {.item = item, .stamp = stamp, .affinity = affinity, .len = 5};
    const struct seed seeds[] = {{7, 1, 0}, {12, 1, 0}, {8, 1, 0}, {7, 1, 0}};
    const struct seed moods[] = {{7, -1, 0}, {10, -1, 0}, {8, 1, 0}};
    struct history_terms terms;

    (void)state;
    fm_terms_init(&terms, &options, &history, NULL, 0, UINT32_MAX);
    assert_terms(&terms, (const uint32_t[]){10, 14, 12, 11}, 4); /* 13 is disliked */
    fm_terms_init(&terms, &options, &history, NULL, 0, 14);
    assert_terms(&terms, (const uint32_t[]){10, 12, 11}, 3);
    fm_terms_init(&terms, &options, &history, seeds, 4, UINT32_MAX);
    assert_terms(&terms, (const uint32_t[]){7, 8, 12, 10, 14, 11}, 6);
    fm_terms_init(&terms, &options, &history, moods, 3, UINT32_MAX);
    assert_terms(&terms, (const uint32_t[]){8, 10, 14, 12, 11}, 5); /* a disliked seed says nothing, and 10 was liked before */
    options.history = 2;
    fm_terms_init(&terms, &options, &history, NULL, 0, UINT32_MAX);
    assert_terms(&terms, (const uint32_t[]){10, 14}, 2);
    fm_terms_init(&terms, &options, &history, seeds, 4, UINT32_MAX);
    assert_terms(&terms, (const uint32_t[]){7, 8}, 2);
    fm_terms_init(&terms, &options, &(struct history){0}, NULL, 0, UINT32_MAX);
    assert_terms(&terms, NULL, 0);
}

/* Room for two features: the third of an event takes the row of one of the first two, which then is nobody's of this event. */
static void a_feature_that_lost_its_row_takes_no_part(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    const uint64_t keys[] = {101, 102, 103};
    struct driver *driver;

    (void)state;
    options.features_max = 2;
    options.features_admit = 1;
    driver = driver_new(&options);
    for (uint32_t k = 0; k < 200; k++) {
        driver_event(driver, k % USERS, k % 50, 1, keys, 3);
        const struct fm_event *event = &driver->model->event;
        for (uint32_t a = 0; a < event->features_len; a++)
            for (uint32_t b = 0; b < a; b++)
                assert_int_not_equal(event->feature[a], event->feature[b]);
        assert_int_equal(event->features_len, 2);
    }
    driver_free(driver);
}

/* ---- answers ---- */

/* Features are let go by whole seconds: less than one is one, not for ever, and what is beyond 136 years is as good as that. */
static void a_features_time_is_rounded_up(void **state)
{
    static const struct {
        span_ms ttl;
        uint32_t seconds;
    } of[] = {{0, 0}, {1, 1}, {999, 1}, {1000, 1}, {1001, 2}, {4294967294000, 4294967294}, {4294967294001, UINT32_MAX},
              {4294967296000, UINT32_MAX}, {31536000000000, UINT32_MAX}};

    (void)state;
    for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
        struct fm_options options = fm_small(FM_SOFTMAX);
        options.features_ttl = of[i].ttl;
        struct driver *driver = driver_new(&options);
        assert_int_equal(driver->model->features.options.ttl, of[i].seconds);
        driver_free(driver);
    }
}

static void items_never_learned_have_no_score(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct driver *driver = driver_new(&options);
    const uint32_t items[] = {5, 299, 1000000};
    double values[3];

    (void)state;
    struct query query = driver_query(driver, 1);
    for (uint32_t item = 0; item < ITEMS; item++) /* nothing is shown yet */
        assert_true(scores_untouched(driver_ask(driver, &query)[item]));
    for (uint32_t k = 0; k < 300; k++)
        driver_event(driver, k % USERS, k * 7 % 100, 1, NULL, 0);
    assert_true(scores_untouched(driver_ask(driver, &query)[5]));
    driver_publish(driver);
    query = driver_query(driver, 1);
    const double *value = driver_ask(driver, &query);
    assert_true(driver->scores.dense);
    for (uint32_t item = 0; item < ITEMS; item++) {
        assert_true(isfinite(value[item]));
        assert_int_equal(scores_untouched(value[item]), item >= 100);
    }
    fm_ops.score(driver->model, &query, items, 3, values);
    assert_true(values[0] == value[5] && values[1] == 0 && values[2] == 0);
    driver_free(driver);
}

static void reasons_add_up_to_the_score(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct driver *driver = driver_new(&options);
    const struct seed seeds[] = {{70, 1, 0}, {80, 1, 0}};
    struct reason_part parts[FM_HISTORY_MAX];
    double sum = 0;

    (void)state;
    driver_events(driver, 0, 5000);
    driver_publish(driver);
    struct query query = driver_query(driver, 2);
    query.seeds = seeds;
    query.seeds_len = 2;
    size_t len = fm_ops.explain(driver->model, &query, 65, &driver->scores, parts, FM_HISTORY_MAX);
    assert_int_equal(len, 20);
    for (size_t k = 0; k < len; k++) {
        sum += parts[k].contribution;
        assert_true(k == 0 || fabs(parts[k].contribution) <= fabs(parts[k - 1].contribution));
    }
    double score = driver_ask(driver, &query)[65];
    assert_true(fabs(sum + (double)embedding_state(&driver->model->items, 65)->bias - score) < 1e-4);
    struct reason_part few[3];
    assert_int_equal(fm_ops.explain(driver->model, &query, 65, &driver->scores, few, 3), 3);
    for (size_t k = 0; k < 3; k++)
        assert_true(few[k].item == parts[k].item && few[k].contribution == parts[k].contribution);
    assert_int_equal(fm_ops.explain(driver->model, &query, 65, &driver->scores, few, 0), 0);
    driver_free(driver);
}

static void neighbours_are_cosines_above_0(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct driver *driver = driver_new(&options);
    uint32_t own = 0, best = 0;

    (void)state;
    driver_events(driver, 0, 20000);
    driver_publish(driver);
    for (uint32_t item = 0; item < ITEMS; item += 10) {
        scores_reset(&driver->scores, ITEMS);
        fm_ops.neighbours(driver->model, item, &driver->scores);
        const double *value = driver->scores.value;
        assert_false(scores_touched(&driver->scores, item));
        best = item ? 0 : 1;
        for (uint32_t k = 0; k < driver->scores.touched_len; k++) {
            uint32_t other = driver->scores.touched[k];
            assert_true(value[other] > 0 && value[other] <= 1.00001);
            best = value[other] > value[best] ? other : best;
        }
        own += best / (ITEMS / 10) == item / (ITEMS / 10);
    }
    assert_true(own > ITEMS / 10 * 8 / 10);
    driver_free(driver);
}

/* ---- what must not happen ---- */

static void numbers_that_are_none_are_counted_and_go_no_further(void **state)
{
    (void)state;
    for (int loss = FM_SOFTMAX; loss <= FM_SQUARED; loss++) {
        struct fm_options options = fm_small((enum fm_loss)loss);
        struct driver *driver = driver_new(&options);
        uint64_t skipped = 0;
        driver_events(driver, 0, 1000);
        embedding_vector(&driver->model->items, 17)[3] = NAN;
        embedding_vector(&driver->model->history, 40)[0] = INFINITY;
        if (loss == FM_SQUARED)
            driver_event(driver, 1, 9, INFINITY, NULL, 0);
        driver_events(driver, 1000, 3000);
        skipped = fm_stats_of(driver).skipped;
        assert_true(skipped > 10);
        for (uint32_t item = 0; item < ITEMS; item++) {
            for (uint32_t k = 0; k < 32; k++) {
                assert_true(item == 17 || isfinite(embedding_vector(&driver->model->items, item)[k]));
                assert_true(item == 40 || isfinite(embedding_vector(&driver->model->history, item)[k]));
            }
            assert_true(isfinite(embedding_state(&driver->model->items, item)->bias));
        }
        assert_true(isfinite(fm_constant(driver->model)));
        driver_free(driver);
    }
}

static void items_whose_numbers_are_none_have_no_score(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct driver *driver = driver_new(&options);
    const uint32_t items[] = {17, 18, 19, 20};
    double values[4];

    (void)state;
    driver_events(driver, 0, 3000);
    embedding_vector(&driver->model->items, 17)[3] = NAN;
    embedding_vector(&driver->model->items, 18)[0] = INFINITY;
    embedding_state(&driver->model->items, 19)->bias = INFINITY;
    for (uint32_t item = 17; item < 20; item++)
        embedding_change(&driver->model->items, item);
    driver_publish(driver);
    struct query query = driver_query(driver, 1);
    const double *value = driver_ask(driver, &query);
    for (uint32_t item = 0; item < ITEMS; item++)
        assert_int_equal(scores_untouched(value[item]), item >= 17 && item < 20);
    fm_ops.score(driver->model, &query, items, 4, values);
    for (int k = 0; k < 4; k++)
        assert_memory_equal(&values[k], &value[items[k]], sizeof(double));
    driver_free(driver);
}

static void rows_that_run_away_are_cut_back(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);

    (void)state;
    options.eta = 50;
    struct driver *driver = driver_new(&options);
    driver_events(driver, 0, 3000);
    assert_true(fm_stats_of(driver).guarded > 0);
    for (uint32_t item = 0; item < ITEMS; item++) {
        assert_true(driver->model->kernels->norm(embedding_vector(&driver->model->items, item), 32) <= 100.01F);
        assert_true(driver->model->kernels->norm(embedding_vector(&driver->model->history, item), 32) <= 100.01F);
    }
    driver_free(driver);
}

static uint32_t ask_all(const struct driver *driver, struct scores *scores)
{
    const struct seed seeds[] = {{3, 1, 0}, {70, 1, 0}, {8, 1, 0}};
    const uint64_t context[] = {5, 101, 1234};
    const uint32_t items[] = {1, 2, 299};
    const struct query query = {.seeds = seeds, .seeds_len = 3, .context = context, .context_len = 3, .items = ITEMS};
    struct reason_part parts[5];
    struct model_stats stats;
    double values[3];

    scores_reset(scores, ITEMS);
    fm_ops.retrieve(driver->model, &query, scores);
    uint32_t wrong = numbers_not_finite(scores);
    fm_ops.score(driver->model, &query, items, 3, values);
    fm_ops.explain(driver->model, &query, 2, scores, parts, 5);
    fm_ops.stats(driver->model, &stats);
    return wrong;
}

static void askers_beside_the_learner(void **state)
{
    struct fm_options options = fm_small(FM_LOGISTIC);

    (void)state;
    options.second_order = true;
    options.features_max = 100;
    options.features_admit = 1;
    assert_asked_beside_the_learner(driver_new(&options), ask_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_liked_together_is_ranked_first),
        cmocka_unit_test(ratings_are_predicted_better_than_by_their_mean),
        cmocka_unit_test(context_decides_where_history_does_not),
        cmocka_unit_test(a_user_with_a_row_is_told_from_another),
        cmocka_unit_test(features_are_told_with_the_event_that_made_them),
        cmocka_unit_test(without_features_context_is_not_looked_at),
        cmocka_unit_test(what_is_not_wanted_is_not_learned),
        cmocka_unit_test(a_repeat_is_learned_without_itself),
        cmocka_unit_test(terms_are_the_newest_by_last_event_seeds_first),
        cmocka_unit_test(a_feature_that_lost_its_row_takes_no_part),
        cmocka_unit_test(a_features_time_is_rounded_up),
        cmocka_unit_test(items_never_learned_have_no_score),
        cmocka_unit_test(reasons_add_up_to_the_score),
        cmocka_unit_test(neighbours_are_cosines_above_0),
        cmocka_unit_test(numbers_that_are_none_are_counted_and_go_no_further),
        cmocka_unit_test(items_whose_numbers_are_none_have_no_score),
        cmocka_unit_test(rows_that_run_away_are_cut_back),
        cmocka_unit_test(askers_beside_the_learner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
