/*
 * kernels_codes.h -- the loops over rows of bytes with which a question looks for its best among very many, once for every width
 * of vector, chosen at run time.
 *
 *     encode     code = vector / largest magnitude * 127, to the nearest whole number, halves away from 0
 *     sift       the estimates of many rows, and which of them are high enough
 *
 * For sift, rows lie in blocks of 16, 4 numbers of each side by side:
 *
 *         row 0      row 1            row 15     row 0      row 1            row 15
 *         c0 .. c3 | c0 .. c3 | .. | c0 .. c3 || c4 .. c7 | c4 .. c7 | .. | c4 .. c7 || ..
 *          x                                                                              user: the same u0 .. u3 for all 16,
 *         u0 .. u3                                                                        then u4 .. u7, ..
 *
 * So a register of 64 bytes is four numbers of 16 rows, each lane adds up one row, and nothing is added across. The estimate of a
 * row is
 *
 *     out = bias + scale * (step * (sum of c u - CODE_ZERO * sum of u))
 *
 * The sum is exact (it stays below 2^24), and what follows is rounded alike everywhere: all widths give the same bits.
 *
 * Thread: any; nothing is kept.
 */
#ifndef FR_KERNELS_CODES_H
#define FR_KERNELS_CODES_H

#include <stddef.h>
#include <stdint.h>

enum { CODE_ROWS = 16, CODE_ZERO = 128, CODE_MOST = 127, CODE_DIMENSIONS_MAX = 256 };

/* What a question is made into. */
struct code_user {
    float step;   /* what 1 in `code` stands for */
    int32_t zero; /* CODE_ZERO * sum of code */
    int8_t code[CODE_DIMENSIONS_MAX];
};

struct code_kernels {
    const char *name;
    /* Returns what 1 in `code` stands for. All 0, and so is that, if the largest is below 1e-30 or any number is not finite. */
    float (*encode)(const float *vector, size_t d, int8_t *code);
    /*
     * `blocks` blocks of CODE_ROWS rows, d codes each, d a multiple of 4, at a multiple of 64 bytes: out[row], and above[block]
     * has bit r if that of row r is `floor` or more.
     */
    void (*sift)(const uint8_t *codes, size_t blocks, size_t d, const struct code_user *user, const float *bias,
                 const float *scale, float floor, float *out, uint16_t *above);
};

/* The widest that this processor has. */
const struct code_kernels *code_kernels_best(void);
/* code_kernels_at(0..): all that this processor has, the portable ones first; NULL at the end. */
const struct code_kernels *code_kernels_at(size_t index);

#endif
