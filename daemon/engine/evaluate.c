/*
 * evaluate.c -- prequential quality: test, then train.
 *
 * One in `evaluate_every` first meetings of a user and an item, of positive weight, is ranked by every model before any of them
 * learns it: are we about to recommend what the user is about to choose? The rank is that of the whole list over all items somebody
 * holds but the user's own, found by counting (higher ones, and half of the equal ones), never by sorting. Items a model knows nothing of
 * stand behind the others, by popularity, as in its answers; an item that nobody holds is a miss.
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

enum { COLD_EVENTS = 5, HEAD_SHARE = 10 };

struct evaluator {
    struct engine *engine;
    struct reader *reader;
    struct quality *quality;
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

/* n_i of all items: plain numbers to the thread that writes them, so that loops over them may be vectors. */
static const uint32_t *users_of_all(const struct engine *engine)
{
    return (const uint32_t *)engine->item_users.base;
}

/* A place in a list of which only the first ten matter. */
struct place {
    double before, beside;
};

static double rank_of(struct place place)
{
    return place.before + place.beside / 2;
}

/* By how many hold them, itself left out, among those the model has nothing to say of (`scores`; NULL: of any). */
static struct place by_users(const struct reader *reader, const struct scores *scores, uint32_t item)
{
    const uint32_t *users_all = users_of_all(reader->engine), users = users_all[item];
    uint32_t before = 0, beside = 0;

    for (uint32_t other = 0; other < reader->items; other++) {
        uint32_t n = users_all[other];
        bool in = n && n >= users && !(reader->scores.mark[other] & SCORES_EXCLUDED) && (!scores || !scores_touched(scores, other));
        before += in && n > users;
        beside += in && n == users;
    }
    return (struct place){before, beside - 1.};
}

/* By score, itself left out. `zero`: -0.0 stands for 0, else for nothing, which is below all. */
static struct place by_score(const struct reader *reader, const struct scores *scores, double value, bool zero)
{
    const uint32_t *users = users_of_all(reader->engine);
    size_t len = scores->dense || zero ? reader->items : scores->touched_len;
    uint32_t before = 0, beside = 0;

    for (size_t i = 0; i < len; i++) {
        uint32_t item = scores->dense || zero ? (uint32_t)i : scores->touched[i];
        double other = scores->value[item];
        bool in = other >= value && (zero || !scores_untouched(other)) && !(reader->scores.mark[item] & SCORES_EXCLUDED) &&
                  users[item];
        before += in && other > value;
        beside += in && !(other > value);
    }
    return (struct place){before, beside - 1.};
}

static double rank_by(const struct evaluator *evaluator, size_t m, const struct query *query, uint32_t item)
{
    const struct reader *reader = evaluator->reader;
    const struct engine *engine = evaluator->engine;
    const struct scores *scores = &reader->heard[m];
    bool zero = m == 0 && engine->options.sar.parity;
    struct place place;

    if (!reader_knows(query, &engine->learners[m])) {
        place = by_users(reader, NULL, item);
    } else if (zero || scores_touched(scores, item)) {
        place = by_score(reader, scores, scores->value[item], zero);
    } else {
        place = (struct place){.before = by_score(reader, scores, -INFINITY, false).before};
        if (place.before < QUALITY_RANKS) { /* else a miss, wherever */
            struct place behind = by_users(reader, scores, item);
            place = (struct place){place.before + behind.before, behind.beside};
        }
    }
    return rank_of(place);
}

/* ---- losses ---- */

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

    if (unit == SCORE_ORDERS || !reader_knows(query, learner))
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

static unsigned kinds_of(const struct evaluator *evaluator, const struct touch *touch)
{
    const struct engine *engine = evaluator->engine;
    const uint32_t *users_all = users_of_all(engine), users = users_all[touch->item];
    uint32_t above = 0;
    unsigned kinds = histories_events(engine->histories, touch->user) < COLD_EVENTS ? KIND_COLD_USER : 0;

    if (!users)
        return kinds | KIND_NEW_ITEM;
    for (uint32_t item = 0; item < evaluator->reader->items; item++)
        above += users_all[item] > users;
    return kinds | (above * HEAD_SHARE < engine->items_held ? KIND_HEAD : KIND_TAIL);
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
    reader_hear_all(reader, &query);
    for (size_t m = 0; m < engine->learners_len; m++) {
        places[m] = place_of_rank(rank_by(evaluator, m, &query, touch->item));
        losses[m] = loss_of(evaluator, &engine->learners[m], &query, touch);
    }
    if (engine->blend) {
        struct ballot ballot = blend_count(reader, &(struct choice){0}, 0);
        bool known = reader_knows(&query, &engine->blended);
        places[engine->learners_len] = place_of_rank(known ? blend_rank(&ballot, touch->item)
                                                           : rank_of(by_users(reader, NULL, touch->item)));
        if (known)
            blend_learn(engine->blend, &ballot, touch->item);
    }
    reader_unmark_all(reader);
}

void evaluate(struct evaluator *evaluator, const struct touch *touch)
{
    struct engine *engine = evaluator->engine;
    struct reader *reader = evaluator->reader;
    uint8_t places[QUALITY_MODELS] = {0};
    uint32_t losses[QUALITY_MODELS];

    if (!engine->options.evaluate_every || (touch->draw * UINT64_C(0x9e3779b97f4a7c15) >> 32) % engine->options.evaluate_every)
        return;
    models_publish(engine);
    fr_epoch_enter(reader->presence);
    fr_arena_reset(&reader->arena);
    reader->items = dict_len(engine->items);
    unsigned kinds = kinds_of(evaluator, touch);
    for (size_t m = 0; m < QUALITY_MODELS; m++)
        losses[m] = LOSS_UNKNOWN;
    if (!(kinds & KIND_NEW_ITEM)) /* else a miss of all */
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
