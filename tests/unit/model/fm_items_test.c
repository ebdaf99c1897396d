/*
 * fm_items_test.c -- what is said of items, in the factorization machine: items without an event, records that change, large
 * catalogues. Gradients and the formula of an answer: fm_gradient_test.c; restarts: fm_bits_test.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fm_driver.h"
#include "sampler.h"

/* Users with even numbers take items with even numbers, which are sweet; the others sour ones. From TAKEN on nobody takes any. */
enum { TAKEN = 100, COLD_SWEET = 200, COLD_SOUR, COLD_STRANGE, COLD_PLAIN, SWEET = 7, SOUR = 8, STRANGE = 9 };

static void say(struct driver *driver, uint32_t item, uint64_t key)
{
    fm_ops.describe(driver->model, item, &key, key != 0);
}

static struct driver *taught(const struct fm_options *options)
{
    struct driver *driver = driver_new(options);

    for (uint32_t item = 0; item < TAKEN; item++)
        say(driver, item, item % 2 ? SOUR : SWEET);
    say(driver, COLD_SWEET, SWEET);
    say(driver, COLD_SOUR, SOUR);
    say(driver, COLD_STRANGE, STRANGE);
    for (uint64_t k = 0; k < 6000; k++) {
        uint32_t user = (uint32_t)(k * 7919 % USERS), item = (uint32_t)(sampler_word(1, k) % (TAKEN / 2)) * 2 + user % 2;
        driver_event(driver, user, item, 1, NULL, 0);
    }
    driver_publish(driver);
    return driver;
}

static double score_of(struct driver *driver, uint32_t user, uint32_t item)
{
    struct query query = driver_query(driver, user);
    double value;

    fm_ops.score(driver->model, &query, &item, 1, &value);
    assert_memory_equal(&value, &driver_ask(driver, &query)[item], sizeof(value)); /* a list says the same */
    return value;
}

static void an_item_without_an_event_is_known_by_its_features(void **state)
{
    (void)state;
    for (int loss = FM_SOFTMAX; loss <= FM_LOGISTIC; loss++) {
        struct fm_options options = fm_small((enum fm_loss)loss);
        struct driver *driver = taught(&options);
        for (uint32_t user = 0; user < USERS; user++) {
            double sweet = score_of(driver, user, COLD_SWEET), sour = score_of(driver, user, COLD_SOUR);
            assert_true(user % 2 ? sour > sweet + 1 : sweet > sour + 1);
            assert_true(scores_untouched(score_of(driver, user, COLD_STRANGE))); /* a feature of which nothing is known */
            assert_true(scores_untouched(score_of(driver, user, COLD_PLAIN)));
        }
        driver_free(driver);
    }
}

static void without_the_option_nothing_is_known_by_features(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);

    (void)state;
    options.item_features = false;
    struct driver *driver = taught(&options);
    assert_true(scores_untouched(score_of(driver, 0, COLD_SWEET)));
    assert_int_equal(fm_stats_of(driver).features, 1); /* the newcomer's */
    driver_free(driver);
}

/* What is shown follows, though no event comes. */
static void a_new_record_moves_the_item(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct driver *driver = taught(&options);
    double of_sweet = score_of(driver, 0, COLD_SWEET), of_sour = score_of(driver, 0, COLD_SOUR), taken = score_of(driver, 0, 0);

    (void)state;
    say(driver, COLD_SWEET, SOUR);
    say(driver, COLD_PLAIN, SWEET);
    say(driver, COLD_SOUR, 0);
    say(driver, 0, SOUR);
    assert_true(score_of(driver, 0, COLD_SWEET) == of_sweet); /* not shown yet */
    driver_publish(driver);
    assert_true(score_of(driver, 0, COLD_SWEET) == of_sour);
    assert_true(score_of(driver, 0, COLD_PLAIN) == of_sweet);
    assert_true(scores_untouched(score_of(driver, 0, COLD_SOUR)));
    assert_true(fabs(taken - score_of(driver, 0, 0) - (of_sweet - of_sour)) < 1e-4); /* the rest of it is its own */
    driver_free(driver);
}

/* An item far from all that has changed is shown anew, since the row went to another's key. */
static void a_feature_that_lost_its_row_is_in_no_sum(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    const uint32_t far = SHOWN_ROWS + 10;

    (void)state;
    options.features_max = 2; /* the newcomer's, and one more */
    options.features_admit = 1;
    struct driver *driver = driver_new(&options);
    say(driver, 1, SWEET);
    say(driver, far, SWEET);
    driver_event(driver, 0, 1, 1, NULL, 0);
    driver_event(driver, 0, 3, 1, NULL, 0);
    driver_publish(driver);
    assert_false(scores_untouched(score_of(driver, 0, far)));
    for (uint64_t context = 1; context < 100; context++)
        driver_event(driver, 0, 3, 1, &context, 1);
    assert_int_equal(features_find(&driver->model->features, item_feature_key(SWEET)), FEATURE_NONE);
    driver_publish(driver);
    assert_true(scores_untouched(score_of(driver, 0, far)));
    driver_free(driver);
}

static bool is_cold_sweet(const void *catalogue, uint32_t item)
{
    return catalogue && item == COLD_SWEET;
}

/* Found by bytes, and only if there is a record of it, for nobody holds it. */
static void the_best_of_many_may_be_one_without_an_event(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);

    (void)state;
    options.int8_above = 1;
    options.candidates = 10;
    struct driver *driver = taught(&options);
    for (uint32_t item = TAKEN; item < ITEMS; item++)
        atomic_store(&driver->users_of_item[item], 0);
    score_of(driver, 0, 0); /* makes room for marks */
    for (uint32_t item = 0; item < TAKEN; item++) /* so that it is among the best */
        driver->scores.mark[item] |= SCORES_EXCLUDED;
    struct query query = driver_query(driver, 0);
    query.best = 5;
    assert_true(fm_ops.estimates(driver->model, ITEMS, query.best));
    for (int known = 0; known < 2; known++) {
        driver->model->host.said = is_cold_sweet;
        driver->model->host.catalogue = known ? driver : NULL;
        const double *value = driver_ask(driver, &query);
        assert_int_equal(driver->scores.touched_len, known);
        if (known)
            assert_true(value[COLD_SWEET] == score_of(driver, 0, COLD_SWEET));
    }
    driver_free(driver);
}

/* ---- a large catalogue ---- */

enum { MANY = 40000, KINDS = 11 };

static void assert_shown(const struct model *model)
{
    const struct shown *shown = embedding_shown(&model->items);
    size_t d = model->options.dimensions;

    for (uint32_t item = 0; item < MANY; item++) {
        uint32_t row = features_find(&model->features, item_feature_key(1 + item % KINDS));
        bool learned = embedding_state(&model->items, item)->count;
        const float *vector = shown_vector(shown, d, item);
        assert_true(row != FEATURE_NONE);
        for (size_t k = 0; k < d; k++) {
            float own = learned ? embedding_vector(&model->items, item)[k] : 0;
            assert_true(fabsf(vector[k] - own - embedding_vector(&model->features.rows, row)[k]) < 1e-5F);
        }
    }
}

/* A feature's step makes all its items old; they are shown part by part, and in the end all are. */
static void a_large_catalogue_is_shown_in_parts(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct fr_epoch *epoch = fr_epoch_new();
    struct journal *journal = journal_new();
    _Atomic uint32_t *users = fr_zalloc(MANY, sizeof(*users)), held = 0;
    const struct model_host host = {epoch, &journal, users, &held, MANY, NULL, NULL, NULL, NULL};
    uint32_t past[] = {1, 2, 3};
    uint64_t stamps[] = {stamp_of(1, 1), stamp_of(2, 1), stamp_of(3, 1)};
    uint16_t steps[] = {1, 1, 1};
    double ones[] = {1, 1, 1};
    unsigned parts = 0;

    (void)state;
    options.features_admit = 1;
    options.dimensions = 16;
    options.int8_above = 0;
    struct model *model = fm_ops.open(&options, &host);
    fm_ops.extend(model, MANY);
    for (uint32_t item = 0; item < MANY; item++) {
        const uint64_t key = 1 + item % KINDS;
        fm_ops.describe(model, item, &key, 1);
    }
    for (uint32_t k = 0; k < 300; k++) {
        const struct touch touch = {.item = k, .fresh = true, .when = 1000, .weight = 1, .draw = k,
                                    .history = {past, steps, stamps, ones, NULL, 3}};
        fm_ops.learn(model, &touch);
        if (k != 150)
            continue;
        fm_ops.publish(model);
        assert_false(fm_ops.behind(model)); /* the first makes all */
        assert_shown(model);
    }
    do {
        fm_ops.publish(model);
        fr_epoch_reclaim(epoch);
        parts++;
    } while (fm_ops.behind(model) && parts < 100);
    assert_int_equal(parts, (MANY + SHOWN_ROWS - 1) / SHOWN_ROWS / 64 + 1);
    assert_shown(model);
    fm_ops.close(model);
    free(users);
    journal_free(journal);
    fr_epoch_free(epoch);
}

/* Most of what is in the catalogue nobody has had: what is drawn beside a choice is what somebody has. */
static void negatives_are_found_in_an_untouched_catalogue(void **state)
{
    struct fm_options options = fm_small(FM_SOFTMAX);
    struct driver *driver = driver_new(&options);
    uint32_t targets = 0;

    (void)state;
    for (uint32_t k = 0; k < 400; k++) {
        driver_event(driver, k % USERS, k % 2 ? ITEMS - 1 - k % 60 : k % 60, 1, NULL, 0); /* 120 of 300, at both ends */
        targets += k >= 200 ? driver->model->event.targets_len - 1 : 0;
        for (uint32_t t = 1; t < driver->model->event.targets_len; t++)
            assert_int_not_equal(embedding_state(&driver->model->items, driver->model->event.target[t])->count, 0);
    }
    assert_true(targets > 200 * options.negatives * 9 / 10);
    double learned = 0;
    for (uint32_t item = 0; item < ITEMS; item++)
        learned += embedding_state(&driver->model->items, item)->count != 0;
    double stands_for = (double)driver->model->event.each * (driver->model->event.targets_len - 1);
    assert_true(fabs(stands_for - learned) < learned / 2);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_without_an_event_is_known_by_its_features),
        cmocka_unit_test(without_the_option_nothing_is_known_by_features),
        cmocka_unit_test(a_new_record_moves_the_item),
        cmocka_unit_test(a_feature_that_lost_its_row_is_in_no_sum),
        cmocka_unit_test(the_best_of_many_may_be_one_without_an_event),
        cmocka_unit_test(a_large_catalogue_is_shown_in_parts),
        cmocka_unit_test(negatives_are_found_in_an_untouched_catalogue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
