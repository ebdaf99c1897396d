/*
 * sieve.h -- the highest few hundred of very many, in no order.
 *
 *     room   [ most ][ most ]      full: the lower half goes, and what is below the rest is not taken any more
 *
 * A constant cost for each that passes the floor, where a heap's grows with its size. Few pass, unless each is higher than those
 * before; and items are numbered as they appear, which much goes with. So they are walked in strides (sieve_stride). Of equal ones
 * at the edge, which stay hangs on the order they come in alone.
 *
 * Thread: any; nothing is kept.
 */
#ifndef FR_SIEVE_H
#define FR_SIEVE_H

#include "freshet/model.h"

struct sieve {
    struct fr_ranked *room; /* 2 * most, not owned */
    size_t most, len;
    double floor; /* what is below it is not among the `most` highest */
    double gone;  /* the highest that was thrown away */
};
void sieve_cut(struct sieve *sieve); /* to the `most` highest, in no order */
static inline void sieve_take(struct sieve *sieve, uint32_t id, double score) /* not NaN */
{
    if (score < sieve->floor)
        return;
    sieve->room[sieve->len++] = (struct fr_ranked){score, id};
    if (sieve->len == 2 * sieve->most)
        sieve_cut(sieve);
}
/* From 0 on by so much, modulo len, everything below len comes once: about .6 len, and without a common factor. len > 0. */
uint32_t sieve_stride(uint32_t len);
/* A sieve in the scratch of these scores. */
struct sieve sieve_in(struct scores *scores, size_t most);

/* The values of items [first, first + len), len at most SIEVE_AT_ONCE. */
enum { SIEVE_AT_ONCE = 256 };
typedef void sieve_fill(const struct model *model, const struct query *query, uint32_t first, uint32_t len, double *values);
/*
 * Of a model that has a value for every item: touches the query's `best` highest that are not scores_excluded, and all that are
 * equal to the last of them, so that it is the asker who chooses among these. False, and nothing is touched: all matter, or there are
 * so few that they may as well be scored all.
 */
bool sieve_best(const struct model *model, const struct query *query, sieve_fill *fill, struct scores *scores);

#endif
