/*
 * similarity.c -- the loops around similarity.h's table.
 *
 * One loop per kind, written once: `kind` is a constant in each copy, so the switch is gone from inside, and the
 * compiler may do several pairs at a time (this file is built with -O3 for that). The loops exist twice, for AVX2 and for any
 * processor; the bits are the same: no operation is reordered, none is fused. The shrunk cosine, the kind of product mode, has
 * kernels of its own. Pairs without evidence go through the formula too, and come out as anything.
 */
#include "similarity.h"

#include "kernels.h"

double similarity_of(enum sar_similarity kind, uint32_t c, uint32_t n_i, uint32_t n_j, uint32_t items,
                     uint32_t threshold)
{
    c = similarity_evidence(c, n_i, n_j, threshold);
    return c ? similarity_value(kind, c, n_i, n_j, items) : 0;
}

#define INLINE static inline __attribute__((always_inline))

INLINE void values_of(enum sar_similarity kind, const struct similarity_with *with, const uint32_t *restrict together,
                      const uint32_t *restrict others, double *restrict values, size_t len)
{
    double n_i = with->n_i, items = with->items, weight = with->weight;

    for (size_t k = 0; k < len; k++)
        values[k] = weight * similarity_value(kind, together[k], n_i, others[k], items) + 0.0;
}

INLINE bool many(const struct similarity_with *with, const uint32_t *restrict counts, const uint32_t *restrict others,
                 uint32_t *restrict together, double *restrict values, size_t len)
{
    uint32_t n_i = with->n_i, threshold = with->threshold, none = 0;

    for (size_t k = 0; k < len; k++) {
        together[k] = similarity_evidence(counts[k], n_i, others[k], threshold);
        none |= together[k] == 0;
    }
    switch (with->kind) {
    case SAR_COOCCURRENCE:
        values_of(SAR_COOCCURRENCE, with, together, others, values, len);
        break;
    case SAR_JACCARD:
        values_of(SAR_JACCARD, with, together, others, values, len);
        break;
    case SAR_COSINE:
        values_of(SAR_COSINE, with, together, others, values, len);
        break;
    case SAR_SHRUNK_COSINE:
        kernels_best()->shrunk(together, n_i, others, with->weight, values, len);
        break;
    case SAR_INCLUSION:
        values_of(SAR_INCLUSION, with, together, others, values, len);
        break;
    case SAR_LIFT:
        values_of(SAR_LIFT, with, together, others, values, len);
        break;
    case SAR_MUTUAL_INFORMATION:
        values_of(SAR_MUTUAL_INFORMATION, with, together, others, values, len);
        break;
    case SAR_LEXICOGRAPHERS_MI:
        values_of(SAR_LEXICOGRAPHERS_MI, with, together, others, values, len);
        break;
    }
    return !none;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static bool many_avx2(const struct similarity_with *with,
                                                      const uint32_t *restrict counts, const uint32_t *restrict others,
                                                      uint32_t *restrict together, double *restrict values, size_t len)
{
    return many(with, counts, others, together, values, len);
}
#endif

bool similarity_many(const struct similarity_with *with, const uint32_t *restrict counts,
                     const uint32_t *restrict others, uint32_t *restrict together, double *restrict values, size_t len)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        return many_avx2(with, counts, others, together, values, len);
#endif
    return many(with, counts, others, together, values, len);
}
