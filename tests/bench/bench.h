/*
 * bench.h -- what the benchmark programs share: a line per figure, medians, random numbers, Zipf.
 *
 *     name value unit baseline ratio          ratio: value against baseline, above 1 is better
 *
 * Value and baseline are taken in turns in the same run, so that a busy machine slows both; the ratio is the median of
 * the rounds' ratios.
 */
#ifndef FR_BENCH_H
#define FR_BENCH_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "freshet/alloc.h"
#include "freshet/clock.h"

enum { BENCH_ROUNDS_MAX = 64 };

struct bench_rounds {
    double value[BENCH_ROUNDS_MAX], baseline[BENCH_ROUNDS_MAX];
    unsigned len;
};

static inline void bench_round(struct bench_rounds *rounds, double value, double baseline)
{
    if (rounds->len == BENCH_ROUNDS_MAX)
        return;
    rounds->value[rounds->len] = value;
    rounds->baseline[rounds->len++] = baseline;
}

static inline int bench_compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static inline double bench_median(const double *values, unsigned len)
{
    double sorted[BENCH_ROUNDS_MAX];

    for (unsigned i = 0; i < len; i++)
        sorted[i] = values[i];
    qsort(sorted, len, sizeof(*sorted), bench_compare);
    return len % 2 ? sorted[len / 2] : (sorted[len / 2 - 1] + sorted[len / 2]) / 2;
}

/* `less_is_better`: values are times. A round without baseline has 0 there. */
static inline void bench_print(const char *name, const char *unit, const struct bench_rounds *rounds,
                               bool less_is_better)
{
    double ratios[BENCH_ROUNDS_MAX];
    double value = bench_median(rounds->value, rounds->len), baseline = bench_median(rounds->baseline, rounds->len);

    for (unsigned i = 0; i < rounds->len; i++)
        ratios[i] = less_is_better ? rounds->baseline[i] / rounds->value[i] : rounds->value[i] / rounds->baseline[i];
    if (baseline > 0)
        printf("%s %.4g %s %.4g %.3f\n", name, value, unit, baseline, bench_median(ratios, rounds->len));
    else
        printf("%s %.4g %s - -\n", name, value, unit);
    fflush(stdout);
}

static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
}

/* Zipf 1.0 over `items` ids in shuffled order, so that neighbours in memory are not neighbours in rank. */
struct bench_zipf {
    double *upto;
    uint32_t *id;
    uint32_t items;
};

static inline void bench_zipf_init(struct bench_zipf *zipf, uint32_t items, uint64_t *state)
{
    double sum = 0;

    zipf->items = items;
    zipf->upto = fr_alloc(items * sizeof(*zipf->upto));
    zipf->id = fr_alloc(items * sizeof(*zipf->id));
    for (uint32_t i = 0; i < items; i++) {
        zipf->upto[i] = sum += 1.0 / (i + 1);
        zipf->id[i] = i;
    }
    for (uint32_t i = items; i-- > 1;) {
        uint32_t other = (uint32_t)(bench_random(state) % (i + 1)), id = zipf->id[i];
        zipf->id[i] = zipf->id[other];
        zipf->id[other] = id;
    }
}

static inline uint32_t bench_zipf_draw(const struct bench_zipf *zipf, uint64_t *state)
{
    double at = (double)(bench_random(state) >> 11) * 0x1p-53 * zipf->upto[zipf->items - 1];
    uint32_t low = 0, high = zipf->items - 1;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (zipf->upto[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return zipf->id[low];
}

static inline void bench_zipf_release(struct bench_zipf *zipf)
{
    free(zipf->upto);
    free(zipf->id);
}

#endif
