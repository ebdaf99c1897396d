/*
 * codes.h -- finding the best of very many rows by reading a quarter of their bytes.
 *
 *     row      v ~ scale * (c - CODE_ZERO)      c: a byte for each number, scale = the largest |v| / 127
 *     user     U ~ step * code                  the same, with a sign
 *
 *     all rows  --sift-->  estimates  --sieve.h-->  the `most` highest  --exact-->  the k best of these
 *
 * An estimate is off by no more than (|U|_1 scale + |v|_1 step) / 2 + d scale step / 4, and in practice by a few thousandths of the
 * scores' spread: so what is among the k best is almost surely among a few hundred candidates. How surely is measured
 * (evaluate.c, freshet_retrieval_found_total).
 *
 * Thread: any; nothing is kept.
 */
#ifndef FR_CODES_H
#define FR_CODES_H

#include "kernels_codes.h"

/* Rows as bytes, in kernels_codes.h's order. */
struct row_codes {
    float *scale;  /* [rows] */
    uint8_t *code; /* [rows][d], at a multiple of 64 bytes */
};

/* d a multiple of 4 and at most CODE_DIMENSIONS_MAX. A row that is not finite becomes zeros. */
void codes_put(const struct row_codes *codes, const struct code_kernels *kernels, size_t row, const float *vector, size_t d);
void code_user_init(struct code_user *user, const struct code_kernels *kernels, const float *vector, size_t d);

#endif
