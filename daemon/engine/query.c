/*
 * query.c -- readers, and what to recommend.
 *
 *     the user's history (a private copy) + seeds --model--> a score for every item with evidence
 *        - seen, seeds, excluded, not included            marks
 *        - those that nobody holds                        a model may still, or always, have a score of them
 *        k best by score, equal scores by item id          topk
 *        + fill: parity, items without evidence at score 0; product, popular items at score 0 behind them
 *
 * as_of is noted before anything is read, so that an answer has seen at least what it says.
 * Thread: each reader its own.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "blend.h"
#include "engine_private.h"

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
    reader->as_of.staleness_seconds = engine_staleness(engine, fr_wall_ms());
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

/* ---- filters ---- */

uint32_t reader_item_of(const struct reader *reader, struct fr_bytes id)
{
    uint32_t item = dict_find(reader->engine->items, id, dict_hash(id));

    return item < reader->items ? item : DICT_NONE; /* one born after reader_begin does not exist yet */
}

void reader_mark(struct reader *reader, uint32_t item, uint8_t bit)
{
    if (item >= reader->items)
        return;
    fr_reserve((void **)&reader->marked, &reader->marked_cap, reader->marked_len + 1, sizeof(*reader->marked));
    reader->marked[reader->marked_len++] = item;
    reader->scores.mark[item] |= bit;
}

void reader_unmark_all(struct reader *reader)
{
    while (reader->marked_len)
        reader->scores.mark[reader->marked[--reader->marked_len]] = 0;
}

struct choice reader_filter(struct reader *reader, const struct ask *ask)
{
    struct choice choice = {.only_included = ask->include_len > 0};
    uint32_t *included = fr_arena_take(&reader->arena, (ask->include_len + 1) * sizeof(*included));

    forgetting_mark(reader);
    for (size_t i = 0; i < ask->exclude_len; i++)
        reader_mark(reader, reader_item_of(reader, ask->exclude[i]), SCORES_EXCLUDED);
    for (size_t i = 0; i < ask->include_len; i++) {
        uint32_t item = reader_item_of(reader, ask->include[i]);
        if (item == DICT_NONE || reader->scores.mark[item] & SCORES_INCLUDED)
            continue;
        reader_mark(reader, item, SCORES_INCLUDED);
        included[choice.included_len++] = item;
    }
    choice.included = included;
    return choice;
}

bool item_before(void *context, uint32_t a, uint32_t b)
{
    const struct reader *reader = context;

    return fr_bytes_order(dict_id(reader->engine->items, a), dict_id(reader->engine->items, b)) < 0;
}

bool reader_allows(const struct reader *reader, const struct choice *choice, uint32_t item)
{
    uint8_t mark = reader->scores.mark[item];

    return !(mark & SCORES_EXCLUDED) && (!choice->only_included || mark & SCORES_INCLUDED);
}

/* ---- selection ---- */

static void offer_touched(struct reader *reader, const struct scores *scores, const struct choice *choice, struct fr_topk *top)
{
    for (uint32_t i = 0; i < scores->touched_len; i++) {
        uint32_t item = scores->touched[i];
        double score = scores->value[item];
        if (fr_topk_wants(top, score) && reader_allows(reader, choice, item) && users_of(reader->engine, item)) /* read of few */
            fr_topk_take(top, item, score);
    }
}

static void offer_dense(struct reader *reader, const struct scores *scores, const struct choice *choice, struct fr_topk *top)
{
    size_t len = choice->only_included ? choice->included_len : scores->items;

    for (size_t i = 0; i < len; i++) {
        uint32_t item = choice->only_included ? choice->included[i] : (uint32_t)i;
        double score = scores->value[item];
        if (fr_topk_wants(top, score) && scores_touched(scores, item) && users_of(reader->engine, item) &&
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

bool reader_knows(const struct query *query, const struct learner *learner)
{
    return query->history.len || query->seeds_len || (query->context_len && learner->ops->context) || learner->ops->anybody;
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
    if (!reader_knows(query, learner))
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
        if (!scores_touched(&reader->scores, item) && !(reader->scores.mark[item] & SCORES_EXCLUDED) &&
            users_of(reader->engine, item))
            fr_topk_offer(top, item, zero);
}

/*
 * normalize: s' = (s - cmin rmin) / (cmax rmax - cmin rmin) * (rmax - rmin) + rmin, where cmin, cmax are the smallest and largest score of
 * the unit affinities over all items, rmin, rmax the smallest and largest affinity there is (sar_reference.md section 6).
 * An increasing map, so the ranking stays. Where it would divide by zero, scores stay as they are.
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
    return span == 0 ? same : (struct affine){cmin * rmin, (rmax - rmin) / span, rmin};
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
        .context = ask->context,
        .context_len = ask->context_len,
        .user_id = ask->user,
        .now = atomic_load_explicit(&engine->now, memory_order_acquire),
        .items = reader->items,
    };

    scores_reset(&reader->scores, reader->items);
    query.seeds_len = resolve_seeds(reader, ask, seeds, query.now);
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

static size_t pick(struct reader *reader, const struct learner *learner, struct query *query, const struct choice *choice,
                   struct fr_ranked *room, size_t k)
{
    struct engine *engine = reader->engine;
    struct fr_topk top;

    if (!choice->only_included && !reader_in_parity(engine, learner) && k <= BEST_MOST)
        query->best = (uint32_t)k;
    fr_topk_init(&top, room, k, item_before, reader);
    if (choice->only_included && learner->ops->score)
        score_included(reader, learner, query, choice);
    else
        learner->ops->retrieve(learner->model, query, &reader->scores);
    struct affine map = reader_normal_map(reader, learner, query);
    reader_offer(reader, &reader->scores, choice, &top);
    if (reader_in_parity(engine, learner))
        offer_untouched(reader, choice, &top, 0);
    fr_topk_finish(&top);
    for (size_t i = 0; i < top.len; i++)
        room[i].score = normal(&map, room[i].score);
    return top.len;
}

void reader_mark_seen(struct reader *reader, const struct ask *ask, const struct query *query)
{
    for (size_t i = 0; i < query->seeds_len; i++)
        reader_mark(reader, query->seeds[i].item, SCORES_EXCLUDED);
    for (uint32_t i = 0; i < query->history.len && !ask->include_seen; i++)
        reader_mark(reader, query->history.item[i], SCORES_EXCLUDED);
}

/* The k best of who answers; sources[i], if it is not NULL, is who has brought room[i]. */
static size_t pick_best(struct reader *reader, const struct learner *learner, struct query *query, const struct choice *choice,
                        struct fr_ranked *room, const struct learner **sources, size_t k)
{
    for (size_t i = 0; i < k; i++)
        sources[i] = learner;
    if (!reader_knows(query, learner))
        return 0;
    return learner == &reader->engine->blended ? blend_pick(reader, query, choice, k, room, sources)
                                               : pick(reader, learner, query, choice, room, k);
}

void reader_recommend(struct reader *reader, const struct ask *ask, struct recommendation_list *ret_list)
{
    struct engine *engine = reader->engine;
    const struct learner *learner = models_find(engine, ask->model);
    struct query query = reader_prepare(reader, ask);
    struct choice choice = reader_filter(reader, ask);
    size_t k = ask->k < reader->items ? ask->k : reader->items, filled = 0;
    struct fr_ranked *room = fr_arena_take(&reader->arena, (k + 1) * sizeof(*room));
    struct recommended *items = fr_arena_take(&reader->arena, (k + 1) * sizeof(*items));
    const struct learner **sources = fr_arena_take(&reader->arena, (k + 1) * sizeof(*sources));

    reader_mark_seen(reader, ask, &query);
    size_t len = pick_best(reader, learner, &query, &choice, room, sources, k);
    if (len < k && !(reader_knows(&query, learner) && reader_in_parity(engine, learner)))
        filled = popular_pick(reader, &choice, k - len, room + len);
    for (size_t i = 0; i < len + filled; i++) {
        items[i] = (struct recommended){
            .item = dict_id(engine->items, room[i].id),
            .score = i < len ? room[i].score : 0,
            .source = i < len ? sources[i]->ops->name : "popular",
        };
        if (ask->explain && i < len)
            items[i].reasons = explain(reader, sources[i], &query, room[i].id, &items[i].reasons_len);
    }
    reader_unmark_all(reader);
    *ret_list = (struct recommendation_list){items, len + filled, learner->ops->name, filled > 0};
}
