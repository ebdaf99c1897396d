/*
 * codes.h -- finding the best of very many rows by reading a quarter of their bytes.
 *
 *     row      v ~ scale * (c - CODE_ZERO)      c: a byte for each number, scale = the largest |v| / 127
 *     user     U ~ step * code                  the same, with a sign
 *
 *     all rows  --sift-->  estimates  --sieve-->  the `most` highest  --exact-->  the k best of these
 *
 * An estimate is off by no more than (|U|_1 scale + |v|_1 step) / 2 + d scale step / 4, and in practice by a few thousandths of the
 * scores' spread: so what is among the k best is almost surely among a few hundred candidates. How surely is measured
 * (evaluate.c, freshet_retrieval_found_total).
 *
 * The sieve keeps twice as many as are wanted and throws the lower half away when it is full: a constant cost per row that
 * passes, where a heap's grows with its size. Of equal estimates at the edge, which stay hangs on the rows' order alone.
 *
 * Thread: any; nothing is kept.
 */
#ifndef FR_CODES_H
#define FR_CODES_H

#include <stdalign.h>

#include "freshet/topk.h"
#include "kernels_codes.h"

/* Rows as bytes, in kernels_codes.h's order. */
struct row_codes {
    float *scale;  /* [rows] */
    uint8_t *code; /* [rows][d], at a multiple of 64 bytes */
};

/* `rows` a multiple of CODE_ROWS, d of 4 and at most CODE_DIMENSIONS_MAX. A row that is not finite becomes zeros. */
void codes_make(const struct row_codes *codes, const struct code_kernels *kernels, const float *vectors, size_t rows, size_t d);
void code_user_init(struct code_user *user, const struct code_kernels *kernels, const float *vector, size_t d);

struct sieve {
    struct fr_ranked *room; /* 2 * most, not owned */
    size_t most, len;
    double floor; /* what is below it is not among the `most` highest */
};
static inline struct sieve sieve_of(struct fr_ranked *room, size_t most)
{
    return (struct sieve){.room = room, .most = most, .floor = -__builtin_inf()};
}
void sieve_cut(struct sieve *sieve); /* to the `most` highest, in no order */
static inline void sieve_take(struct sieve *sieve, uint32_t id, double score) /* not NaN */
{
    if (score < sieve->floor)
        return;
    sieve->room[sieve->len++] = (struct fr_ranked){score, id};
    if (sieve->len == 2 * sieve->most)
        sieve_cut(sieve);
}

#endif
