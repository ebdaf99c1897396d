/*
 * quality.h -- how good each model's guesses have been, over the last 10,000 and 100,000 of them.
 *
 *     ring      outcome  outcome  outcome ...          one per event ranked: where each model had the item, and what kind of event
 *                  '-- leaves the long window      '-- enters both
 *     tallies   [window][model][kind][place]           so that no figure needs more than one look at 21 numbers
 *
 * A place is twice the rank among the first ten, since equal scores count half: 1 for rank 0, 2 for rank 1/2 ... 20; 0 is a miss.
 * With r the rank, counted from 0:   hit_rate = mean [r < 10]    ndcg = mean 1 / log2(r + 2)    mrr = mean 1 / (r + 1)
 *
 * A model whose scores say more than an order has a loss too, of each outcome: of log odds the log loss, of weights the squared error,
 * told as log_loss = mean and rmse = sqrt(mean). Losses are kept in whole parts of 2^-16, at most LOSS_MOST: so what enters a sum leaves
 * it to the last bit, and a restart finds the same.
 *
 * The ring, and each model's drift detector, are part of the checkpoint (TABLE_QUALITY), so that a restart changes nothing. A model
 * that is new has no place in outcomes from before it ran.
 *
 * Thread: engine.
 */
#ifndef FR_QUALITY_H
#define FR_QUALITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/bytes.h"
#include "freshet/engine.h"
#include "freshet/journal.h"
#include "freshet/model.h"

enum { QUALITY_MODELS = ENGINE_MODELS_MAX + 1, QUALITY_RANKS = 10, QUALITY_PLACES = 2 * QUALITY_RANKS + 1, PLACE_UNKNOWN = 255 };
/* Kinds of events, as bits. */
enum { KIND_NEW_ITEM = 1, KIND_COLD_USER = 2, KIND_HEAD = 4, KIND_TAIL = 8 };

struct quality;
/* Makes all series. `names` are borrowed; the one at `answering` is what the others are compared with. `units`: of the models' scores. */
struct quality *quality_new(const char *const *names, const enum score_unit *units, size_t len, size_t answering);
void quality_free(struct quality *quality);
/* places[m] and losses[m] of each model, PLACE_UNKNOWN and LOSS_UNKNOWN where it was not measured. */
void quality_take(struct quality *quality, unsigned kinds, const uint8_t *places, const uint32_t *losses, struct journal *journal);
static inline uint8_t place_of_rank(double rank)
{
    return rank < QUALITY_RANKS ? (uint8_t)(2 * rank) + 1 : 0;
}

#define LOSS_MOST (UINT32_MAX - 1)
#define LOSS_UNKNOWN UINT32_MAX
static inline uint32_t loss_of_real(double loss) /* >= 0; no number is as bad as can be */
{
    return loss < LOSS_MOST / 65536. ? (uint32_t)(loss * 65536 + .5) : LOSS_MOST;
}

/* The checkpoint. Column QUALITY_OTHERS and those behind it, of row 0, are the caller's. */
enum { QUALITY_OTHERS = 100 };
void quality_save(struct quality *quality, struct journal *journal); /* what quality_take has not journaled */
/* Rows ascending. False: cannot be ours. */
bool quality_load(struct quality *quality, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len);
void quality_loaded(struct quality *quality, struct journal *journal); /* once all are */

#endif
