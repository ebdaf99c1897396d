/*
 * sampler.c -- the two distributions we draw from.
 *
 * Uniform: 32 bits of a word times `below`, the high half (no division). Normal: Box and Muller, two from two.
 */
#include "sampler.h"

#include <math.h>

void sampler_uniform(uint64_t key, uint32_t below, uint32_t *numbers, size_t len)
{
    for (size_t k = 0; k < len; k++)
        numbers[k] = (uint32_t)((sampler_word(key, k) >> 32) * below >> 32);
}

void sampler_normal(uint64_t key, float deviation, float *numbers, size_t len)
{
    const double turn = 6.283185307179586;

    for (size_t k = 0; k + 1 < len; k += 2) {
        double far = ((double)(sampler_word(key, k) >> 11) + 0.5) * 0x1p-53; /* (0, 1) */
        double around = (double)(sampler_word(key, k + 1) >> 11) * 0x1p-53 * turn;
        double length = sqrt(-2 * log(far)) * (double)deviation;
        numbers[k] = (float)(length * cos(around));
        numbers[k + 1] = (float)(length * sin(around));
    }
}
