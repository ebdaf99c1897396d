/*
 * kernels.h -- the loops in which a question spends its time, once for every width of vector, chosen at run time.
 *
 *     take       the entries of a row's lines with a count to speak of, closed up   8 slots at a time
 *     look       the counts of some columns                                         a line of 8 columns at a time
 *     shrunk     weight * c / sqrt(n_i n_j + beta^2) of many pairs of one item      4 (AVX2) or 8 (AVX-512) at a time
 *     rough      the same in whole steps, rounded up                                8 (AVX2) or 16 (AVX-512) at a time
 *     keep       of those the ones with steps to speak of, closed up                8 (AVX2) or 16 (AVX-512) at a time
 *
 * The portable loops say what the others do. `take` and `keep` give the same entries in the same order, `look` the same counts. `shrunk` gives each value
 * within 1e-14 of itself: the vectors begin with the processor's estimate of 1 / sqrt(x), y, good to 12 or 14 bits, and put
 * it right by the series of (1 - e)^(-1/2), e = 1 - x y^2, at a third of the cost of a root and a division. A value depends
 * on its own c, n_i, n_j and the weight, never on its place: equal evidence has equal scores.
 *
 * `rough` gives no less than the value, or `most` if that is less, and no more than ROUGH_OVER times it and one step.
 *
 * `take` and `look` read lines while the engine writes them. A processor with AVX reads 16 aligned bytes whole, and 32 as two
 * of them at worst; x86 keeps loads in order. So each word is what an acquire load would have brought, though the
 * compiler does not know; ThreadSanitizer would not either, and has the portable loops only.
 *
 * Thread: any; nothing is kept.
 */
#ifndef FR_KERNELS_H
#define FR_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/users_byte.h"
#include "rows_lines.h"

/* Arrays of `shrunk` have room for len rounded up to a multiple of this; what is there beyond len may be anything. */
enum { KERNEL_WIDTH = 8 };

/* What all pairs of one item have in common. */
struct rough {
    const _Atomic uint8_t *users_bytes;    /* n_j, to within a sixteenth, */
    const _Atomic uint32_t *users_of_item; /* and itself, for USERS_FAR */
    uint32_t items;                        /* a column at or past it counts as nothing */
    uint32_t n_i, threshold;
    float weight;  /* in steps */
    uint32_t most; /* steps of one pair; below 2^24 */
};
#define ROUGH_OVER 1.033 /* sqrt(17 / 16), for n_j is taken as the fewest of its byte, and a little for the estimate */

struct kernels {
    const char *name;
    /* Those with a count of at least `least`, which is 1 at least. Both arrays have room for lines_len * LINE_SLOTS. Returns how many. */
    size_t (*take)(const struct line *lines, uint32_t lines_len, uint32_t least, uint32_t *columns, uint32_t *counts);
    /* For c[k] > 0 and n_j[k] > 0, else anything. Never -0.0, whatever the weight. */
    void (*shrunk)(const uint32_t *restrict c, uint32_t n_i, const uint32_t *restrict n_j, double weight,
                   double *restrict values, size_t len);
    /* counts[k] = the count of columns[k] in the lines, 0: it is not there. */
    void (*look)(const struct line *lines, uint32_t lines_len, const uint32_t *columns, size_t len, uint32_t *counts);
    /* steps[k] of pair (columns[k], counts[k]); 0 without evidence. */
    void (*rough)(const struct rough *with, const uint32_t *restrict columns, const uint32_t *restrict counts,
                  uint32_t *restrict steps, size_t len);
    /* Keeps the pairs with at least `least` steps, where they stand. Returns how many. */
    size_t (*keep)(uint32_t least, uint32_t *restrict columns, uint32_t *restrict steps, size_t len);
};

/* The widest that this processor has. */
const struct kernels *kernels_best(void);
/* kernels_at(0..): all that this processor has, the portable ones first; NULL at the end. */
const struct kernels *kernels_at(size_t index);

#endif
