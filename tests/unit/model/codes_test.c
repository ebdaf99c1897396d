/*
 * codes_test.c -- rows as bytes: how far an estimate may be off, and that what is not finite does no harm. How many of the best are found in the end is fm_best_test's.
 */
#include <math.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codes.h"

enum { ROWS = 3 * CODE_ROWS, D = 48 };

static alignas(64) uint8_t code[ROWS * D];
static float vectors[ROWS * D], x[D], scale[ROWS], bias[ROWS], out[ROWS];
static uint16_t above[ROWS / CODE_ROWS];
static const struct row_codes codes = {scale, code};
static uint64_t random_state = 1;

static uint64_t draw(void)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return random_state >> 32;
}

static float number(void)
{
    return (float)(int32_t)draw() * 0x1p-31F;
}

static void estimate(void)
{
    struct code_user user;

    for (size_t row = 0; row < ROWS; row++)
        codes_put(&codes, code_kernels_best(), row, vectors + row * D, D);
    code_user_init(&user, code_kernels_best(), x, D);
    code_kernels_best()->sift(code, ROWS / CODE_ROWS, D, &user, bias, scale, 0, out, above);
}

static void an_estimate_is_off_by_half_a_step_of_each_number(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        double magnitudes = 0, largest = 0;
        for (size_t i = 0; i < D; i++) {
            x[i] = number() * powf(10, (float)(round % 5) - 2);
            magnitudes += fabs((double)x[i]);
            largest = fabs((double)x[i]) > largest ? fabs((double)x[i]) : largest;
        }
        for (size_t k = 0; k < ROWS * D; k++)
            vectors[k] = number() * (k / D % 4 ? 1 : .001F);
        estimate();
        for (size_t row = 0; row < ROWS; row++) {
            double dot = 0, sum = 0, most = 0;
            for (size_t i = 0; i < D; i++) {
                double v = (double)vectors[row * D + i];
                dot += v * (double)x[i];
                sum += fabs(v);
                most = fabs(v) > most ? fabs(v) : most;
            }
            double off = magnitudes * most / 127 / 2 + sum * largest / 127 / 2 + D * most * largest / 127 / 127 / 4;
            assert_true(fabs((double)out[row] - dot) <= off * 1.001);
        }
    }
}

static void what_is_not_finite_or_next_to_nothing_is_a_row_of_zeros(void **state)
{
    static const float odd[] = {INFINITY, -INFINITY, NAN, 0, 1e-38F};

    (void)state;
    for (size_t k = 0; k < D; k++)
        x[k] = number();
    for (size_t which = 0; which < sizeof(odd) / sizeof(*odd); which++) {
        for (size_t k = 0; k < ROWS * D; k++)
            vectors[k] = k / D == 5 ? (which < 3 ? number() : odd[which]) : number();
        vectors[5 * D + 7] = odd[which];
        bias[5] = .25F;
        estimate();
        assert_true(out[5] == .25F);
        assert_true(out[4] != 0);
    }
    bias[5] = 0;
    for (size_t which = 0; which < sizeof(odd) / sizeof(*odd); which++) { /* and so is a user */
        for (size_t k = 0; k < D; k++)
            x[k] = which < 3 ? number() : 0;
        x[9] = odd[which];
        estimate();
        for (size_t row = 0; row < ROWS; row++)
            assert_true(out[row] == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_estimate_is_off_by_half_a_step_of_each_number),
        cmocka_unit_test(what_is_not_finite_or_next_to_nothing_is_a_row_of_zeros),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
