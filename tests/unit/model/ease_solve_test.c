/*
 * ease_solve_test.c -- the blocked inverse against one by Gauss and Jordan in double, and what happens when there is none.
 */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ease_solve.h"
#include "freshet/alloc.h"

static uint64_t random_state = 1;

static double random_unit(void)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

/* G of `users` random sets, each with about `share` of the items, + lambda on the diagonal. */
static double *gram(uint32_t n, uint32_t users, double share, double lambda)
{
    double *matrix = fr_zalloc((size_t)n * n, sizeof(*matrix));
    uint32_t *held = fr_alloc(n * sizeof(*held));

    for (uint32_t u = 0; u < users; u++) {
        uint32_t len = 0;
        for (uint32_t i = 0; i < n; i++)
            if (random_unit() < share)
                held[len++] = i;
        for (uint32_t a = 0; a < len; a++)
            for (uint32_t b = 0; b < len; b++)
                matrix[(size_t)held[a] * n + held[b]]++;
    }
    for (uint32_t i = 0; i < n; i++)
        matrix[(size_t)i * n + i] += lambda;
    free(held);
    return matrix;
}

/* What ease_solve gets: what is left of the diagonal is no concern of its. */
static float *upper_half(const double *matrix, uint32_t n)
{
    float *half = fr_alloc((size_t)n * n * sizeof(*half));

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++)
            half[(size_t)i * n + j] = j >= i ? (float)matrix[(size_t)i * n + j] : -12345;
    return half;
}

/* In place, by Gauss and Jordan; no pivots are needed when it is positive definite. */
static void invert(double *matrix, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        double pivot = matrix[(size_t)k * n + k];
        matrix[(size_t)k * n + k] = 1;
        for (uint32_t j = 0; j < n; j++)
            matrix[(size_t)k * n + j] /= pivot;
        for (uint32_t i = 0; i < n; i++) {
            double times = matrix[(size_t)i * n + k];
            if (i == k)
                continue;
            matrix[(size_t)i * n + k] = 0;
            for (uint32_t j = 0; j < n; j++)
                matrix[(size_t)i * n + j] -= times * matrix[(size_t)k * n + j];
        }
    }
}

static void solves_as_directly(uint32_t n, uint32_t users, double share, double lambda, double within)
{
    double *matrix = gram(n, users, share, lambda);
    float *weights = upper_half(matrix, n);
    struct fr_err err;

    assert_int_equal(ease_solve(weights, n, NULL, &err), FR_OK);
    invert(matrix, n);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++) {
            double want = i == j ? 0 : -matrix[(size_t)i * n + j] / matrix[(size_t)j * n + j];
            double have = (double)weights[(size_t)i * n + j];
            if (!(fabs(have - want) <= within))
                fail_msg("n %u: B[%u][%u] is %.9g, want %.9g", n, i, j, have, want);
        }
    free(matrix);
    free(weights);
}

static void small_matrices_are_solved_as_directly(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 40; n++)
        solves_as_directly(n, 60, 0.3, 0.5 + random_unit() * 20, 1e-5);
}

/* A block is 256 wide: one less, exactly one, one more; two and a bit. */
static void blocks_and_their_edges_are_solved_as_directly(void **state)
{
    static const uint32_t sizes[] = {255, 256, 257, 511, 512, 513, 600};

    (void)state;
    for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++)
        solves_as_directly(sizes[k], 300, 0.05, 5, 1e-5);
}

/*
 * B says of itself what it is: A^-1 scaled by columns has A (I - B) diagonal. Where Gauss and Jordan would take too long this can
 * still be looked at: each of its elements off the diagonal against the sum of the magnitudes it is made of.
 */
static void a_larger_one_satisfies_its_equation(void **state)
{
    enum { N = 1100, ROWS = 40 };
    double *matrix = gram(N, 2000, 0.02, 50);
    float *weights = upper_half(matrix, N);
    struct fr_err err;

    (void)state;
    assert_int_equal(ease_solve(weights, N, NULL, &err), FR_OK);
    for (uint32_t row = 0; row < ROWS; row++) {
        uint32_t i = row * (N / ROWS);
        for (uint32_t j = 0; j < N; j++) {
            double sum = 0, magnitude = 0;
            for (uint32_t k = 0; k < N; k++) {
                double term = matrix[(size_t)i * N + k] * ((k == j) - (double)weights[(size_t)k * N + j]);
                sum += term;
                magnitude += fabs(term);
            }
            if (i != j && fabs(sum) > 1e-5 * magnitude)
                fail_msg("A (I - B) has %.3g of %.3g at %u, %u", sum, magnitude, i, j);
        }
    }
    free(matrix);
    free(weights);
}

static void the_same_matrix_gives_the_same_bits(void **state)
{
    enum { N = 300 };
    double *matrix = gram(N, 400, 0.05, 3);
    float *one = upper_half(matrix, N), *other = upper_half(matrix, N);

    (void)state;
    assert_int_equal(ease_solve(one, N, NULL, NULL), FR_OK);
    assert_int_equal(ease_solve(other, N, NULL, NULL), FR_OK);
    assert_memory_equal(one, other, (size_t)N * N * sizeof(*one));
    free(matrix);
    free(one);
    free(other);
}

static void *solve_again_and_again(void *arg)
{
    enum { N = 300, TIMES = 20 };
    const double *matrix = arg;
    float *first = upper_half(matrix, N);
    bool same = !ease_solve(first, N, NULL, NULL);

    for (int i = 0; i < TIMES && same; i++) {
        float *next = upper_half(matrix, N);
        same = !ease_solve(next, N, NULL, NULL) && !memcmp(first, next, (size_t)N * N * sizeof(*first));
        free(next);
    }
    free(first);
    return same ? arg : NULL;
}

static void two_solve_at_the_same_time(void **state)
{
    double *matrix[2] = {gram(300, 400, 0.05, 3), gram(300, 200, 0.1, 5)};
    pthread_t threads[2];
    void *same;

    (void)state;
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, solve_again_and_again, matrix[i]);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &same);
        assert_non_null(same);
        free(matrix[i]);
    }
}

/* Two items held by the same users, lambda 0, in the first block and in a later one. */
static void without_an_inverse_it_says_so(void **state)
{
    static const uint32_t twins[][2] = {{0, 1}, {300, 301}, {3, 299}};
    enum { N = 302 };

    (void)state;
    for (size_t k = 0; k < sizeof(twins) / sizeof(*twins); k++) {
        float *matrix = fr_zalloc((size_t)N * N, sizeof(*matrix));
        struct fr_err err = {0};
        for (uint32_t i = 0; i < N; i++)
            matrix[(size_t)i * N + i] = 4;
        matrix[(size_t)twins[k][0] * N + twins[k][1]] = 4;
        assert_int_equal(ease_solve(matrix, N, NULL, &err), FR_INVALID);
        assert_non_null(strstr(err.text, "not positive definite"));
        free(matrix);
    }
}

/* Nothing that is not a number comes out as if it were one. */
static void what_is_not_finite_is_refused(void **state)
{
    static const float bad[] = {NAN, INFINITY, FLT_MAX, FLT_MIN / 8, -1};

    (void)state;
    for (size_t k = 0; k < sizeof(bad) / sizeof(*bad); k++) {
        float matrix[9] = {2, 1, 1, 0, 2, 1, 0, 0, 2};
        matrix[4] = bad[k];
        int status = ease_solve(matrix, 3, NULL, NULL);
        if (status == FR_OK)
            for (int i = 0; i < 9; i++)
                assert_true(isfinite(matrix[i]));
        else
            assert_int_equal(status, FR_INVALID);
        assert_true(k == 2 || status == FR_INVALID);
    }
    float tiny[4] = {1e-39F, 0, 0, 1e-39F}; /* its inverse is beyond float */
    assert_int_equal(ease_solve(tiny, 2, NULL, NULL), FR_INVALID);
}

static void it_stops_when_told_to(void **state)
{
    double *matrix = gram(300, 300, 0.05, 3);
    float *half = upper_half(matrix, 300);
    _Atomic bool stop = true;
    struct fr_err err;

    (void)state;
    assert_int_equal(ease_solve(half, 300, &stop, &err), FR_CLOSED);
    free(matrix);
    free(half);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_matrices_are_solved_as_directly),
        cmocka_unit_test(blocks_and_their_edges_are_solved_as_directly),
        cmocka_unit_test(a_larger_one_satisfies_its_equation),
        cmocka_unit_test(the_same_matrix_gives_the_same_bits),
        cmocka_unit_test(two_solve_at_the_same_time),
        cmocka_unit_test(without_an_inverse_it_says_so),
        cmocka_unit_test(what_is_not_finite_is_refused),
        cmocka_unit_test(it_stops_when_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
