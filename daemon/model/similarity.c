/*
 * similarity.c -- the loops around similarity.h's table.
 *
 * One loop per kind, written once: `kind` is a constant in each copy, so the switch is gone from inside, what depends on n_i
 * only is computed before, and the compiler may do several pairs at a time (this file is built with -O3 for that: square root
 * and division cost the same for two as for one). No reordering of floating-point operations is allowed anywhere.
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

void similarity_many(enum sar_similarity kind, const uint32_t *restrict together, uint32_t n_i,
                     const uint32_t *restrict others, uint32_t items, double *restrict values, size_t len)
{
    switch (kind) {
    case SAR_COOCCURRENCE:
        many(SAR_COOCCURRENCE, together, n_i, others, items, values, len);
        break;
    case SAR_JACCARD:
        many(SAR_JACCARD, together, n_i, others, items, values, len);
        break;
    case SAR_COSINE:
        many(SAR_COSINE, together, n_i, others, items, values, len);
        break;
    case SAR_SHRUNK_COSINE:
        many(SAR_SHRUNK_COSINE, together, n_i, others, items, values, len);
        break;
    case SAR_INCLUSION:
        many(SAR_INCLUSION, together, n_i, others, items, values, len);
        break;
    case SAR_LIFT:
        many(SAR_LIFT, together, n_i, others, items, values, len);
        break;
    case SAR_MUTUAL_INFORMATION:
        many(SAR_MUTUAL_INFORMATION, together, n_i, others, items, values, len);
        break;
    case SAR_LEXICOGRAPHERS_MI:
        many(SAR_LEXICOGRAPHERS_MI, together, n_i, others, items, values, len);
        break;
    }
}
