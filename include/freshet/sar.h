/*
 * sar.h -- the options of SAR, item-to-item recommendation learned one event at a time.
 *
 *     score(u, j) = sum over i in history(u) of  affinity(u, i) * recency^age(i) * similarity(i, j)
 *
 * affinity(u, i): u's weights on i, each halved every half-life. similarity(i, j): from c = users who hold both i
 * and j (within `window` places of each other) and n_i, n_j. See sar.c for the formulas and their sources.
 */
#ifndef FR_SAR_H
#define FR_SAR_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/clock.h"

enum sar_similarity {
    SAR_SHRUNK_COSINE,
    SAR_JACCARD,
    SAR_COSINE,
    SAR_COOCCURRENCE,
    SAR_LIFT,
    SAR_INCLUSION,
    SAR_MUTUAL_INFORMATION,
    SAR_LEXICOGRAPHERS_MI,
};

struct sar_options {
    bool parity;                    /* exact Microsoft SAR: whole histories, similarity of an item with itself counts */
    enum sar_similarity similarity; /* at query time; may change between starts */
    span_ms half_life;              /* of affinity; 0 = no decay. Shapes the state */
    uint32_t threshold;             /* >= 1; counts below it are 0, n_i included. Query time */
    uint32_t window;                /* pairs at most this many places apart; 0 = all. Shapes the state */
    uint32_t score_last;            /* newest items that count in a score; 0 = all. Query time */
    uint32_t neighbours_max;        /* entries kept per row; 0 = all. Shapes the state */
    double recency;                 /* (0, 1]; weight of the next older item; 1 = off. Query time */
};

#endif
