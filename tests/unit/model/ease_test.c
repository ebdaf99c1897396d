/*
 * ease_test.c -- EASE by hand.
 *
 *              apple  bread  cheese
 *       ann      x      x
 *       bob      x      x      x        each x: one event of weight 1, from left to right
 *       cat                    x
 *
 * With lambda 1, A = G + I and its inverse are
 *
 *          3 2 1                 8 -5 -1
 *          2 3 1         1/13 * -5  8 -1         so B:   apple -> bread 5/8, -> cheese 1/5,   cheese -> apple 1/8
 *          1 1 3                -1 -1  5                 bread -> apple 5/8, -> cheese 1/5,   cheese -> bread 1/8
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ease_driver.h"
#include "ease_parts.h"

enum { APPLE = 3, BREAD, CHEESE, DATES, ITEMS };
enum { ANN, BOB, CAT, DAN, USERS };
static const when_ms NOON = 43200000;

static const struct ease_options plain = {.lambda = 1, .recency = 1, .items_max = 100};

static struct driver *town(const struct ease_options *options)
{
    struct driver *driver = driver_new(options, USERS, ITEMS);

    driver_event(driver, ANN, APPLE, NOON, 1);
    driver_event(driver, ANN, BREAD, NOON + 1, 1);
    driver_event(driver, BOB, APPLE, NOON, 1);
    driver_event(driver, BOB, BREAD, NOON + 1, 1);
    driver_event(driver, BOB, CHEESE, NOON + 2, 1);
    driver_event(driver, CAT, CHEESE, NOON, 1);
    return driver;
}

static struct driver *solved_town(const struct ease_options *options)
{
    struct driver *driver = town(options);

    assert_int_equal(driver_refresh(driver, false, NULL), FR_OK);
    return driver;
}

static void near(double have, double want)
{
    if (!(fabs(have - want) < 1e-6))
        fail_msg("is %.9g, want %.9g", have, want);
}

static void scores_are(const struct scores *scores, double apple, double bread, double cheese)
{
    near(scores->value[APPLE], apple);
    near(scores->value[BREAD], bread);
    near(scores->value[CHEESE], cheese);
}

static void the_town_by_hand(void **state)
{
    struct driver *driver = solved_town(&plain);
    struct query ann = driver_query(driver, ANN), cat = driver_query(driver, CAT);

    (void)state;
    scores_are(driver_ask(driver, &ann), 5.0 / 8, 5.0 / 8, 2.0 / 5);
    scores_are(driver_ask(driver, &cat), 1.0 / 8, 1.0 / 8, 0);
    driver_free(driver);
}

static void before_it_is_solved_nothing_is_known(void **state)
{
    struct driver *driver = town(&plain);
    struct query ann = driver_query(driver, ANN);
    struct reason_part part;
    uint32_t item = BREAD;
    double value = 7;

    (void)state;
    assert_int_equal(driver_ask(driver, &ann)->touched_len, 0);
    ease_ops.score(driver->model, &ann, &item, 1, &value);
    assert_true(value == 0);
    assert_int_equal(ease_ops.explain(driver->model, &ann, BREAD, NULL, &part, 1), 0);
    scores_reset(&driver->scores, ITEMS);
    ease_ops.neighbours(driver->model, BREAD, &driver->scores);
    assert_int_equal(driver->scores.touched_len, 0);
    driver_free(driver);
}

static void without_anything_held_there_is_nothing_to_solve(void **state)
{
    struct driver *driver = driver_new(&plain, USERS, ITEMS);

    (void)state;
    assert_null(ease_build_new(driver->model, ITEMS));
    assert_null(ease_build_new(driver->model, 0));
    driver_free(driver);
}

/* Two places: apple and bread, cheese is held by as many but known for less long. A = (3 2; 2 3), B = 2/3. */
static void only_the_most_held_are_in_the_catalogue(void **state)
{
    struct driver *driver = solved_town(&(struct ease_options){.lambda = 1, .recency = 1, .items_max = 2});
    struct query ann = driver_query(driver, ANN), cat = driver_query(driver, CAT);

    (void)state;
    const struct scores *scores = driver_ask(driver, &ann);
    assert_int_equal(scores->touched_len, 2);
    near(scores->value[APPLE], 2.0 / 3);
    assert_false(scores_touched(scores, CHEESE));
    assert_int_equal(driver_ask(driver, &cat)->touched_len, 0);
    driver_event(driver, DAN, CHEESE, NOON, 1); /* three hold it now: apple stays for its age, bread goes */
    assert_int_equal(driver_refresh(driver, false, NULL), FR_OK);
    scores = driver_ask(driver, &ann);
    assert_false(scores_touched(scores, BREAD));
    near(scores->value[CHEESE], 1.0 / 3); /* A = (3 1; 1 4) */
    driver_free(driver);
}

/* 0.5 for each item that came later: bread 1, apple 1/2. What counts is the time of the last event, then the slot. */
static void older_items_count_less(void **state)
{
    struct driver *driver = solved_town(&(struct ease_options){.lambda = 1, .recency = 0.5, .items_max = 100});
    struct query ann = driver_query(driver, ANN);

    (void)state;
    scores_are(driver_ask(driver, &ann), 5.0 / 8, 5.0 / 16, 3.0 / 10);
    driver->people[ANN].stamp[0] = stamp_of(NOON + 5, 2); /* the apple again */
    scores_are(driver_ask(driver, &ann), 5.0 / 16, 5.0 / 8, 3.0 / 10);
    driver->people[ANN].stamp[0] = stamp_of(NOON + 1, 2); /* with the bread: that came later */
    scores_are(driver_ask(driver, &ann), 5.0 / 8, 5.0 / 16, 3.0 / 10);
    driver_free(driver);
}

static void what_is_disliked_speaks_against(void **state)
{
    struct driver *driver = solved_town(&plain);
    struct query ann = driver_query(driver, ANN);

    (void)state;
    driver->people[ANN].affinity[1] = -3; /* the sign alone matters */
    scores_are(driver_ask(driver, &ann), -5.0 / 8, 5.0 / 8, 0);
    driver->people[ANN].affinity[1] = 0;
    scores_are(driver_ask(driver, &ann), 0, 5.0 / 8, 1.0 / 5);
    driver_free(driver);
}

/* Seeds are newer than the history, the last one newest; one of the history counts once, as a seed. */
static void seeds_come_first(void **state)
{
    struct driver *driver = solved_town(&(struct ease_options){.lambda = 1, .recency = 0.5, .items_max = 100});
    struct seed seeds[] = {{CHEESE, 1, NOON}, {BREAD, 2, NOON}, {CHEESE, 3, NOON}};
    struct query query = driver_query(driver, ANN);

    (void)state;
    query.seeds = seeds;
    query.seeds_len = 2; /* bread 2, cheese 1/2, apple 1/4 */
    scores_are(driver_ask(driver, &query), 2 * 5.0 / 8 + 1.0 / 16, 1.0 / 16 + 5.0 / 32, 2.0 / 5 + 1.0 / 20);
    query.seeds_len = 3; /* cheese 4, bread 1, apple 1/4 */
    scores_are(driver_ask(driver, &query), 4.0 / 8 + 5.0 / 8, 4.0 / 8 + 5.0 / 32, 1.0 / 5 + 1.0 / 20);
    driver_free(driver);
}

static void younger_items_are_left_out(void **state)
{
    struct driver *driver = solved_town(&plain);
    struct query query = driver_query(driver, ANN);

    (void)state;
    scores_reset(&driver->scores, CHEESE); /* the asker knows those before it */
    query.items = CHEESE;
    ease_ops.retrieve(driver->model, &query, &driver->scores);
    assert_int_equal(driver->scores.touched_len, 2);
    near(driver->scores.value[APPLE], 5.0 / 8);
    driver_free(driver);
}

static void neighbours_are_those_it_speaks_for(void **state)
{
    struct driver *driver = solved_town(&plain);

    (void)state;
    scores_reset(&driver->scores, ITEMS);
    ease_ops.neighbours(driver->model, CHEESE, &driver->scores);
    assert_int_equal(driver->scores.touched_len, 2);
    scores_are(&driver->scores, 1.0 / 8, 1.0 / 8, -0.0);
    scores_reset(&driver->scores, ITEMS);
    ease_ops.neighbours(driver->model, DATES, &driver->scores); /* nobody's */
    assert_int_equal(driver->scores.touched_len, 0);
    driver_free(driver);
}

/* ---- larger, at random ---- */

static uint64_t random_state = 7;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)((random_state >> 33) % limit);
}

/* Users with 0..40 items of `items`, low ones more often. */
static struct driver *crowd(const struct ease_options *options, uint32_t users, uint32_t items)
{
    struct driver *driver = driver_new(options, users, items);

    for (uint32_t u = 0; u < users; u++) {
        bool *held = fr_zalloc(items, sizeof(*held));
        for (uint32_t k = random_below(41); k > 0; k--) {
            uint32_t item = random_below(random_below(items) + 1);
            if (!held[item])
                driver_event(driver, u, item, NOON + random_below(50), random_below(8) ? 1 : -1);
            held[item] = true;
        }
        free(held);
    }
    return driver;
}

static void retrieve_score_and_explain_agree(void **state)
{
    struct ease_options options = {.lambda = 4, .recency = 0.9, .items_max = 2000}; /* more than a block of sums */
    struct driver *driver = crowd(&options, 3000, 2500);
    double *values = fr_alloc(driver->items * sizeof(*values));
    uint32_t *items = fr_alloc(driver->items * sizeof(*items));

    (void)state;
    assert_int_equal(driver_refresh(driver, false, NULL), FR_OK);
    for (uint32_t i = 0; i < driver->items; i++)
        items[i] = driver->items - 1 - i;
    for (uint32_t user = 0; user < 40; user++) {
        struct query query = driver_query(driver, user);
        const struct scores *scores = driver_ask(driver, &query);
        ease_ops.score(driver->model, &query, items, driver->items, values);
        for (uint32_t i = 0; i < driver->items; i++) {
            struct reason_part parts[64];
            double sum = 0, last = INFINITY;
            assert_true(values[i] == scores->value[items[i]]); /* to the bit; -0.0 is 0 */
            size_t len = i % 50 ? 0 : ease_ops.explain(driver->model, &query, items[i], NULL, parts, 64);
            for (size_t k = 0; k < len; k++) {
                assert_true(fabs(parts[k].contribution) <= last);
                last = fabs(parts[k].contribution);
                sum += parts[k].contribution;
            }
            if (i % 50 == 0)
                assert_true(fabs(sum - values[i]) < 1e-12);
        }
    }
    free(values);
    free(items);
    driver_free(driver);
}

static void of_many_reasons_the_largest_are_given(void **state)
{
    struct ease_options options = {.lambda = 4, .recency = 0.9, .items_max = 300};
    struct driver *driver = crowd(&options, 500, 300);
    struct reason_part all[64], few[3];

    (void)state;
    assert_int_equal(driver_refresh(driver, false, NULL), FR_OK);
    for (uint32_t user = 0; user < 40; user++) {
        struct query query = driver_query(driver, user);
        size_t all_len = ease_ops.explain(driver->model, &query, 5, NULL, all, 64);
        size_t few_len = ease_ops.explain(driver->model, &query, 5, NULL, few, 3);
        assert_int_equal(few_len, all_len < 3 ? all_len : 3);
        for (size_t k = 0; k < few_len; k++) {
            assert_int_equal(few[k].item, all[k].item);
            assert_true(few[k].contribution == all[k].contribution);
        }
    }
    driver_free(driver);
}

static void the_order_of_users_changes_no_bit(void **state)
{
    struct ease_options options = {.lambda = 4, .recency = 1, .items_max = 400};
    struct driver *driver = crowd(&options, 1000, 600);
    size_t bytes = 400 * 400 * sizeof(float);

    (void)state;
    assert_int_equal(driver_refresh(driver, false, NULL), FR_OK);
    const struct solution *one = model_shown(driver->model);
    assert_int_equal(one->items, 400);
    float *weights = memcpy(fr_alloc(bytes), one->weight, bytes);
    assert_int_equal(driver_refresh(driver, true, NULL), FR_OK);
    assert_memory_equal(weights, model_shown(driver->model)->weight, bytes);
    free(weights);
    driver_free(driver);
}

/* ---- publication ---- */

static void what_fails_leaves_the_solution_before(void **state)
{
    struct driver *driver = solved_town(&plain);
    struct query ann = driver_query(driver, ANN);
    struct fr_err err;
    struct ease_shown shown;
    _Atomic bool stop = true;

    (void)state;
    driver->model->options.lambda = 0; /* apple and bread are held by the same */
    assert_int_equal(driver_refresh(driver, false, &err), FR_INVALID);
    driver->model->options.lambda = 1;
    struct ease_build *build = ease_build_new(driver->model, ITEMS);
    assert_int_equal(ease_build_solve(build, &stop, &err), FR_CLOSED);
    ease_build_free(build);
    ease_build_free(ease_build_new(driver->model, ITEMS)); /* given up before it is solved */
    ease_ops.publish(driver->model);
    ease_shown(driver->model, &shown);
    assert_int_equal(shown.solutions, 1);
    scores_are(driver_ask(driver, &ann), 5.0 / 8, 5.0 / 8, 2.0 / 5);
    driver_free(driver);
}

static void it_says_what_it_is_made_of(void **state)
{
    struct driver *driver = town(&plain);
    struct model_stats stats;
    struct ease_shown shown;

    (void)state;
    ease_shown(driver->model, &shown);
    assert_int_equal(shown.solutions, 0);
    assert_int_equal(ease_changes(driver->model), 6);
    assert_int_equal(driver_refresh(driver, false, NULL), FR_OK);
    ease_shown(driver->model, &shown);
    assert_int_equal(shown.solutions, 1);
    assert_int_equal(shown.items, 3);
    assert_int_equal(shown.users, 3); /* not dan */
    assert_int_equal(shown.slots, 6);
    struct touch again = {.user = ANN, .item = APPLE}, left = {.user = ANN, .item = APPLE};
    ease_ops.learn(driver->model, &again); /* G does not count events */
    assert_int_equal(ease_changes(driver->model), 6);
    ease_ops.forget(driver->model, &left);
    assert_int_equal(ease_changes(driver->model), 7);
    ease_ops.stats(driver->model, &stats);
    assert_int_equal(stats.pairs, 6);
    assert_true(stats.bytes >= 9 * sizeof(float));
    driver_free(driver);
}

/* An offer that comes before the last one was published takes its place; an asker keeps what he has begun with. */
static void a_solution_lives_as_long_as_somebody_is_in_it(void **state)
{
    struct driver *driver = solved_town(&plain);
    const struct solution *first = model_shown(driver->model);

    (void)state;
    fr_epoch_enter(driver->reader);
    for (int i = 0; i < 2; i++) {
        struct ease_build *build = ease_build_new(driver->model, ITEMS);
        assert_int_equal(ease_build_solve(build, NULL, NULL), FR_OK);
        ease_build_offer(build);
    }
    ease_ops.publish(driver->model);
    ease_ops.publish(driver->model); /* nothing new */
    assert_ptr_not_equal(model_shown(driver->model), first);
    fr_epoch_reclaim(driver->epoch);
    assert_true(fr_epoch_waiting(driver->epoch) > 0);
    assert_null(atomic_load(&driver->model->spent));
    near((double)first->weight[1], 5.0 / 8); /* ASan would tell */
    fr_epoch_leave(driver->reader);
    fr_epoch_reclaim(driver->epoch);
    assert_ptr_equal(atomic_load(&driver->model->spent), first);
    ease_sweep(driver->model);
    assert_null(atomic_load(&driver->model->spent));
    driver_free(driver);
}

struct asking {
    struct driver *driver;
    _Atomic bool stop;
    _Atomic uint64_t answers;
};

/* Either solution's answer, whole: with lambda 1 or with lambda 3. */
static void *ask_on(void *arg)
{
    struct asking *asking = arg;
    struct driver *driver = asking->driver;
    struct fr_epoch_reader *reader = fr_epoch_join(driver->epoch);
    struct query ann = driver_query(driver, ANN);
    struct scores scores;

    scores_init(&scores);
    while (!atomic_load(&asking->stop)) {
        scores_reset(&scores, ITEMS);
        fr_epoch_enter(reader);
        ease_ops.retrieve(driver->model, &ann, &scores);
        fr_epoch_leave(reader);
        double bread = scores.value[BREAD], cheese = scores.value[CHEESE];
        if (fabs(bread - 5.0 / 8) < 1e-6)
            near(cheese, 2.0 / 5);
        else
            near(bread, 9.0 / 24), near(cheese, 2.0 / 7);
        atomic_fetch_add(&asking->answers, 1);
    }
    scores_release(&scores);
    fr_epoch_part(reader);
    return NULL;
}

/* lambda 3: A = (5 2 1; 2 5 1; 1 1 5), P ~ (24 -9 -3; -9 24 -3; -3 -3 21): B[apple][bread] = 9/24, B[apple][cheese] = 1/7. */
static void askers_see_one_solution_or_the_other(void **state)
{
    struct driver *driver = solved_town(&plain);
    struct asking asking = {.driver = driver};
    pthread_t askers[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        pthread_create(&askers[i], NULL, ask_on, &asking);
    for (int i = 0; i < 300 || atomic_load(&asking.answers) < 1000; i++) {
        driver->model->options.lambda = i % 2 ? 1 : 3;
        assert_int_equal(driver_refresh(driver, false, NULL), FR_OK);
    }
    atomic_store(&asking.stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(askers[i], NULL);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_town_by_hand),
        cmocka_unit_test(before_it_is_solved_nothing_is_known),
        cmocka_unit_test(without_anything_held_there_is_nothing_to_solve),
        cmocka_unit_test(only_the_most_held_are_in_the_catalogue),
        cmocka_unit_test(older_items_count_less),
        cmocka_unit_test(what_is_disliked_speaks_against),
        cmocka_unit_test(seeds_come_first),
        cmocka_unit_test(younger_items_are_left_out),
        cmocka_unit_test(neighbours_are_those_it_speaks_for),
        cmocka_unit_test(retrieve_score_and_explain_agree),
        cmocka_unit_test(of_many_reasons_the_largest_are_given),
        cmocka_unit_test(the_order_of_users_changes_no_bit),
        cmocka_unit_test(what_fails_leaves_the_solution_before),
        cmocka_unit_test(it_says_what_it_is_made_of),
        cmocka_unit_test(a_solution_lives_as_long_as_somebody_is_in_it),
        cmocka_unit_test(askers_see_one_solution_or_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
