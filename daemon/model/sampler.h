/*
 * sampler.h -- random numbers without a state: number k of a key is a function of (key, k) and nothing else.
 *
 *     key(seed, draw)  ->  word 0, word 1, word 2 ...        each a mix of key + k * golden ratio (SplitMix64)
 *
 * The key of an event is made of its place in the log, so a replay, from wherever it starts, draws what was drawn before.
 * Thread: any; nothing is kept.
 */
#ifndef FR_SAMPLER_H
#define FR_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t sampler_mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static inline uint64_t sampler_key(uint64_t seed, uint64_t draw)
{
    return sampler_mix(sampler_mix(seed + UINT64_C(0x9E3779B97F4A7C15)) ^ draw);
}

static inline uint64_t sampler_word(uint64_t key, uint64_t k)
{
    return sampler_mix(key + (k + 1) * UINT64_C(0x9E3779B97F4A7C15));
}

/* The key whose numbers are those of `key` from number `from` on. */
static inline uint64_t sampler_from(uint64_t key, uint64_t from)
{
    return key + from * UINT64_C(0x9E3779B97F4A7C15);
}

/* `len` numbers below `below` (> 0), each as likely as any other to within 2^-32 * below. They may repeat. */
void sampler_uniform(uint64_t key, uint32_t below, uint32_t *numbers, size_t len);

/* `len` (even) numbers of the normal distribution with mean 0. */
void sampler_normal(uint64_t key, float deviation, float *numbers, size_t len);

#endif
