/*
 * similarity_test.c -- the table of similarity.h, by hand.
 *
 * 6 users hold both; 8 hold i, 18 hold j; 32 items are held by anybody. n_i n_j = 144, its root is 12.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "similarity.h"

enum { C = 6, N_I = 8, N_J = 18, ITEMS = 32 };
enum { KINDS = SAR_LEXICOGRAPHERS_MI + 1 };

static const struct {
    enum sar_similarity kind;
    double value;
} by_hand[] = {
    {SAR_COOCCURRENCE, 6},
    {SAR_JACCARD, 6.0 / 20}, /* 8 + 18 - 6 */
    {SAR_COSINE, 6.0 / 12},
    {SAR_SHRUNK_COSINE, 6 / 23.323807579381201}, /* root of 144 + 400 */
    {SAR_INCLUSION, 6.0 / 8},
    {SAR_LIFT, 6.0 / 144},
    {SAR_MUTUAL_INFORMATION, 0.4150374992788438}, /* log2(32 * 6 / 144) = log2(4/3) = 2 - log2 3 */
    {SAR_LEXICOGRAPHERS_MI, 6 * 0.4150374992788438},
};

static void near(double have, double want)
{
    assert_true(fabs(have - want) <= 1e-15 * fabs(want));
}

static void each_formula_gives_the_number_worked_by_hand(void **state)
{
    (void)state;
    assert_int_equal(sizeof(by_hand) / sizeof(*by_hand), KINDS);
    for (unsigned k = 0; k < KINDS; k++) {
        near(similarity_of(by_hand[k].kind, C, N_I, N_J, ITEMS, 1), by_hand[k].value);
        near(similarity_of(by_hand[k].kind, C, N_J, N_I, ITEMS, 1), by_hand[k].value); /* all are symmetric */
    }
}

/* c = n_i = n_j = 4, 32 items. */
static void an_item_is_like_itself(void **state)
{
    const double itself[KINDS] = {
        [SAR_COOCCURRENCE] = 4,
        [SAR_JACCARD] = 1,
        [SAR_COSINE] = 1,
        [SAR_SHRUNK_COSINE] = 4 / sqrt(416),
        [SAR_INCLUSION] = 1,
        [SAR_LIFT] = 0.25,
        [SAR_MUTUAL_INFORMATION] = 3,
        [SAR_LEXICOGRAPHERS_MI] = 12,
    };

    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++)
        near(similarity_of((enum sar_similarity)kind, 4, 4, 4, ITEMS, 1), itself[kind]);
}

static void pairs_that_never_met_are_no_evidence(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++)
        assert_true(similarity_of((enum sar_similarity)kind, 0, N_I, N_J, ITEMS, 1) == 0);
}

static void counts_below_the_threshold_are_nothing(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        enum sar_similarity similarity = (enum sar_similarity)kind;
        assert_true(similarity_of(similarity, C, N_I, N_J, ITEMS, 6) != 0);
        assert_true(similarity_of(similarity, C, N_I, N_J, ITEMS, 7) == 0);
        assert_true(similarity_of(similarity, 2, 2, N_J, ITEMS, 3) == 0); /* n_i is below it */
        assert_true(similarity_of(similarity, 2, N_I, 2, ITEMS, 3) == 0);
    }
}

/* A reader may see a pair before the engine has counted its users: c is cut to n, and nothing is divided by nothing. */
static void counts_caught_between_two_events_stay_sane(void **state)
{
    (void)state;
    assert_int_equal(similarity_evidence(3, 2, 5, 1), 2);
    assert_int_equal(similarity_evidence(3, 5, 0, 1), 0);
    near(similarity_of(SAR_JACCARD, 2, 1, 1, ITEMS, 1), 1);
    for (unsigned kind = 0; kind < KINDS; kind++)
        assert_true(similarity_of((enum sar_similarity)kind, 1, 0, 1, ITEMS, 1) == 0);
}

static void many_at_once_are_what_they_are_one_by_one(void **state)
{
    uint32_t counts[40] = {0}, others[40] = {0}, together[40];
    double values[40];

    (void)state;
    for (uint32_t k = 0; k < 37; k++) {
        counts[k] = 3 + k * k * 40503 % 97;
        others[k] = counts[k] + k * 2654435761U % 100003 + (k == 36 ? 4000000000U : 0);
    }
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const struct similarity_with with = {(enum sar_similarity)kind, 123, 4567, 3, 0.75};
        assert_true(similarity_many(&with, counts, others, together, values, 37));
        for (unsigned k = 0; k < 37; k++) {
            assert_int_equal(together[k], counts[k]);
            double alone = 0.75 * similarity_of(with.kind, counts[k], 123, others[k], 4567, 3);
            if (with.kind == SAR_SHRUNK_COSINE)
                assert_true(fabs(values[k] - alone) <= 1e-14 * alone);
            else
                assert_true(values[k] == alone);
        }
    }
}

static void many_at_once_say_when_one_has_no_evidence(void **state)
{
    const uint32_t counts[16] = {5, 4, 5, 5, 6, 6, 6, 6, 6}, others[16] = {9, 9, 4, 0, 9, 9, 9, 9, 5};
    uint32_t together[16];
    double values[16];

    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const struct similarity_with with = {(enum sar_similarity)kind, 7, 50, 5, 1};
        assert_false(similarity_many(&with, counts, others, together, values, 9));
        for (unsigned k = 0; k < 9; k++)
            assert_int_equal(together[k], similarity_evidence(counts[k], 7, others[k], 5));
        assert_int_equal(together[1] + together[2] + together[3], 0);
        double cut = similarity_of(with.kind, 6, 7, 5, 50, 5); /* c cut to 5 */
        assert_true(with.kind == SAR_SHRUNK_COSINE ? fabs(values[8] - cut) <= 1e-14 * cut : values[8] == cut);
    }
}

/* -0.0 means "not touched" to the accumulator. */
static void a_term_of_weight_nothing_leaves_no_negative_zero(void **state)
{
    static const double weights[] = {0, -0.0, -0x1p-1074};
    const uint32_t counts[8] = {1}, others[8] = {2000000000};
    uint32_t together[8];
    double values[8];

    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        for (unsigned w = 0; w < 3; w++) {
            const struct similarity_with with = {(enum sar_similarity)kind, 2000000000, 50, 1, weights[w]};
            similarity_many(&with, counts, others, together, values, 1);
            assert_false(values[0] == 0 && signbit(values[0]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_formula_gives_the_number_worked_by_hand),
        cmocka_unit_test(an_item_is_like_itself),
        cmocka_unit_test(pairs_that_never_met_are_no_evidence),
        cmocka_unit_test(counts_below_the_threshold_are_nothing),
        cmocka_unit_test(counts_caught_between_two_events_stay_sane),
        cmocka_unit_test(many_at_once_are_what_they_are_one_by_one),
        cmocka_unit_test(many_at_once_say_when_one_has_no_evidence),
        cmocka_unit_test(a_term_of_weight_nothing_leaves_no_negative_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
