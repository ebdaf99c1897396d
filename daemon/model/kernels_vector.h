/*
 * kernels_vector.h -- the loops over rows of floats in which a factor model spends its time, once for every width of vector,
 * chosen at run time.
 *
 *     dots       out[k] = <row k, x>                    4 rows at a time, so that the sums across a register are shared
 *     meet       sum += by * row, row += step * x       both with what the row was; the squared norm it then has
 *     step       row += step * x                        the squared norm it then has
 *     norm       the squared norm of a row
 *     product    c += a b                               a, a few by a few, may lie either way round (its two strides)
 *
 * Rows and x are `d` floats long, d a multiple of VECTOR_WIDTH, and begin at multiples of 64 bytes.
 *
 * Every loop adds up in an order of its own, which is always the same: one build on one machine gives the same bits for the
 * same input, and a dot product or a row of c does not depend on its place among the others. Two widths differ by no more than
 * VECTOR_TOLERANCE of the sum of the terms' magnitudes.
 *
 * Thread: any; nothing is kept.
 */
#ifndef FR_KERNELS_VECTOR_H
#define FR_KERNELS_VECTOR_H

#include <stddef.h>
#include <stdint.h>

enum { VECTOR_WIDTH = 16, VECTOR_ALIGN = 64 };
#define VECTOR_TOLERANCE 1e-5

struct vector_kernels {
    const char *name;
    /* Row k is matrix + at[k] * d; `at` NULL: row k is the k-th. */
    void (*dots)(const float *matrix, const uint32_t *at, size_t len, size_t d, const float *x, float *out);
    float (*meet)(float *row, float by, float *sum, float step, const float *x, size_t d);
    float (*step)(float *row, float step, const float *x, size_t d);
    float (*norm)(const float *row, size_t d);
    /* c is `rows` by d, b is `depth` by d, both without gaps; element (i, k) of a is a[i * a_row + k * a_next]. */
    void (*product)(float *c, size_t rows, size_t d, const float *a, size_t a_row, size_t a_next, const float *b,
                    size_t depth);
};

/* The widest that this processor has. */
const struct vector_kernels *vector_kernels_best(void);
/* vector_kernels_at(0..): all that this processor has, the portable ones first; NULL at the end. */
const struct vector_kernels *vector_kernels_at(size_t index);

#endif
