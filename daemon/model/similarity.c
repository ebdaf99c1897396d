/*
 * similarity.c -- the loops around similarity.h's table.
 *
 * One loop per kind, written once: `kind` is a constant in each copy, so the switch is gone from inside, and the compiler may do
 * several pairs at a time (this file is built with -O3 for that). Square roots and divisions are what a query costs most of, and four of
 * them at once (AVX2) take as long as two; so the loops exist twice, and the processor decides. The bits are the same: no operation
 * is reordered, none is fused.
 */
#include "similarity.h"

double similarity_of(enum sar_similarity kind, uint32_t c, uint32_t n_i, uint32_t n_j, uint32_t items,
                     uint32_t threshold)
{
    c = similarity_evidence(c, n_i, n_j, threshold);
    return c ? similarity_value(kind, c, n_i, n_j, items) : 0;
}

static inline __attribute__((always_inline)) void many(enum sar_similarity kind, const uint32_t *restrict together,
                                                       double n_i, const uint32_t *restrict others, double items,
                                                       double *restrict values, size_t len)
{
    for (size_t k = 0; k < len; k++)
        values[k] = similarity_value(kind, together[k], n_i, others[k], items);
}

#define KINDS(loop)                                                                                                    \
    switch (kind) {                                                                                                    \
    case SAR_COOCCURRENCE:                                                                                             \
        loop(SAR_COOCCURRENCE, together, n_i, others, items, values, len);                                             \
        break;                                                                                                         \
    case SAR_JACCARD:                                                                                                  \
        loop(SAR_JACCARD, together, n_i, others, items, values, len);                                                  \
        break;                                                                                                         \
    case SAR_COSINE:                                                                                                   \
        loop(SAR_COSINE, together, n_i, others, items, values, len);                                                   \
        break;                                                                                                         \
    case SAR_SHRUNK_COSINE:                                                                                            \
        loop(SAR_SHRUNK_COSINE, together, n_i, others, items, values, len);                                            \
        break;                                                                                                         \
    case SAR_INCLUSION:                                                                                                \
        loop(SAR_INCLUSION, together, n_i, others, items, values, len);                                                \
        break;                                                                                                         \
    case SAR_LIFT:                                                                                                     \
        loop(SAR_LIFT, together, n_i, others, items, values, len);                                                     \
        break;                                                                                                         \
    case SAR_MUTUAL_INFORMATION:                                                                                       \
        loop(SAR_MUTUAL_INFORMATION, together, n_i, others, items, values, len);                                       \
        break;                                                                                                         \
    case SAR_LEXICOGRAPHERS_MI:                                                                                        \
        loop(SAR_LEXICOGRAPHERS_MI, together, n_i, others, items, values, len);                                        \
        break;                                                                                                         \
    }

typedef void many_fn(enum sar_similarity kind, const uint32_t *restrict together, double n_i,
                     const uint32_t *restrict others, double items, double *restrict values, size_t len);

static void many_anywhere(enum sar_similarity kind, const uint32_t *restrict together, double n_i,
                          const uint32_t *restrict others, double items, double *restrict values, size_t len)
{
    KINDS(many)
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void many_avx2(enum sar_similarity kind, const uint32_t *restrict together,
                                                      double n_i, const uint32_t *restrict others, double items,
                                                      double *restrict values, size_t len)
{
    KINDS(many)
}
#endif

void similarity_many(enum sar_similarity kind, const uint32_t *restrict together, uint32_t n_i,
                     const uint32_t *restrict others, uint32_t items, double *restrict values, size_t len)
{
    many_fn *loops = many_anywhere;

#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        loops = many_avx2;
#endif
    loops(kind, together, n_i, others, items, values, len);
}
