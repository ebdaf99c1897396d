/*
 * evaluate.c -- prequential quality: test, then train.
 *
 * One in `evaluate_every` first meetings of a user and an item, of positive weight, is ranked by every model before any of them
 * learns it: are we about to recommend what the user is about to choose? The rank is that in the list the model would answer with, over
 * all items somebody holds but the user's own (ranks.c), equal scores counting half. Only the first ten matter, so models are asked for
 * their best alone: one that finds candidates first (NCF by its product, FM by bytes in a large catalogue) ranks the item among
 * these, as it does for users, and an item that is not found is a miss, as it is for them. Items a model knows nothing of stand
 * behind the others, by popularity, as in its answers; an item that nobody holds is a miss,
 * but of a model that has a score for it by what the catalogue says.
 *
 * What estimates miss is counted on one in RECALL_EVERY of these events, by a scan of everything.
 *
 * A model whose scores are log odds or weights is also held to those: quality.h.
 *
 * What is sampled hangs on the event's place in the log, and models publish before they are asked here: so figures, windows and the
 * blend's weights follow from the log alone, whenever the engine may have been stopped in between.
 *
 * Thread: engine.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <math.h>
#include <stdlib.h>

#include "blend.h"
#include "engine_private.h"
#include "quality.h"

enum { COLD_EVENTS = 5, RECALL_EVERY = 16 };

static const struct choice everything = {0};

struct evaluator {
    struct engine *engine;
    struct reader *reader;
    struct quality *quality;
    struct {
        struct fr_series *expected, *found; /* of learners that estimate */
    } recall[ENGINE_MODELS_MAX];
};

struct evaluator *evaluator_new(struct engine *engine)
{
    struct evaluator *evaluator = fr_zalloc(1, sizeof(*evaluator));
    const char *names[QUALITY_MODELS];
    enum score_unit units[QUALITY_MODELS];
    size_t len = 0, answering = 0;

    for (const char *name; (name = engine_model(engine, len)); len++) {
        names[len] = name;
        units[len] = engine_model_unit(engine, name);
        if (strcmp(name, engine->answering->ops->name) == 0)
            answering = len;
    }
    evaluator->engine = engine;
    evaluator->reader = reader_new(engine);
    evaluator->quality = quality_new(names, units, len, answering);
    for (size_t m = 0; m < engine->learners_len; m++) {
        const struct model_ops *ops = engine->learners[m].ops;
        evaluator->recall[m].expected = ops->estimates ? fr_series(FR_M_RETRIEVAL_EXPECTED, ops->name, "", "") : NULL;
        evaluator->recall[m].found = ops->estimates ? fr_series(FR_M_RETRIEVAL_FOUND, ops->name, "", "") : NULL;
    }
    return evaluator;
}

void evaluator_free(struct evaluator *evaluator)
{
    if (!evaluator)
        return;
    reader_free(evaluator->reader);
    quality_free(evaluator->quality);
    free(evaluator);
}

/* ---- ranks ---- */

/* Only the first ten matter; equal scores count half. */
static uint8_t place_number(const struct evaluator *evaluator, const struct scores *scores, bool zero, uint32_t item)
{
    if (!item_offered(evaluator->reader, scores, item))
        return 0;
    const struct place place = place_in_list(evaluator->reader, &everything, scores, zero, item);

    return place_of_rank(place.before + place.beside / 2.);
}

/*
 * Of a model that estimates: how many of the ten that are truly best are in the answer to a question for ten? Equal scores count as found.
 * Here and not where users ask, since a scan of everything would make one of them wait, and the engine's thread has it for few events.
 */
static void recall_measure(struct evaluator *evaluator, size_t m, const struct query *query)
{
    struct reader *reader = evaluator->reader;
    const struct learner *learner = &evaluator->engine->learners[m];
    struct fr_ranked best[QUALITY_RANKS], given[QUALITY_RANKS];
    struct fr_topk exact, answer;
    uint64_t found = 0;

    if (!reader_knows(evaluator->engine, query, learner) || !learner->ops->estimates(learner->model, reader->items, QUALITY_RANKS))
        return;
    fr_topk_init(&exact, best, QUALITY_RANKS, item_before, reader);
    fr_topk_init(&answer, given, QUALITY_RANKS, item_before, reader);
    reader_offer(reader, reader_hear(reader, m, query, &everything, QUALITY_RANKS), &everything, &answer);
    reader_offer(reader, reader_hear(reader, m, query, &everything, 0), &everything, &exact);
    fr_topk_finish(&exact);
    for (size_t i = 0; i < answer.len; i++)
        found += exact.len && given[i].score >= best[exact.len - 1].score;
    fr_count(evaluator->recall[m].expected, exact.len);
    fr_count(evaluator->recall[m].found, found);
}

/* ---- losses ---- */

/* n_i of all items: plain numbers to the thread that writes them, so that loops over them may be vectors. */
static const uint32_t *users_of_all(const struct engine *engine)
{
    return (const uint32_t *)engine->item_users.base;
}

static double log_loss(double log_odds, bool is)
{
    double against = is ? -log_odds : log_odds;

    return against > 0 ? against + log1p(exp(-against)) : log1p(exp(against));
}

/* The choice and `beside` others, as many as the model draws when it learns, any that somebody holds: so the share is that which its
 * odds are of. Returns how many in all. */
static size_t draw_beside(const struct evaluator *evaluator, const struct touch *touch, uint32_t beside, uint32_t *items)
{
    const uint32_t *users = users_of_all(evaluator->engine);
    size_t len = 0;

    items[len++] = touch->item;
    for (uint32_t n = 0; n < beside; n++) {
        const uint64_t key[2] = {touch->draw, n};
        uint32_t item = (uint32_t)(XXH3_64bits(key, sizeof(key)) % evaluator->reader->items);
        items[len] = item;
        len += item != touch->item && users[item];
    }
    return len;
}

static uint32_t loss_of(const struct evaluator *evaluator, const struct learner *learner, const struct query *query,
                        const struct touch *touch)
{
    uint32_t items[1 + BESIDE_MAX], beside = 0;
    enum score_unit unit = models_unit(learner, &beside);
    double values[1 + BESIDE_MAX], sum = 0, len = 0;

    if (unit == SCORE_ORDERS || !reader_knows(evaluator->engine, query, learner))
        return LOSS_UNKNOWN;
    size_t items_len = draw_beside(evaluator, touch, unit == SCORE_LOG_ODDS ? beside : 0, items);
    learner->ops->score(learner->model, query, items, items_len, values);
    if (scores_untouched(values[0]))
        return LOSS_UNKNOWN;
    if (unit == SCORE_WEIGHT)
        return loss_of_real((values[0] - touch->weight) * (values[0] - touch->weight));
    for (size_t i = 0; i < items_len; i++) {
        if (scores_untouched(values[i]))
            continue;
        sum += log_loss(values[i], i == 0);
        len++;
    }
    return loss_of_real(sum / len);
}

/* ---- one event ---- */

/* What is sampled goes by this: the event's place in the log. */
static uint64_t hash_of(const struct touch *touch)
{
    return touch->draw * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

static unsigned kinds_of(const struct evaluator *evaluator, const struct touch *touch)
{
    const struct engine *engine = evaluator->engine;
    const uint32_t *users_all = users_of_all(engine);
    uint32_t users = users_all[touch->item], above = 0;
    unsigned kinds = histories_events(engine->histories, touch->user) < COLD_EVENTS ? KIND_COLD_USER : 0;

    if (!users)
        return kinds | KIND_NEW_ITEM;
    for (uint32_t item = 0; item < evaluator->reader->items; item++)
        above += users_all[item] > users;
    return kinds | (item_is_head(above, engine->items_held) ? KIND_HEAD : KIND_TAIL);
}

static void rank_by_all(struct evaluator *evaluator, const struct touch *touch, uint8_t *places, uint32_t *losses)
{
    struct engine *engine = evaluator->engine;
    struct reader *reader = evaluator->reader;
    const struct query query = {
        .history = touch->history,
        .context = touch->context,
        .context_len = touch->context_len,
        .user_id = touch->user_id,
        .now = atomic_load_explicit(&engine->now, memory_order_relaxed),
        .items = reader->items,
    };

    scores_reset(&reader->scores, reader->items);
    for (uint32_t i = 0; i < query.history.len; i++)
        reader_mark(reader, query.history.item[i], SCORES_EXCLUDED);
    struct ballot ballot = {0};
    if (engine->blend)
        ballot = blend_begin(reader, &everything, 0);
    for (size_t m = 0; m < engine->learners_len; m++) {
        bool known = reader_knows(engine, &query, &engine->learners[m]), zero = m == 0 && engine->options.sar.parity;
        uint32_t best = engine->blend ? blend_quota(engine->blend, m, QUALITY_RANKS) : QUALITY_RANKS;
        const struct scores *scores = reader_hear(reader, m, &query, &everything, best);
        places[m] = place_number(evaluator, known ? scores : NULL, zero, touch->item);
        if (engine->blend)
            blend_nominate(reader, &everything, m, 0, scores, &ballot);
        losses[m] = loss_of(evaluator, &engine->learners[m], &query, touch);
    }
    if (engine->blend) {
        bool known = reader_knows(engine, &query, &engine->blended);
        blend_count(reader, &query, &ballot);
        places[engine->learners_len] = place_number(evaluator, known ? &reader->scores : NULL, false, touch->item);
        if (known)
            blend_learn(engine->blend, &ballot, touch->item);
    }
    for (size_t m = 0; m < engine->learners_len; m++)
        if (engine->learners[m].ops->estimates && hash_of(touch) / engine->options.evaluate_every % RECALL_EVERY == 0)
            recall_measure(evaluator, m, &query);
    reader_unmark_all(reader);
}

void evaluate(struct evaluator *evaluator, const struct touch *touch)
{
    struct engine *engine = evaluator->engine;
    struct reader *reader = evaluator->reader;
    uint8_t places[QUALITY_MODELS] = {0};
    uint32_t losses[QUALITY_MODELS];

    if (!engine->options.evaluate_every || hash_of(touch) % engine->options.evaluate_every)
        return;
    models_publish(engine);
    fr_epoch_enter(reader->presence);
    fr_arena_reset(&reader->arena);
    reader->items = dict_len(engine->items);
    unsigned kinds = kinds_of(evaluator, touch);
    for (size_t m = 0; m < QUALITY_MODELS; m++)
        losses[m] = LOSS_UNKNOWN;
    if (!(kinds & KIND_NEW_ITEM) || catalogue_item(engine->catalogue, touch->item)) /* else a miss of all */
        rank_by_all(evaluator, touch, places, losses);
    fr_epoch_leave(reader->presence);
    quality_take(evaluator->quality, kinds, places, losses, engine->journal);
}

/* ---- the store ---- */

void evaluator_save(struct evaluator *evaluator)
{
    quality_save(evaluator->quality, evaluator->engine->journal);
    if (evaluator->engine->blend)
        blend_save(evaluator->engine->blend, evaluator->engine->journal);
}

bool evaluator_load(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    struct evaluator *evaluator = context;
    struct blend *blend = evaluator->engine->blend;

    for (size_t i = 0; row == 0 && blend && i < len; i++)
        if (columns[i] == QUALITY_OTHERS && !blend_load(blend, cells[i]))
            return false;
    return quality_load(evaluator->quality, row, columns, cells, len);
}

void evaluator_loaded(struct evaluator *evaluator)
{
    quality_loaded(evaluator->quality, evaluator->engine->journal);
}
