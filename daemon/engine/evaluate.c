/*
 * evaluate.c -- prequential quality: test, then train.
 *
 * One in `evaluate_every` first meetings of a user with a history and an item, of positive weight, is ranked before it is learned: are
 * we about to recommend what the user is about to choose? Over the last WINDOW samples, with r the item's rank in the list of 10 (none: a miss):
 *
 *     hit_rate = mean [r <= 10]     ndcg = mean 1 / log2(1 + r)     mrr = mean 1 / r
 *
 * Counting decides what is sampled, so a replay samples alike. It changes no state and is not part of the checkpoint.
 * Thread: engine.
 */
#include <math.h>
#include <stdlib.h>

#include "engine_private.h"

enum { WINDOW = 10000, RANKS = 10 };

struct evaluator {
    struct engine *engine;
    struct reader *reader;
    uint32_t until_next;
    uint8_t rank[WINDOW]; /* 0: a miss */
    uint32_t len, at;
    uint32_t tally[RANKS + 1]; /* of the window, by rank */
    struct fr_series *hit_rate, *ndcg, *mrr;
};

struct evaluator *evaluator_new(struct engine *engine)
{
    const char *model = engine->answering->ops->name;
    struct fr_series *hit_rate = fr_series(FR_M_MODEL_QUALITY, model, "hit_rate_10", "10000");
    struct fr_series *ndcg = fr_series(FR_M_MODEL_QUALITY, model, "ndcg_10", "10000");
    struct fr_series *mrr = fr_series(FR_M_MODEL_QUALITY, model, "mrr_10", "10000");
    struct evaluator *evaluator;

    if (!engine->options.evaluate_every)
        return NULL; /* the series stay at 0 */
    evaluator = fr_zalloc(1, sizeof(*evaluator));
    evaluator->engine = engine;
    evaluator->reader = reader_new(engine);
    evaluator->until_next = engine->options.evaluate_every;
    evaluator->hit_rate = hit_rate;
    evaluator->ndcg = ndcg;
    evaluator->mrr = mrr;
    return evaluator;
}

void evaluator_free(struct evaluator *evaluator)
{
    if (!evaluator)
        return;
    reader_free(evaluator->reader);
    free(evaluator);
}

static void tell(struct evaluator *evaluator)
{
    double hits = 0, ndcg = 0, mrr = 0;

    for (int r = 1; r <= RANKS; r++) {
        hits += evaluator->tally[r];
        ndcg += evaluator->tally[r] / log2(1 + r);
        mrr += (double)evaluator->tally[r] / r;
    }
    fr_gauge(evaluator->hit_rate, hits / evaluator->len);
    fr_gauge(evaluator->ndcg, ndcg / evaluator->len);
    fr_gauge(evaluator->mrr, mrr / evaluator->len);
}

void evaluate(struct evaluator *evaluator, struct fr_bytes user, struct fr_bytes item)
{
    struct recommendation_list list;
    uint8_t rank = 0;

    if (--evaluator->until_next)
        return;
    evaluator->until_next = evaluator->engine->options.evaluate_every;
    reader_begin(evaluator->reader);
    reader_recommend(evaluator->reader, &(struct ask){.user = user, .k = RANKS}, &list);
    for (size_t i = 0; i < list.len && !rank; i++)
        if (fr_bytes_equal(list.items[i].item, item))
            rank = (uint8_t)(i + 1);
    reader_end(evaluator->reader);
    if (evaluator->len == WINDOW)
        evaluator->tally[evaluator->rank[evaluator->at]]--;
    else
        evaluator->len++;
    evaluator->rank[evaluator->at] = rank;
    evaluator->at = (evaluator->at + 1) % WINDOW;
    evaluator->tally[rank]++;
    tell(evaluator);
}
