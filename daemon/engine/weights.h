/*
 * weights.h -- how heavy the base and the deltas of each segment are, to know when folding pays (storage/FORMAT.md).
 *
 * What is not here has not been measured since the start; measuring is reading the segment. Open addressing with linear
 * probing over (table, segment); an entry that leaves is filled from behind. Thread: the checkpoint's.
 */
#ifndef FR_WEIGHTS_H
#define FR_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/journal.h"

enum { WEIGHT_OF_A_DELTA = 64, WEIGHT_LEAST = 4096 };
#define WEIGHT_UNFOLDABLE UINT64_MAX

struct weight {
    uint64_t segment; /* table << 32 | segment; 0: a free place */
    uint64_t base, deltas;
};
struct weights {
    struct weight *at;
    size_t len, cap; /* cap: a power of two, or 0 */
};

void weights_release(struct weights *weights);
/* NULL: not measured. Borrowed, as that of weights_set, until the next weights_set or weights_forget. */
struct weight *weights_find(struct weights *weights, enum journal_table table, uint32_t segment);
struct weight *weights_set(struct weights *weights, enum journal_table table, uint32_t segment, uint64_t base,
                           uint64_t deltas);
void weights_forget(struct weights *weights, enum journal_table table, uint32_t segment);
static inline bool weight_is_due(uint64_t base, uint64_t deltas)
{
    return base != WEIGHT_UNFOLDABLE && deltas > WEIGHT_LEAST && deltas > base / 2;
}

#endif
