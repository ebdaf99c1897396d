/*
 * kernels_codes_test.c -- every width of vector that this processor has against the sums written out, bit for bit.
 */
#include <math.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels_codes.h"

enum { BLOCKS = 5, ROWS = BLOCKS * CODE_ROWS, D_MOST = CODE_DIMENSIONS_MAX };

static alignas(64) uint8_t codes[ROWS * D_MOST];
static float bias[ROWS], scale[ROWS];
static struct code_user user;
static uint64_t random_state = 1;

static uint32_t draw(void)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(random_state >> 32);
}

/* How much of each number: all there is, or the ends of their ranges alone, where sums are the largest. */
static void fill(size_t d, int extreme)
{
    user = (struct code_user){.step = (float)(draw() % 1000) * .001F};
    for (size_t i = 0; i < d; i++) {
        user.code[i] = (int8_t)(extreme == 1 ? -CODE_MOST : extreme == 2 ? CODE_MOST : (int)(draw() % 255) - CODE_MOST);
        user.zero += CODE_ZERO * user.code[i];
    }
    for (size_t k = 0; k < ROWS * d; k++)
        codes[k] = (uint8_t)(extreme ? (draw() % 2 ? 255 : 1) : 1 + draw() % 255);
    for (size_t row = 0; row < ROWS; row++) {
        bias[row] = draw() % 7 ? (float)(int32_t)draw() * 0x1p-31F : -INFINITY;
        scale[row] = (float)draw() * 0x1p-36F;
        if (extreme) /* a whole row of one end */
            for (size_t i = 0; i < d && row % 3 == 0; i++)
                codes[row / CODE_ROWS * CODE_ROWS * d + i / 4 * 4 * CODE_ROWS + row % CODE_ROWS * 4 + i % 4] = 255;
    }
}

static float estimate(size_t row, size_t d)
{
    int64_t sum = 0;

    for (size_t i = 0; i < d; i++) {
        size_t at = row / CODE_ROWS * CODE_ROWS * d + i / 4 * 4 * CODE_ROWS + row % CODE_ROWS * 4 + i % 4;
        sum += ((int)codes[at] - CODE_ZERO) * (int64_t)user.code[i];
    }
    float dot = user.step * (float)sum, part = scale[row] * dot;
    return bias[row] + part;
}

static void every_width_has_the_same_bits(void **state)
{
    float out[ROWS + 1];
    uint16_t above[BLOCKS + 1];

    (void)state;
    for (size_t d = 4; d <= D_MOST; d += d < 64 ? 4 : 32) {
        for (int extreme = 0; extreme < 3; extreme++) {
            fill(d, extreme);
            float floor = estimate(ROWS / 2 + (bias[ROWS / 2] == -INFINITY), d); /* met exactly: not below it */
            for (size_t which = 0; code_kernels_at(which); which++) {
                for (size_t blocks = 0; blocks <= BLOCKS; blocks++) {
                    out[blocks * CODE_ROWS] = 77;
                    above[blocks] = 7777;
                    code_kernels_at(which)->sift(codes, blocks, d, &user, bias, scale, floor, out, above);
                    assert_true(out[blocks * CODE_ROWS] == 77 && above[blocks] == 7777); /* no further than asked */
                    for (size_t row = 0; row < blocks * CODE_ROWS; row++) {
                        float want = estimate(row, d);
                        assert_memory_equal(&out[row], &want, sizeof(want));
                        assert_int_equal(above[row / CODE_ROWS] >> row % CODE_ROWS & 1, want >= floor);
                    }
                }
            }
        }
    }
}

static void every_width_encodes_alike(void **state)
{
    static const float odd[] = {INFINITY, NAN, -INFINITY};
    static float vector[D_MOST];
    int8_t code[D_MOST + 1];

    (void)state;
    for (size_t d = 4; d <= D_MOST; d += d < 64 ? 4 : 32) {
        for (int round = 0; round < 20; round++) {
            float most = 0, step = (float)(1 + draw() % 9) * 0x1p-9F;
            for (size_t i = 0; i < d; i++) /* halves of a step are frequent, and the ends are there */
                vector[i] = step * (float)(i == d - 1 ? -2 * CODE_MOST : (int)(draw() % (4 * CODE_MOST + 1)) - 2 * CODE_MOST) / 2;
            vector[0] = round == 18 ? odd[d % 3] : vector[0];
            for (size_t i = 0; i < d; i++) {
                vector[i] *= round == 19 ? 1e-32F : 1;
                most = fabsf(vector[i]) > most ? fabsf(vector[i]) : most;
            }
            for (size_t which = 0; code_kernels_at(which); which++) {
                code[d] = 77;
                float found = code_kernels_at(which)->encode(vector, d, code);
                assert_true(found == (round < 18 ? most / CODE_MOST : 0));
                assert_int_equal(code[d], 77);
                for (size_t i = 0; i < d; i++)
                    assert_int_equal(code[i], round < 18 ? (int)roundf(vector[i] * (CODE_MOST / most)) : 0);
            }
        }
    }
}

static void the_best_is_the_last(void **state)
{
    size_t len = 0;

    (void)state;
    while (code_kernels_at(len))
        len++;
    assert_ptr_equal(code_kernels_best(), code_kernels_at(len - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_has_the_same_bits),
        cmocka_unit_test(every_width_encodes_alike),
        cmocka_unit_test(the_best_is_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
