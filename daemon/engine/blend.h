/*
 * blend.h -- "auto": what all models together recommend.
 *
 *                  sar   fm   trending ...
 *     candidates    *     *      *         each model's best (200 to 300 of those that speak of the user, 50 of those that do not; as many
 *                                          as are asked for, if that is more), in one set
 *     a           1.9   0.4    -.2         how far each is above that model's mean over the candidates, in standard deviations
 *     b           -.1   1.1    0.3
 *                  x     x      x
 *     weights     .65   .35    .05         what has found the next choices of users so far
 *                 ---------------------
 *                  = the score; `source` is the model whose part of it is the largest
 *
 * A model that says the same of all candidates, or as good as that, has no say in their order, and learns nothing of a choice among them.
 *
 * Mean and deviation are taken over the whole set, whoever has brought an item: a model is asked for its best first, and then for
 * its score of each candidate (model_ops.score), which is the one that a scan of everything would have given. So no model is
 * asked about all items, and those that find their best without looking at everything may.
 *
 * Weights are learned online from the events that are ranked before they are learned (evaluate.c): the choice against the other
 * candidates, one step of AdaGrad up the log likelihood of a softmax over them. They never leave [0, WEIGHT_MOST], and are part of the
 * checkpoint. Where they begin was chosen on first events of streams: ops/docs/evaluation.md.
 */
#ifndef FR_BLEND_H
#define FR_BLEND_H

#include "engine_private.h"

struct blend;

struct blend *blend_new(struct engine *engine);
void blend_free(struct blend *blend);
/* A name and no more. */
const struct model_ops *blend_ops(const struct blend *blend);
/* Weight of learner `m` as of now. Thread: any. */
double blend_weight(const struct blend *blend, size_t m);

/* What the models say of the candidates; in the reader's arena. */
struct ballot {
    uint32_t *items;
    size_t len, models;
    double *z;     /* [models][len] */
    double *score; /* [len] */
    struct yardstick { /* how a model's word counts: weight * (value - mean) * factor; of no value, `nothing`. factor 0: it says the same of all */
        double weight, nothing, mean, factor;
    } *by; /* [models]; all 0 if there are no candidates */
};
/*
 * In this order; marks and history are set, k are asked for (0: who learns asks for none). Each model's best are put into the set as they
 * were heard, then all are counted; scores end in reader->scores too. Thread: each reader its own.
 */
struct ballot blend_begin(struct reader *reader, const struct choice *choice, size_t k);
uint32_t blend_quota(const struct blend *blend, size_t m, size_t k); /* how many of the best model `m` brings */
void blend_nominate(struct reader *reader, const struct choice *choice, size_t m, size_t k, const struct scores *scores,
                    struct ballot *ballot);
void blend_count(struct reader *reader, const struct query *query, struct ballot *ballot);
/* All of it. */
struct ballot blend_hear(struct reader *reader, const struct query *query, const struct choice *choice, size_t k);
/* What model `m` says of these items once all is counted, whether they are candidates or not; -0.0: nothing. */
void blend_values(struct reader *reader, const struct query *query, size_t m, const uint32_t *items, size_t len, double *values);
/* What model `m` adds to the score of an item of which it says `value` (-0.0: nothing): of a candidate the very number counted, of
 * others what it would be. */
double blend_share(const struct ballot *ballot, size_t m, double value);
/* Hears, and picks the k best; sources[i] goes with room[i]. Returns how many. */
size_t blend_pick(struct reader *reader, const struct query *query, const struct choice *choice, size_t k, struct fr_ranked *room,
                  const struct learner **sources);

/* ranks.c: scores of all there is evidence for into reader->scores; of the blend's candidates if it is asked, and then their ballot. */
struct ballot ranks_hear(struct reader *reader, const struct learner *learner, const struct query *query, const struct choice *choice,
                         size_t k);

/* The item was chosen. Thread: engine. */
void blend_learn(struct blend *blend, const struct ballot *ballot, uint32_t item);

/* The checkpoint: one cell of TABLE_QUALITY. */
void blend_save(struct blend *blend, struct journal *journal);
bool blend_load(struct blend *blend, struct fr_bytes cell);

#endif
