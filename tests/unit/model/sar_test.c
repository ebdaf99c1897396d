/*
 * sar_test.c -- SAR by hand.
 *
 * Every number below follows from the formula in sar.h and this little town.
 *
 *              apple  bread  cheese
 *       ann      x      x
 *       bob      x      x      x        each x: one event of weight 1, at noon, from left to right
 *       cat                    x
 *
 * Two people hold each item, three items are held. apple and bread share ann and bob: jaccard 2 / (2 + 2 - 2) = 1.
 * apple and cheese share bob: 1 / (2 + 2 - 1) = 1/3; bread and cheese too.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sar_driver.h"

enum { APPLE = 3, BREAD, CHEESE, DATES };
enum { ANN = 1, BOB, CAT, DAN };
static const when_ms NOON = 43200000 + 10 * (when_ms)86400000; /* of the eleventh day */
static const span_ms DAY = 86400000;

static const struct sar_options parity = {.parity = true, .similarity = SAR_JACCARD, .threshold = 1, .recency = 1};
static const struct sar_options product = {.similarity = SAR_JACCARD, .threshold = 1, .recency = 1};

static struct driver *town(struct sar_options options)
{
    struct driver *driver = driver_new(&options, 0);

    driver_event(driver, ANN, APPLE, NOON, 1);
    driver_event(driver, ANN, BREAD, NOON, 1);
    driver_event(driver, BOB, APPLE, NOON, 1);
    driver_event(driver, BOB, BREAD, NOON, 1);
    driver_event(driver, BOB, CHEESE, NOON, 1);
    driver_event(driver, CAT, CHEESE, NOON, 1);
    return driver;
}

static struct sar_options with_half_life(struct sar_options options, span_ms half_life)
{
    options.half_life = half_life;
    return options;
}

static void near(double have, double want)
{
    if (fabs(have - want) > 1e-12)
        fail_msg("is %.17g, want %.17g", have, want);
}

static void scores_are(const struct scores *scores, double apple, double bread, double cheese)
{
    near(scores->value[APPLE], apple);
    near(scores->value[BREAD], bread);
    near(scores->value[CHEESE], cheese);
}

static bool touched(const struct scores *scores, uint32_t item)
{
    return scores_touched(scores, item);
}

/* ---- parity ----------------------------------------------------------------------------------------------- */

static void parity_adds_up_likeness_and_an_item_is_like_itself(void **state)
{
    struct driver *driver = town(parity);

    (void)state;
    scores_are(driver_ask(driver, ANN, NULL, 0, false), 2, 2, 2.0 / 3);
    scores_are(driver_ask(driver, BOB, NULL, 0, false), 7.0 / 3, 7.0 / 3, 5.0 / 3);
    scores_are(driver_ask(driver, CAT, NULL, 0, false), 1.0 / 3, 1.0 / 3, 1);
    scores_are(driver_ask(driver, DAN, NULL, 0, false), 0, 0, 0);
    assert_int_equal(driver->scores.touched_len, 0); /* nobody knows dan */
    driver_free(driver);
}

/* cat holds cheese only, so cheese's score is its likeness to itself: c = n = 2, of 3 items. */
static void each_similarity_has_its_diagonal(void **state)
{
    const struct {
        enum sar_similarity kind;
        double itself;
    } diagonals[] = {{SAR_COOCCURRENCE, 2},
                     {SAR_JACCARD, 1},
                     {SAR_COSINE, 1},
                     {SAR_INCLUSION, 1},
                     {SAR_LIFT, 0.5},
                     {SAR_MUTUAL_INFORMATION, 0.58496250072115618}, /* log2(3 * 2 / 4) = log2 3 - 1 */
                     {SAR_LEXICOGRAPHERS_MI, 2 * 0.58496250072115618}};

    (void)state;
    for (unsigned k = 0; k < sizeof(diagonals) / sizeof(*diagonals); k++) {
        struct sar_options options = parity;
        options.similarity = diagonals[k].kind;
        struct driver *driver = town(options);
        near(driver_ask(driver, CAT, NULL, 0, false)->value[CHEESE], diagonals[k].itself);
        driver_free(driver);
    }
}

static void a_repeated_pair_adds_affinity_but_no_second_vote(void **state)
{
    struct driver *driver = town(parity);

    (void)state;
    driver_event(driver, ANN, APPLE, NOON, 2);
    scores_are(driver_ask(driver, ANN, NULL, 0, false), 3 + 1, 3 + 1, 3.0 / 3 + 1.0 / 3);
    scores_are(driver_ask(driver, CAT, NULL, 0, false), 1.0 / 3, 1.0 / 3, 1);
    driver_free(driver);
}

static void a_score_halves_every_half_life(void **state)
{
    struct driver *driver = town(with_half_life(parity, DAY));

    (void)state;
    driver_event(driver, DAN, DATES, NOON + 2 * DAY, 1); /* time goes on with anybody's event */
    near(driver_ask(driver, ANN, NULL, 0, false)->value[CHEESE], 2.0 / 3 / 4);
    driver_event(driver, ANN, APPLE, NOON + DAY, 1); /* late: counts as if it had come in time */
    near(driver_ask(driver, ANN, NULL, 0, false)->value[CHEESE], (1.0 / 4 + 1.0 / 2) / 3 + 1.0 / 4 / 3);
    driver_free(driver);
}

/* 2^-3000 is 0 to a double. Somebody's clock may be wrong by centuries, and the log still be right about the others. */
static void the_order_of_a_list_outlives_any_age(void **state)
{
    const struct sar_options settings[] = {with_half_life(parity, DAY), with_half_life(product, DAY)};
    const struct seed seeds[] = {{BREAD, 3, NOON - 2 * DAY}, {CHEESE, 1, NOON - DAY}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct driver *driver = town(settings[i]);
        driver_event(driver, BOB, APPLE, NOON + DAY, 1); /* his newest event is not on the item that came last */
        driver_event(driver, DAN, DATES, NOON + 300 * DAY, 1);
        double ann = driver_ask(driver, ANN, NULL, 0, false)->value[CHEESE], bob = driver_ask(driver, BOB, NULL, 0, false)->value[BREAD];
        double seeded = driver_ask(driver, CAT, seeds, 2, false)->value[APPLE], nobody = driver_ask(driver, 9, seeds, 2, false)->value[APPLE];
        assert_true(ann > 0 && bob > 0 && seeded > 0 && nobody > 0);
        driver_event(driver, DAN, DATES, NOON + 3000 * DAY, 1); /* of 400 days after the newest event or seed each */
        assert_true(driver_ask(driver, ANN, NULL, 0, false)->value[CHEESE] == ldexp(ann, -100));
        assert_true(driver_ask(driver, BOB, NULL, 0, false)->value[BREAD] == ldexp(bob, -101));
        assert_true(driver_ask(driver, CAT, seeds, 2, false)->value[APPLE] == ldexp(seeded, -100));
        assert_true(driver_ask(driver, 9, seeds, 2, false)->value[APPLE] == ldexp(nobody, -99));
        driver_free(driver);
    }
}

static void counts_below_the_threshold_do_not_count(void **state)
{
    struct sar_options options = parity;

    (void)state;
    options.threshold = 2; /* apple and bread share two people, cheese one with each */
    struct driver *driver = town(options);
    scores_are(driver_ask(driver, ANN, NULL, 0, false), 2, 2, 0);
    assert_false(touched(&driver->scores, CHEESE));
    near(driver_ask(driver, CAT, NULL, 0, false)->value[CHEESE], 1); /* n = 2 is enough for itself */
    driver_event(driver, DAN, DATES, NOON, 1);
    assert_int_equal(driver_ask(driver, DAN, NULL, 0, false)->touched_len, 0); /* n = 1 is not */
    driver_free(driver);
}

static void unit_affinities_count_each_event_once(void **state)
{
    struct driver *driver = town(with_half_life(parity, DAY));
    const struct seed seed = {CHEESE, 17, NOON};

    (void)state;
    driver_event(driver, ANN, APPLE, NOON + DAY, 40);
    /* apple: 1 a day ago and 1 now = 1.5; bread 0.5 */
    scores_are(driver_ask(driver, ANN, NULL, 0, true), 2, 2, 2.0 / 3);
    scores_are(driver_ask(driver, DAN, &seed, 1, true), 0.5 / 3, 0.5 / 3, 0.5); /* the seed is a day old */
    driver_free(driver);
}

static void parity_adds_seeds_to_the_affinities(void **state)
{
    struct driver *driver = town(with_half_life(parity, DAY));
    const struct seed seeds[] = {{CHEESE, 2, NOON}, {APPLE, 1, NOON}, {CHEESE, 1, NOON - DAY}};

    (void)state;
    /* cheese 2 + 1/2, apple 1 */
    scores_are(driver_ask(driver, DAN, seeds, 3, false), 1 + 2.5 / 3, 1 + 2.5 / 3, 2.5 + 1.0 / 3);
    /* ann: apple 2, bread 1, cheese 2.5 */
    scores_are(driver_ask(driver, ANN, seeds, 3, false), 3 + 2.5 / 3, 3 + 2.5 / 3, 2.5 + 1);
    driver_free(driver);
}

static void disliking_something_speaks_against_what_is_like_it(void **state)
{
    struct driver *driver = town(parity);

    (void)state;
    driver_event(driver, DAN, CHEESE, NOON, -2); /* now n(cheese) = 3: 1 / (2 + 3 - 1) */
    scores_are(driver_ask(driver, DAN, NULL, 0, false), -0.5, -0.5, -2);
    driver_free(driver);
}

/* ---- product ---------------------------------------------------------------------------------------------- */

static void product_leaves_an_item_out_of_its_own_score(void **state)
{
    struct driver *driver = town(product);

    (void)state;
    scores_are(driver_ask(driver, ANN, NULL, 0, false), 1, 1, 2.0 / 3);
    scores_are(driver_ask(driver, CAT, NULL, 0, false), 1.0 / 3, 1.0 / 3, 0);
    assert_false(touched(&driver->scores, CHEESE));
    driver_free(driver);
}

static void shrunk_cosine_trusts_few_people_little(void **state)
{
    struct sar_options options = product;

    (void)state;
    options.similarity = SAR_SHRUNK_COSINE;
    struct driver *driver = town(options);
    /* 1 / sqrt(2 * 2 + 400), 2 / sqrt(404) */
    scores_are(driver_ask(driver, ANN, NULL, 0, false), 2 / sqrt(404), 2 / sqrt(404), 2 / sqrt(404));
    driver_free(driver);
}

static void a_window_counts_only_neighbours_in_the_history(void **state)
{
    struct sar_options options = product;

    (void)state;
    options.window = 1;
    struct driver *driver = town(options);
    /* bob's apple and cheese are two places apart */
    scores_are(driver_ask(driver, CAT, NULL, 0, false), 0, 1.0 / 3, 0);
    assert_false(touched(&driver->scores, APPLE));
    driver_event(driver, CAT, CHEESE, NOON + 1, 1); /* a repeat makes no pairs */
    driver_event(driver, CAT, APPLE, NOON + 2, 1);
    /* n(apple) = 3: apple and cheese share cat, 1 / (3 + 2 - 1) */
    near(driver_ask(driver, CAT, NULL, 0, false)->value[CHEESE], 1.0 / 4);
    driver_free(driver);
}

static void forgetting_the_item_between_does_not_bring_its_neighbours_together(void **state)
{
    struct sar_options options = product;

    (void)state;
    options.window = 1;
    struct driver *driver = town(options);
    driver_forget_event(driver, BOB, BREAD, NOON, 1);
    driver_forget_event(driver, BOB, CHEESE, NOON, 1);
    driver_event(driver, BOB, CHEESE, NOON, 1); /* place 3; apple is at 0 */
    assert_int_equal(driver_ask(driver, CAT, NULL, 0, false)->touched_len, 0);
    driver_free(driver);
}

static void the_widest_window_ends_where_steps_end(void **state)
{
    struct sar_options options = product;
    struct driver *driver;

    (void)state;
    options.window = HISTORY_WINDOW_MAX;
    driver = driver_new(&options, 0);
    for (uint32_t user = 0; user < 3; user++) { /* a window, one more, and further than any step from apple to bread */
        static const uint32_t ways[] = {HISTORY_WINDOW_MAX, HISTORY_WINDOW_MAX + 1, 1000000};
        driver_event(driver, user, APPLE, NOON, 1);
        driver->people[user].next_sequence = ways[user];
        driver_event(driver, user, BREAD, NOON, 1);
        driver_event(driver, user, CHEESE, NOON, 1);
    }
    assert_int_equal(rows_get(driver->model->rows, APPLE, BREAD), 1);
    assert_int_equal(rows_get(driver->model->rows, APPLE, CHEESE), 0);
    assert_int_equal(rows_get(driver->model->rows, BREAD, CHEESE), 3);
    driver_forget_event(driver, 2, BREAD, NOON, 1); /* far from one side, next to the other */
    assert_int_equal(rows_get(driver->model->rows, APPLE, BREAD), 1);
    assert_int_equal(rows_get(driver->model->rows, BREAD, CHEESE), 2);
    driver_forget_event(driver, 0, BREAD, NOON, 1);
    assert_int_equal(rows_get(driver->model->rows, APPLE, BREAD), 0);
    assert_int_equal(rows_get(driver->model->rows, BREAD, CHEESE), 1);
    driver_free(driver);
}

static void recency_discounts_by_age_and_age_is_by_last_event(void **state)
{
    struct sar_options options = product;

    (void)state;
    options.recency = 0.5;
    struct driver *driver = town(options);
    driver_event(driver, BOB, DATES, NOON, 1); /* dates: 1 / (2 + 1 - 1) like apple, bread, cheese */
    /* ann: all at noon, so bread, entered last, is age 0 and apple age 1 */
    scores_are(driver_ask(driver, ANN, NULL, 0, false), 1, 0.5, 1.5 / 3);
    near(driver->scores.value[DATES], 1.5 / 2);
    driver_event(driver, ANN, APPLE, NOON + 1, 1); /* apple: affinity 2, age 0; bread: age 1 */
    scores_are(driver_ask(driver, ANN, NULL, 0, false), 0.5, 2, 2.5 / 3);
    driver_free(driver);
}

static void only_the_newest_items_score(void **state)
{
    struct sar_options options = product;

    (void)state;
    options.score_last = 1;
    struct driver *driver = town(options);
    scores_are(driver_ask(driver, ANN, NULL, 0, false), 1, 0, 1.0 / 3); /* bread */
    driver_event(driver, ANN, APPLE, NOON + 1, 1);
    scores_are(driver_ask(driver, ANN, NULL, 0, false), 0, 2, 2.0 / 3); /* apple, twice */
    driver_free(driver);
}

static void seeds_are_newer_than_the_history_and_the_last_is_newest(void **state)
{
    const struct seed seeds[] = {{BREAD, 4, NOON}, {CHEESE, 1, NOON}, {BREAD, 1, NOON}};
    struct sar_options options = product;

    (void)state;
    options.recency = 0.5;
    options.score_last = 2;
    struct driver *driver = town(options);
    /* bread 4 + 1 + ann's 1, age 0; cheese 1, age 1; apple does not count any more */
    scores_are(driver_ask(driver, ANN, seeds, 3, false), 6 + 0.5 / 3, 0.5 / 3, 6.0 / 3);
    /* cheese alone: age 0; then bread, the newest of ann's, age 1 */
    scores_are(driver_ask(driver, ANN, &seeds[1], 1, false), 1.0 / 3 + 0.5, 1.0 / 3, 0.5 / 3);
    /* an older duplicate of a seed that counts still adds its weight; an older other seed does not */
    driver->options.score_last = driver->model->options.score_last = 1;
    scores_are(driver_ask(driver, DAN, seeds, 3, false), 5, 0, 5.0 / 3);
    driver_free(driver);
}

static void old_items_leave_and_take_their_counts_along(void **state)
{
    struct sar_options options = product;

    (void)state;
    struct driver *driver = town(options);
    driver->history_max = 3;
    driver_event(driver, BOB, DATES, NOON - DAY, 1); /* the newcomer itself is oldest by time, and leaves */
    assert_int_equal(person_find(&driver->people[BOB], DATES), UINT32_MAX);
    driver_event(driver, BOB, DATES, NOON + DAY, 1); /* apple leaves bob: n(apple) = 1 */
    assert_int_equal(driver->users_of_item[APPLE], 1);
    /* apple-bread: ann only, 1 / (1 + 2 - 1); apple-cheese: nobody */
    driver_ask(driver, DAN, &(struct seed){APPLE, 1, NOON + DAY}, 1, false);
    scores_are(&driver->scores, 0, 0.5, 0);
    assert_int_equal(driver->scores.touched_len, 1);
    driver_free(driver);
}

static void forgetting_a_user_is_as_if_they_had_never_been(void **state)
{
    struct driver *driver = town(parity);

    (void)state;
    driver_forget_user(driver, BOB);
    scores_are(driver_ask(driver, CAT, NULL, 0, false), 0, 0, 1);
    scores_are(driver_ask(driver, ANN, NULL, 0, false), 2, 2, 0);
    assert_int_equal(driver->scores.touched_len, 2);
    driver_free(driver);
}

/* ---- explain, neighbours ---------------------------------------------------------------------------------- */

static size_t explain(struct driver *driver, uint32_t user, uint32_t item, struct reason_part *parts, size_t parts_max)
{
    struct query query = {.history = person_view(&driver->people[user]), .now = driver->now, .items = ITEMS};
    struct scores scratch;

    scores_init(&scratch);
    size_t len = sar_ops.explain(driver->model, &query, item, &scratch, parts, parts_max);
    scores_release(&scratch);
    return len;
}

static void reasons_add_up_to_the_score_and_the_strongest_is_first(void **state)
{
    struct driver *driver = town(parity);
    struct reason_part parts[4];

    (void)state;
    driver_event(driver, BOB, CHEESE, NOON, -5); /* bob: apple 1, bread 1, cheese -4 */
    assert_int_equal(explain(driver, BOB, APPLE, parts, 4), 3);
    assert_int_equal(parts[0].item, CHEESE);
    near(parts[0].contribution, -4.0 / 3);
    near(parts[1].contribution, 1);
    near(parts[2].contribution, 1);
    near(parts[0].contribution + parts[1].contribution + parts[2].contribution,
         driver_ask(driver, BOB, NULL, 0, false)->value[APPLE]);
    assert_int_equal(explain(driver, BOB, APPLE, parts, 1), 1); /* only the strongest */
    assert_int_equal(parts[0].item, CHEESE);
    assert_int_equal(explain(driver, BOB, APPLE, parts, 0), 0);
    assert_int_equal(explain(driver, BOB, DATES, parts, 4), 0); /* nothing speaks for dates */
    driver_free(driver);
}

static void product_does_not_explain_an_item_by_itself(void **state)
{
    struct driver *driver = town(product);
    struct reason_part parts[4];

    (void)state;
    assert_int_equal(explain(driver, ANN, APPLE, parts, 4), 1);
    assert_int_equal(parts[0].item, BREAD);
    driver_free(driver);
}

static void neighbours_are_the_others_with_evidence(void **state)
{
    struct driver *driver = town(parity);

    (void)state;
    scores_reset(&driver->scores, ITEMS);
    sar_ops.neighbours(driver->model, CHEESE, &driver->scores);
    scores_are(&driver->scores, 1.0 / 3, 1.0 / 3, 0);
    assert_int_equal(driver->scores.touched_len, 2);
    driver_free(driver);
}

/* ---- loading and totals ----------------------------------------------------------------------------------- */

static void totals_say_what_is_held(void **state)
{
    struct driver *driver = town(parity);
    struct model_stats stats;

    (void)state;
    sar_ops.stats(driver->model, &stats);
    assert_int_equal(stats.events, 6);
    assert_int_equal(stats.pairs, 6); /* three pairs, both ways */
    assert_int_equal(stats.pruned, 0);
    assert_true(stats.bytes >= 3 * 64);
    driver_free(driver);
}

static void a_row_is_loaded_as_it_was_and_refused_if_it_cannot_be_ours(void **state)
{
    struct driver *driver = driver_new(&parity, 0);
    struct model *model = driver->model;

    (void)state;
    assert_true(sar_ops.tables->load(model, APPLE, (const uint32_t[]){BREAD, CHEESE, DATES}, (const int64_t[]){2, 1, 0}, NULL, 3));
    assert_int_equal(rows_get(model->rows, APPLE, BREAD), 2);
    assert_int_equal(rows_get(model->rows, APPLE, CHEESE), 1);
    assert_int_equal(rows_len(model->rows, APPLE), 2);
    assert_false(sar_ops.tables->load(model, APPLE, (const uint32_t[]){BREAD}, (const int64_t[]){-1}, NULL, 1));
    assert_false(sar_ops.tables->load(model, APPLE, (const uint32_t[]){BREAD}, (const int64_t[]){1LL << 32}, NULL, 1));
    assert_false(sar_ops.tables->load(model, APPLE, (const uint32_t[]){APPLE}, (const int64_t[]){1}, NULL, 1)); /* the diagonal */
    assert_false(sar_ops.tables->load(model, APPLE, (const uint32_t[]){ITEMS}, (const int64_t[]){1}, NULL, 1));
    assert_false(sar_ops.tables->load(model, ITEMS, (const uint32_t[]){APPLE}, (const int64_t[]){1}, NULL, 1));
    assert_false(sar_ops.tables->load(model, APPLE, (const uint32_t[]){BREAD, BREAD}, (const int64_t[]){1, 1}, NULL, 2));
    assert_false(sar_ops.tables->load(model, APPLE, (const uint32_t[]){CHEESE, BREAD}, (const int64_t[]){1, 1}, NULL, 2));
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parity_adds_up_likeness_and_an_item_is_like_itself),
        cmocka_unit_test(each_similarity_has_its_diagonal),
        cmocka_unit_test(a_repeated_pair_adds_affinity_but_no_second_vote),
        cmocka_unit_test(a_score_halves_every_half_life),
        cmocka_unit_test(the_order_of_a_list_outlives_any_age),
        cmocka_unit_test(counts_below_the_threshold_do_not_count),
        cmocka_unit_test(unit_affinities_count_each_event_once),
        cmocka_unit_test(parity_adds_seeds_to_the_affinities),
        cmocka_unit_test(disliking_something_speaks_against_what_is_like_it),
        cmocka_unit_test(product_leaves_an_item_out_of_its_own_score),
        cmocka_unit_test(shrunk_cosine_trusts_few_people_little),
        cmocka_unit_test(a_window_counts_only_neighbours_in_the_history),
        cmocka_unit_test(the_widest_window_ends_where_steps_end),
        cmocka_unit_test(forgetting_the_item_between_does_not_bring_its_neighbours_together),
        cmocka_unit_test(recency_discounts_by_age_and_age_is_by_last_event),
        cmocka_unit_test(only_the_newest_items_score),
        cmocka_unit_test(seeds_are_newer_than_the_history_and_the_last_is_newest),
        cmocka_unit_test(old_items_leave_and_take_their_counts_along),
        cmocka_unit_test(forgetting_a_user_is_as_if_they_had_never_been),
        cmocka_unit_test(reasons_add_up_to_the_score_and_the_strongest_is_first),
        cmocka_unit_test(product_does_not_explain_an_item_by_itself),
        cmocka_unit_test(neighbours_are_the_others_with_evidence),
        cmocka_unit_test(totals_say_what_is_held),
        cmocka_unit_test(a_row_is_loaded_as_it_was_and_refused_if_it_cannot_be_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
