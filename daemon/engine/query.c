/*
 * query.c -- readers, and what to recommend.
 *
 *     the user's history (a private copy) + seeds --model--> a score for every item with evidence
 *        - seen, seeds, excluded, not included            marks
 *        - those that nobody holds                        unless the catalogue knows them and the model has a score of them
 *        k best by score, equal scores by item id          topk
 *        + fill: parity, items without evidence at score 0; product, popular items at score 0 behind them
 *        in this order, or as arrange.c puts them
 *
 * as_of is noted before anything is read, so that an answer has seen at least what it says.
 * Thread: each reader its own.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "arrange.h"
#include "blend.h"
#include "engine_private.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { REASONS_MAX = 10, BEST_MOST = 1000 };

/* ---- readers ---- */

struct reader *reader_new(struct engine *engine)
{
    struct reader *reader = fr_zalloc(1, sizeof(*reader));

    reader->engine = engine;
    reader->presence = fr_epoch_join(engine->epoch);
    scores_init(&reader->scores);
    scores_init(&reader->scratch);
    for (size_t m = 0; m < ENGINE_MODELS_MAX; m++)
        scores_init(&reader->heard[m]);
    return reader;
}

void reader_free(struct reader *reader)
{
    if (!reader)
        return;
    fr_epoch_part(reader->presence);
    scores_release(&reader->scores);
    scores_release(&reader->scratch);
    for (size_t m = 0; m < ENGINE_MODELS_MAX; m++)
        scores_release(&reader->heard[m]);
    history_copy_release(&reader->history);
    history_copy_release(&reader->other);
    fr_arena_release(&reader->arena);
    free(reader->marked);
    free(reader);
}

void reader_begin(struct reader *reader)
{
    struct engine *engine = reader->engine;
    uint32_t len = atomic_load_explicit(&engine->partitions_len, memory_order_acquire);

    fr_epoch_enter(reader->presence);
    fr_arena_reset(&reader->arena);
    reader->as_of.positions = reader->positions;
    reader->as_of.positions_len = 0;
    for (uint32_t i = 0; i < len; i++) {
        const struct partition *partition = engine->partitions[i];
        int64_t next = atomic_load_explicit(&partition->next, memory_order_acquire);
        if (next >= 0)
            reader->positions[reader->as_of.positions_len++] = (struct position){partition->topic, partition->number, next};
    }
    when_ms now = atomic_load_explicit(&engine->now, memory_order_acquire);
    reader->as_of.event_time = now < 0 ? 0 : now;
    struct staleness staleness = engine_staleness(engine, fr_wall_ms());
    reader->as_of.staleness_seconds = staleness.seconds;
    reader->as_of.untold = staleness.untold;
    reader->items = dict_len(engine->items);
}

void reader_end(struct reader *reader)
{
    fr_epoch_leave(reader->presence);
}

const struct as_of *reader_as_of(const struct reader *reader)
{
    return &reader->as_of;
}

bool item_before(void *context, uint32_t a, uint32_t b)
{
    const struct reader *reader = context;

    return fr_bytes_order(dict_id(reader->engine->items, a), dict_id(reader->engine->items, b)) < 0;
}

/* ---- selection ---- */

static void offer_touched(struct reader *reader, const struct scores *scores, const struct choice *choice, struct fr_topk *top)
{
    for (uint32_t i = 0; i < scores->touched_len; i++) {
        uint32_t item = scores->touched[i];
        double score = scores->value[item];
        if (fr_topk_wants(top, score) && reader_allows(reader, choice, item) && item_offered(reader, scores, item)) /* read of few */
            fr_topk_take(top, item, score);
    }
}

static void offer_dense(struct reader *reader, const struct scores *scores, const struct choice *choice, struct fr_topk *top)
{
    size_t len = choice->only_included ? choice->included_len : scores->items;

    for (size_t i = 0; i < len; i++) {
        uint32_t item = choice->only_included ? choice->included[i] : (uint32_t)i;
        double score = scores->value[item];
        if (fr_topk_wants(top, score) && scores_touched(scores, item) && item_offered(reader, scores, item) &&
            reader_allows(reader, choice, item))
            fr_topk_take(top, item, score);
    }
}

void reader_offer(struct reader *reader, const struct scores *scores, const struct choice *choice, struct fr_topk *top)
{
    if (scores->dense)
        offer_dense(reader, scores, choice, top);
    else
        offer_touched(reader, scores, choice, top);
}

/* The blend knows what one of its models does. */
static bool knows_context(const struct engine *engine, const struct query *query, const struct learner *learner)
{
    bool blended = learner == &engine->blended, knows = false;

    for (size_t m = 0; blended && m < engine->learners_len && !knows; m++)
        knows = knows_context(engine, query, &engine->learners[m]);
    return knows || (learner->ops->knows && learner->ops->knows(learner->model, query->context, query->context_len));
}

bool reader_knows(const struct engine *engine, const struct query *query, const struct learner *learner)
{
    return query->history.len || query->seeds_len || learner->ops->anybody ||
           (query->context_len && knows_context(engine, query, learner));
}

/* What the model says of the items that may be listed, without a look at all the others. */
static void score_included(struct reader *reader, const struct learner *learner, const struct query *query, const struct choice *choice)
{
    double *values = fr_arena_take(&reader->arena, (choice->included_len + 1) * sizeof(*values));

    learner->ops->score(learner->model, query, choice->included, choice->included_len, values);
    for (size_t i = 0; i < choice->included_len; i++)
        if (!scores_untouched(values[i]))
            scores_add(&reader->scores, choice->included[i], values[i]);
}

const struct scores *reader_hear(struct reader *reader, size_t m, const struct query *query, const struct choice *choice, uint32_t best)
{
    const struct learner *learner = &reader->engine->learners[m];
    struct scores *scores = learner->ops->score ? &reader->scores : &reader->heard[m];
    struct query asked = *query;

    asked.best = learner->ops->score ? best : 0;
    scores_reset(scores, reader->items);
    if (!reader_knows(reader->engine, query, learner))
        return scores;
    if (choice->only_included && learner->ops->score)
        score_included(reader, learner, query, choice);
    else
        learner->ops->retrieve(learner->model, &asked, scores);
    return scores;
}

/* Parity: an item without evidence is a candidate too, at score `zero`. Skipped when k better ones are there. */
static void offer_untouched(struct reader *reader, const struct choice *choice, struct fr_topk *top, double zero)
{
    if (top->len == top->k && top->room[0].score > zero)
        return; /* the worst of the heap stands on top */
    if (choice->only_included) {
        for (size_t i = 0; i < choice->included_len; i++) {
            uint32_t item = choice->included[i];
            if (!scores_touched(&reader->scores, item) && reader_allows(reader, choice, item) &&
                users_of(reader->engine, item))
                fr_topk_offer(top, item, zero);
        }
        return;
    }
    for (uint32_t item = 0; item < reader->items; item++)
        if (!scores_touched(&reader->scores, item) && users_of(reader->engine, item) && fr_topk_wants(top, zero) &&
            !scores_excluded(&reader->scores, item))
            fr_topk_offer(top, item, zero);
}

/*
 * normalize: s' = (s - cmin rmin) / (cmax rmax - cmin rmin) * (rmax - rmin) + rmin, where cmin, cmax are the smallest and largest score of
 * the unit affinities over all items, rmin, rmax the smallest and largest affinity there is (sar_reference.md section 6).
 * An increasing map, so the ranking stays. Where it would not be (nothing is liked, say), or would divide by zero, scores stay as they are.
 */
static struct affine normal_map(struct reader *reader, const struct query *query)
{
    struct engine *engine = reader->engine;
    struct affine same = {0, 1, 0};
    double rmin, rmax, cmin = 0, cmax = 0;
    struct query unit = *query;

    if (!engine->extremes || !query->history.unit || !extremes_at(engine->extremes, query->now, &rmin, &rmax))
        return same;
    unit.unit = true;
    scores_reset(&reader->scratch, reader->items);
    engine->learners[0].ops->retrieve(engine->learners[0].model, &unit, &reader->scratch);
    const struct scores *counts = &reader->scratch;
    for (uint32_t i = 0; i < counts->touched_len; i++) {
        double value = counts->value[counts->touched[i]];
        cmin = i == 0 || value < cmin ? value : cmin;
        cmax = i == 0 || value > cmax ? value : cmax;
    }
    if (counts->touched_len < atomic_load_explicit(&engine->items_held, memory_order_relaxed)) {
        cmin = cmin < 0 ? cmin : 0;
        cmax = cmax > 0 ? cmax : 0;
    }
    double span = cmax * rmax - cmin * rmin;
    return !(span > 0) ? same : (struct affine){cmin * rmin, (rmax - rmin) / span, rmin};
}

struct affine reader_normal_map(struct reader *reader, const struct learner *learner, const struct query *query)
{
    const struct engine *engine = reader->engine;
    bool wanted = engine->options.normalize && reader_in_parity(engine, learner) && query->history.len;

    return wanted ? normal_map(reader, query) : (struct affine){0, 1, 0};
}

static double normal(const struct affine *map, double score)
{
    return (score - map->shift) * map->scale + map->base;
}

/* ---- recommend ---- */

static size_t resolve_seeds(struct reader *reader, const struct ask *ask, struct seed *seeds, when_ms now)
{
    size_t len = 0;

    for (size_t i = 0; i < ask->seeds_len; i++) {
        uint32_t item = reader_item_of(reader, ask->seeds[i].item);
        if (item == DICT_NONE)
            continue;
        seeds[len++] = (struct seed){
            .item = item,
            .weight = ask->seeds[i].weight == 0 ? 1 : ask->seeds[i].weight,
            .when = ask->seeds[i].when == 0 ? now : ask->seeds[i].when,
        };
    }
    return len;
}

static const struct why *explain(struct reader *reader, const struct learner *learner, const struct query *query, uint32_t item,
                                 size_t *ret_len)
{
    struct reason_part parts[REASONS_MAX];
    struct why *reasons;

    *ret_len = 0;
    if (!learner->ops->explain)
        return NULL;
    size_t len = learner->ops->explain(learner->model, query, item, &reader->scratch, parts, REASONS_MAX);
    reasons = fr_arena_take(&reader->arena, (len + 1) * sizeof(*reasons));
    for (size_t i = 0; i < len; i++) {
        struct fr_bytes id = dict_id(reader->engine->items, parts[i].item);
        if (id.len) /* one that is being forgotten has none */
            reasons[(*ret_len)++] = (struct why){.item = id, .contribution = parts[i].contribution};
    }
    return reasons;
}

struct query reader_prepare(struct reader *reader, const struct ask *ask)
{
    struct engine *engine = reader->engine;
    uint32_t user = ask->user.len ? dict_find(engine->users, ask->user, dict_hash(ask->user)) : DICT_NONE;
    struct seed *seeds = fr_arena_take(&reader->arena, (ask->seeds_len + 1) * sizeof(*seeds));
    struct query query = {
        .seeds = seeds,
        .user_id = ask->user,
        .now = atomic_load_explicit(&engine->now, memory_order_acquire),
        .items = reader->items,
    };

    scores_reset(&reader->scores, reader->items);
    query.seeds_len = resolve_seeds(reader, ask, seeds, query.now);
    query.context = features_joined(engine->catalogue, user, ask->context, ask->context_len,
                                    fr_arena_take(&reader->arena, FEATURES_MAX * sizeof(*query.context)), &query.context_len);
    if (user != DICT_NONE) {
        histories_copy(engine->histories, user, &reader->history);
        query.history = reader->history.view;
    }
    return query;
}

bool reader_in_parity(const struct engine *engine, const struct learner *learner)
{
    return learner == &engine->learners[0] && engine->options.sar.parity;
}

size_t reader_best(struct reader *reader, const struct choice *choice, bool parity, struct fr_ranked *room, size_t k)
{
    struct fr_topk top;

    fr_topk_init(&top, room, k, item_before, reader);
    reader_offer(reader, &reader->scores, choice, &top);
    if (parity)
        offer_untouched(reader, choice, &top, 0);
    fr_topk_finish(&top);
    return top.len;
}

static size_t pick(struct reader *reader, const struct learner *learner, struct query *query, const struct choice *choice,
                   struct fr_ranked *room, size_t k)
{
    bool parity = reader_in_parity(reader->engine, learner), few = !choice->only_included && !parity && k <= BEST_MOST;

    query->best = few ? (uint32_t)k : 0;
    if (choice->only_included && learner->ops->score)
        score_included(reader, learner, query, choice);
    else
        learner->ops->retrieve(learner->model, query, &reader->scores);
    struct affine map = reader_normal_map(reader, learner, query);
    size_t len = reader_best(reader, choice, parity, room, k);
    for (size_t i = 0; i < len; i++)
        room[i].score = normal(&map, room[i].score);
    return len;
}

void reader_mark_seen(struct reader *reader, const struct ask *ask, const struct query *query)
{
    for (size_t i = 0; i < query->seeds_len; i++)
        reader_mark(reader, query->seeds[i].item, SCORES_EXCLUDED);
    for (uint32_t i = 0; i < query->history.len && !ask->include_seen; i++)
        reader_mark(reader, query->history.item[i], SCORES_EXCLUDED);
}

/* What is asked of whom: what reader_pick repeats. */
struct asking {
    const struct learner *learner;
    struct query *query;
    const struct choice *choice;
};

/* The k best of who answers, each with who has brought it. */
static struct picks pick_best(struct reader *reader, const void *context, size_t k)
{
    const struct asking *asking = context;
    const struct engine *engine = reader->engine;
    struct picks picks = {.at = fr_arena_take(&reader->arena, (k + 1) * sizeof(*picks.at)),
                          .sources = fr_arena_take(&reader->arena, (k + 1) * sizeof(*picks.sources))};

    scores_reset(&reader->scores, reader->items);
    for (size_t i = 0; i < k; i++)
        picks.sources[i] = asking->learner;
    if (!reader_knows(engine, asking->query, asking->learner))
        return picks;
    picks.len = asking->learner == &engine->blended
                    ? blend_pick(reader, asking->query, asking->choice, k, picks.at, picks.sources)
                    : pick(reader, asking->learner, asking->query, asking->choice, picks.at, k);
    return picks;
}

/* What was forgotten since the question began has no id any more, and is left out. *ret_best: so many of them are of the best. */
static struct recommended *list_of(struct reader *reader, const struct ask *ask, const struct query *query, const struct picks *best,
                                   const struct picks *fill, size_t *ret_len, size_t *ret_best)
{
    struct recommended *items = fr_arena_take(&reader->arena, (best->len + fill->len + 1) * sizeof(*items));
    size_t len = 0;

    for (size_t i = 0; i < best->len; i++) {
        struct fr_bytes id = dict_id(reader->engine->items, best->at[i].id);
        if (!id.len)
            continue;
        struct recommended *one = &items[len++];
        *one = (struct recommended){.item = id, .score = best->at[i].score, .source = best->sources[i]->ops->name};
        if (best->propensities)
            one->propensity = best->propensities[i];
        if (ask->explain)
            one->reasons = explain(reader, best->sources[i], query, best->at[i].id, &one->reasons_len);
    }
    *ret_best = len;
    for (size_t i = 0; i < fill->len; i++) {
        struct fr_bytes id = dict_id(reader->engine->items, fill->at[i].id);
        if (id.len)
            items[len++] = (struct recommended){
                .item = id, .source = "popular", .propensity = fill->propensities ? fill->propensities[i] : 0};
    }
    *ret_len = len;
    return items;
}

/* What the drawing hangs on: a history that is another has other items, or other times of their last events, or more of these. */
static uint64_t draw_of(const struct ask *ask, const struct history *history)
{
    uint64_t draw = ask->draw;

    if (!ask->draw_by_history || !(ask->exploration > 0) || !history->len)
        return draw;
    draw = XXH3_64bits_withSeed(history->stamp, history->len * sizeof(*history->stamp), draw);
    return XXH3_64bits_withSeed(history->item, history->len * sizeof(*history->item), draw);
}

void reader_recommend(struct reader *reader, const struct ask *ask, struct recommendation_list *ret_list)
{
    struct engine *engine = reader->engine;
    const struct learner *learner = models_find(engine, ask->model);
    struct query query = reader_prepare(reader, ask);
    struct choice choice = reader_filter(reader, ask);
    size_t k = ask->k < reader->items ? ask->k : reader->items;
    struct picks best, fill = {0};
    struct caps caps;
    struct arrangement arrangement;
    struct ask drawn = *ask;

    drawn.draw = draw_of(ask, &query.history);
    caps_init(&caps, reader, ask->max_per_category);
    arrange_init(&arrangement, reader, &caps, &drawn, k);
    reader_mark_seen(reader, ask, &query);
    const struct asking asking = {learner, &query, &choice};
    best = arrange_asked(ask) ? arrange(&arrangement, pick_best, &asking) : reader_pick(reader, &caps, k, pick_best, &asking);
    if (best.len < k && !(reader_knows(engine, &query, learner) && reader_in_parity(engine, learner)))
        fill = arrange_asked(ask) ? arrange(&arrangement, popular_best, &choice)
                                  : reader_pick(reader, &caps, k - best.len, popular_best, &choice);
    size_t len, of_best;
    const struct recommended *items = list_of(reader, ask, &query, &best, &fill, &len, &of_best);
    reader_unmark_all(reader);
    *ret_list = (struct recommendation_list){items, len, learner->ops->name, len > of_best};
}
