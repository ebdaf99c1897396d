/*
 * sampler_test.c -- draws are a function of their key, and have the distribution they say.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sampler.h"

enum { MANY = 200000 };

static uint32_t numbers[MANY], again[MANY];
static float normals[MANY];

static void a_key_draws_the_same_numbers_wherever_it_begins(void **state)
{
    (void)state;
    sampler_uniform(sampler_key(7, 1000), 12345, numbers, MANY);
    sampler_uniform(sampler_key(7, 1000), 12345, again, 100);
    assert_memory_equal(numbers, again, 100 * sizeof(*numbers));
    sampler_uniform(sampler_key(7, 1001), 12345, again, 100);
    assert_memory_not_equal(numbers, again, 100 * sizeof(*numbers));
    sampler_uniform(sampler_key(8, 1000), 12345, again, 100);
    assert_memory_not_equal(numbers, again, 100 * sizeof(*numbers));
    /* What reaches disk through what was learned: these numbers are for good. */
    sampler_uniform(sampler_key(1, 2), 1000, numbers, 4);
    const uint32_t want[] = {824, 898, 342, 918};
    assert_memory_equal(numbers, want, sizeof(want));
}

/* Of 100 cells, the sum of squares over expectation has mean 99 and deviation 14. */
static void numbers_are_uniform_over_a_key_and_over_keys(void **state)
{
    double chi = 0;
    uint32_t counts[100] = {0};

    (void)state;
    for (uint64_t draw = 0; draw < MANY / 20; draw++) {
        sampler_uniform(sampler_key(1, draw), 100, numbers, 20);
        for (int k = 0; k < 20; k++) {
            assert_true(numbers[k] < 100);
            counts[numbers[k]]++;
        }
    }
    for (int k = 0; k < 100; k++)
        chi += (counts[k] - MANY / 100.0) * (counts[k] - MANY / 100.0) / (MANY / 100.0);
    assert_true(chi > 99 - 5 * 14 && chi < 99 + 5 * 14);
    sampler_uniform(1, 1, numbers, 100);
    for (int k = 0; k < 100; k++)
        assert_int_equal(numbers[k], 0);
}

static void normals_have_their_mean_deviation_and_tails(void **state)
{
    double sum = 0, squares = 0, fourth = 0, ahead = 0;

    (void)state;
    sampler_normal(3, 2, normals, MANY);
    for (size_t k = 0; k < MANY; k++) {
        double value = (double)normals[k];
        assert_true(isfinite(value));
        sum += value;
        squares += value * value;
        fourth += value * value * value * value;
        ahead += k ? value * (double)normals[k - 1] : 0;
    }
    assert_true(fabs(sum / MANY) < 5 * 2 / sqrt(MANY));
    assert_true(fabs(squares / MANY - 4) < 5 * 4 * sqrt(2.0 / MANY));
    assert_true(fabs(fourth / MANY - 48) < 5 * 16 * sqrt(96.0 / MANY));
    assert_true(fabs(ahead / MANY) < 5 * 4 / sqrt(MANY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_draws_the_same_numbers_wherever_it_begins),
        cmocka_unit_test(numbers_are_uniform_over_a_key_and_over_keys),
        cmocka_unit_test(normals_have_their_mean_deviation_and_tails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
