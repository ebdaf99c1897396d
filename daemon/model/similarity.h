/*
 * similarity.h -- how alike two items are, from four counts.
 *
 *     c    users who hold both                      n_i, n_j   users who hold each
 *     n    items held by anybody                    beta = 20  shrinks what rests on few users
 *
 *     cooccurrence         c
 *     jaccard              c / (n_i + n_j - c)
 *     cosine               c / sqrt(n_i n_j)
 *     shrunk cosine        c / sqrt(n_i n_j + beta^2)
 *     inclusion            c / min(n_i, n_j)
 *     lift                 c / (n_i n_j)
 *     mutual information   log2(n c / (n_i n_j))
 *     lexicographer's MI   c log2(n c / (n_i n_j))
 *
 * After Microsoft's SAR, but for the shrunk cosine (ours; measured best) and for pairs that never met: mutual
 * information is 0 there, not minus infinity, because "no evidence" must not forbid an item; and the lexicographer's is
 * the elementwise product that its inventors meant, where the reference multiplies matrices.
 *
 * Threshold: counts below it are 0, n_i and n_j included. Since c <= n_i and c <= n_j, an item below the threshold
 * shares no pair above it, so testing c is enough. A reader may catch c of this instant and n of the last one;
 * cutting c to both n keeps the inequality, and with it every denominator above 0.
 *
 * Thread: any; nothing is kept.
 */
#ifndef FR_SIMILARITY_H
#define FR_SIMILARITY_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/sar.h"

#define SIMILARITY_SHRINK (20.0 * 20.0)

/* The count that the formulas see: 0 means no evidence. */
static inline uint32_t similarity_evidence(uint32_t c, uint32_t n_i, uint32_t n_j, uint32_t threshold)
{
    c = c < n_i ? c : n_i;
    c = c < n_j ? c : n_j;
    return c >= threshold ? c : 0;
}

/* The table above, for evidence c > 0. Inline, so that a loop with a constant kind holds one formula and no switch. */
static inline __attribute__((always_inline)) double similarity_value(enum sar_similarity kind, double c, double n_i,
                                                                     double n_j, double items)
{
    switch (kind) {
    case SAR_COOCCURRENCE:
        return c;
    case SAR_JACCARD:
        return c / (n_i + n_j - c);
    case SAR_COSINE:
        return c / sqrt(n_i * n_j);
    case SAR_SHRUNK_COSINE:
        return c / sqrt(n_i * n_j + SIMILARITY_SHRINK);
    case SAR_INCLUSION:
        return c / (n_i < n_j ? n_i : n_j);
    case SAR_LIFT:
        return c / (n_i * n_j);
    case SAR_MUTUAL_INFORMATION:
        return log2(items * c / (n_i * n_j));
    case SAR_LEXICOGRAPHERS_MI:
        return c * log2(items * c / (n_i * n_j));
    }
    return 0;
}

/* What all pairs of one item have in common. */
struct similarity_with {
    enum sar_similarity kind;
    uint32_t n_i, items, threshold;
    double weight; /* of the item's term */
};

/* One pair: 0 without evidence. */
double similarity_of(enum sar_similarity kind, uint32_t c, uint32_t n_i, uint32_t n_j, uint32_t items,
                     uint32_t threshold);

/*
 * Many pairs of one item, with counts[k] (c) and others[k] (n_j): together[k] = their evidence, values[k] = weight times what
 * similarity_of gives, where there is evidence, else anything; the same bits, but for the shrunk cosine, which is within
 * 1e-14 (kernels.h). No value is -0.0. Returns whether all have evidence. Arrays do not overlap, and the last three have room
 * for len rounded up to a multiple of KERNEL_WIDTH.
 */
bool similarity_many(const struct similarity_with *with, const uint32_t *restrict counts,
                     const uint32_t *restrict others, uint32_t *restrict together, double *restrict values, size_t len);

#endif
