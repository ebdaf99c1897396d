/*
 * kernels_vector_test.c -- every width of vector that this processor has against sums in double precision.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels_vector.h"

enum { ROWS = 37, D_MOST = 96 };

static alignas(VECTOR_ALIGN) float matrix[ROWS * D_MOST], x[D_MOST], sum[D_MOST], row[D_MOST];
static uint64_t random_state = 1;

static float draw(void)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (float)(int32_t)(random_state >> 32) * 0x1p-30F;
}

static void fill(float *floats, size_t len)
{
    for (size_t k = 0; k < len; k++)
        floats[k] = draw();
}

static void assert_near(double got, double want, double magnitude)
{
    if (!(fabs(got - want) <= VECTOR_TOLERANCE * magnitude))
        fail_msg("%.9g instead of %.9g", got, want);
}

static void dots_are_sums_of_products(void **state)
{
    static const uint32_t at[] = {36, 0, 7, 7, 35, 1, 20, 2, 3};
    float out[ROWS + 1];

    (void)state;
    for (size_t which = 0; vector_kernels_at(which); which++) {
        for (size_t d = VECTOR_WIDTH; d <= D_MOST; d += VECTOR_WIDTH) {
            for (size_t len = 0; len <= ROWS; len++) {
                const uint32_t *rows = len <= 9 ? at : NULL;
                fill(matrix, ROWS * d);
                fill(x, d);
                out[len] = 77;
                vector_kernels_at(which)->dots(matrix, rows, len, d, x, out);
                assert_true(out[len] == 77); /* not a float further than asked */
                for (size_t k = 0; k < len; k++) {
                    const float *of = matrix + (rows ? rows[k] : k) * d;
                    double want = 0, magnitude = 0;
                    for (size_t i = 0; i < d; i++) {
                        want += (double)of[i] * (double)x[i];
                        magnitude += fabs((double)of[i] * (double)x[i]);
                    }
                    assert_near((double)out[k], want, magnitude);
                }
            }
        }
    }
}

/* Ties in scores are broken by id, so they must be ties, wherever the rows stand. */
static void equal_rows_have_equal_bits_wherever_they_stand(void **state)
{
    float out[ROWS];

    (void)state;
    for (size_t which = 0; vector_kernels_at(which); which++) {
        fill(matrix, D_MOST);
        fill(x, D_MOST);
        for (size_t k = 1; k < ROWS; k++)
            memcpy(matrix + k * D_MOST, matrix, D_MOST * sizeof(float));
        for (size_t len = 1; len <= ROWS; len++) {
            vector_kernels_at(which)->dots(matrix, NULL, len, D_MOST, x, out);
            for (size_t k = 0; k < len; k++)
                assert_memory_equal(&out[k], &out[0], sizeof(float));
        }
    }
}

static void a_meeting_moves_both_by_what_the_row_was(void **state)
{
    float old_row[D_MOST], old_sum[D_MOST];

    (void)state;
    for (size_t which = 0; vector_kernels_at(which); which++) {
        for (size_t d = VECTOR_WIDTH; d <= D_MOST; d += VECTOR_WIDTH) {
            double norm = 0;
            fill(row, D_MOST);
            fill(sum, D_MOST);
            fill(x, D_MOST);
            memcpy(old_row, row, sizeof(row));
            memcpy(old_sum, sum, sizeof(sum));
            float got = vector_kernels_at(which)->meet(row, 0.7F, sum, -0.3F, x, d);
            for (size_t i = 0; i < d; i++) {
                assert_near((double)row[i], (double)old_row[i] - 0.3 * (double)x[i], 2);
                assert_near((double)sum[i], (double)old_sum[i] + 0.7 * (double)old_row[i], 2);
                norm += (double)row[i] * (double)row[i];
            }
            assert_near((double)got, norm, norm);
            assert_memory_equal(row + d, old_row + d, (D_MOST - d) * sizeof(float));
            assert_memory_equal(sum + d, old_sum + d, (D_MOST - d) * sizeof(float));
        }
    }
}

static void a_step_moves_the_row_and_says_how_long_it_is(void **state)
{
    float old_row[D_MOST];

    (void)state;
    for (size_t which = 0; vector_kernels_at(which); which++) {
        for (size_t d = VECTOR_WIDTH; d <= D_MOST; d += VECTOR_WIDTH) {
            double norm = 0;
            fill(row, D_MOST);
            fill(x, D_MOST);
            memcpy(old_row, row, sizeof(row));
            float got = vector_kernels_at(which)->step(row, 1.9F, x, d);
            for (size_t i = 0; i < d; i++) {
                assert_near((double)row[i], (double)old_row[i] + 1.9 * (double)x[i], 4);
                norm += (double)row[i] * (double)row[i];
            }
            assert_near((double)got, norm, norm);
            assert_near((double)vector_kernels_at(which)->norm(row, d), norm, norm);
            assert_memory_equal(row + d, old_row + d, (D_MOST - d) * sizeof(float));
        }
    }
}

/* All heights around a block's, all widths; a lying either way. */
static void a_product_adds_rows_of_b_as_a_says(void **state)
{
    enum { DEPTH = 11 };
    static alignas(VECTOR_ALIGN) float c[ROWS * D_MOST], old_c[ROWS * D_MOST];
    float a[ROWS * DEPTH];

    (void)state;
    for (size_t which = 0; vector_kernels_at(which); which++) {
        for (size_t d = VECTOR_WIDTH; d <= D_MOST; d += VECTOR_WIDTH) {
            for (size_t rows = 0; rows <= 9; rows++) {
                bool across = rows % 2;
                size_t a_row = across ? 1 : DEPTH, a_next = across ? rows : 1;
                fill(c, ROWS * D_MOST);
                fill(a, ROWS * DEPTH);
                fill(matrix, DEPTH * d);
                memcpy(old_c, c, sizeof(c));
                vector_kernels_at(which)->product(c, rows, d, a, a_row, a_next, matrix, DEPTH);
                for (size_t at = 0; at < rows * d; at++) {
                    double want = (double)old_c[at], magnitude = fabs(want);
                    for (size_t k = 0; k < DEPTH; k++) {
                        double term = (double)a[at / d * a_row + k * a_next] * (double)matrix[k * d + at % d];
                        want += term;
                        magnitude += fabs(term);
                    }
                    assert_near((double)c[at], want, magnitude);
                }
                assert_memory_equal(c + rows * d, old_c + rows * d, (ROWS * D_MOST - rows * d) * sizeof(float));
            }
        }
    }
}

/* Equal examples are equal, wherever in a batch they stand. */
static void equal_rows_of_a_give_equal_bits(void **state)
{
    enum { DEPTH = 64, HEIGHT = 9 };
    static alignas(VECTOR_ALIGN) float c[HEIGHT * D_MOST], b[DEPTH * D_MOST];
    float a[DEPTH];

    (void)state;
    for (size_t which = 0; vector_kernels_at(which); which++) {
        fill(a, DEPTH);
        fill(b, DEPTH * D_MOST);
        memset(c, 0, sizeof(c));
        vector_kernels_at(which)->product(c, HEIGHT, D_MOST, a, 0, 1, b, DEPTH);
        for (size_t k = 1; k < HEIGHT; k++)
            assert_memory_equal(c + k * D_MOST, c, D_MOST * sizeof(float));
    }
}

static void the_best_is_the_last_of_them(void **state)
{
    size_t last = 0;

    (void)state;
    assert_string_equal(vector_kernels_at(0)->name, "portable");
    while (vector_kernels_at(last + 1))
        last++;
    assert_ptr_equal(vector_kernels_best(), vector_kernels_at(last));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_are_sums_of_products),
        cmocka_unit_test(equal_rows_have_equal_bits_wherever_they_stand),
        cmocka_unit_test(a_meeting_moves_both_by_what_the_row_was),
        cmocka_unit_test(a_step_moves_the_row_and_says_how_long_it_is),
        cmocka_unit_test(a_product_adds_rows_of_b_as_a_says),
        cmocka_unit_test(equal_rows_of_a_give_equal_bits),
        cmocka_unit_test(the_best_is_the_last_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
