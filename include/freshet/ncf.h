/*
 * ncf.h -- the options of the neural model that learns online: NeuMF, with a history where others have a user's row.
 *
 *     score(u, j) = b + sum_f w_f a_f c_jf  +  <v, MLP([p; q_j])>         a, p: the user's history, in two tables
 *                                                                         c_j, q_j: the item's own rows
 *
 * See ncf.c for what is learned of an event, and algorithms.md 4 for where the numbers come from.
 */
#ifndef FR_NCF_H
#define FR_NCF_H

#include <stdint.h>

enum { NCF_LAYERS = 3, NCF_WIDTH_MAX = 128, NCF_NEGATIVES_MAX = 64, NCF_HISTORY_MAX = 64, NCF_CANDIDATES_MAX = 100000 };

struct ncf_options {
    uint32_t gmf;                /* numbers per row for the product; this and the next two: 16 .. 128, */
    uint32_t mlp;                /* multiples of 16, shape the state. Numbers per row for the layers, */
    uint32_t layers[NCF_LAYERS]; /* and how wide each of these is */
    uint32_t negatives;          /* per event, 1 .. 64 */
    uint32_t history;            /* newest items that count, 1 .. 64 */
    double recency;              /* (0, 1]; weight of the next older item */
    double eta;                  /* learning rate of rows */
    double rho;                  /* (0, 1]; what a row's accumulator keeps at each update */
    double g0;                   /* > 0; where it begins */
    double deviation;            /* of the numbers a new item begins with */
    uint32_t batch;              /* examples for one step of the layers, >= 1 */
    double rate;                 /* of the layers' steps */
    double beta1, beta2;         /* [0, 1); what their moments keep */
    double epsilon;              /* > 0 */
    uint32_t candidates;         /* when only the best matter: items that the product finds for the layers; 0: all */
    uint64_t seed;               /* of all draws, and of what the layers begin with */
};

extern const struct ncf_options ncf_defaults;

#endif
