/*
 * fm.h -- the options of the factorization machine that learns online.
 *
 *     score(u, j) = constant + b_j + <U, I_j>         U = sum over the last items of the history  x_h V_h
 *                                                       + sum over the context's features         V_f
 *                                                     I_j = v_j + sum over the item's features      V_f / sqrt(n)
 *
 * See fm.c for what is learned of an event, and algorithms.md 3 for where the numbers come from.
 */
#ifndef FR_FM_H
#define FR_FM_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/clock.h"

enum fm_loss {
    FM_SOFTMAX,  /* the item of an event against negatives, one of them must have been it. Scores have no unit */
    FM_LOGISTIC, /* each for itself: it or not. Scores are log odds, as the share of negatives makes them */
    FM_SQUARED,  /* weights are ratings, scores predict them; no negatives */
};

enum { FM_DIMENSIONS_MAX = 256, FM_NEGATIVES_MAX = 256, FM_HISTORY_MAX = 64, FM_CONTEXT_MAX = 32 };

struct fm_options {
    uint32_t dimensions;     /* 16 .. 256, a multiple of 16. Shapes the state */
    enum fm_loss loss;       /* shapes the state */
    uint32_t negatives;      /* per event, 1 .. 256 */
    uint32_t history;        /* newest items that count, 1 .. 64 */
    double recency;          /* (0, 1]; weight of the next older item */
    double eta;              /* learning rate */
    double rho;              /* (0, 1]; what an accumulator keeps at each update */
    double g0;               /* > 0; where accumulators begin */
    double deviation;        /* of the numbers a new item begins with */
    double shrink;           /* >= 0; what each step takes off the row it moves, times its learning rate */
    bool user_rows;          /* a row for every user too, among the features */
    bool second_order;       /* the user's features also meet each other; changes scores by one number per question */
    uint64_t seed;           /* of all draws */
    uint32_t features_max;   /* keys that have a row; 0: context is not looked at. Shapes the state */
    uint32_t features_admit; /* uses before a key has one, 1 .. 15. Shapes the state */
    span_ms features_ttl;    /* a row unused for so long is freed; 0: never */
    bool item_features;      /* what is said of items takes part */
    uint32_t int8_above;     /* among more items than these, the best are looked for by bytes first; 0: never */
    uint32_t candidates;     /* that are then ranked exactly, at least, >= 1; and twice as many as are asked for */
};

/* The defaults are for clicks. What ratings and contexts do better with, as chosen on validation parts: ops/docs/evaluation.md. */
extern const struct fm_options fm_defaults;

#endif
