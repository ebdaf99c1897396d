/*
 * ranks.c -- where items stand in the whole list, without making it.
 *
 *     [ a .92 | b .71 | c .71 | d .40 | ... ][ x 31 users | y 17 users | ... ]        the rank of c: 1 before, 1 beside
 *       by score                               no evidence: behind them, by popularity
 *
 * In parity an item without evidence stands at score 0 among the others; where nobody is asked all stand by popularity. The same order
 * as reader_recommend's, but for equal ones, which that sorts by id and this counts: higher ones and equal ones, never by sorting.
 *
 * Thread: each reader its own; the engine's too (evaluate.c).
 */
#include <math.h>

#include "blend.h"
#include "engine_private.h"

/* Could it be listed? */
static bool candidate(const struct reader *reader, const struct choice *choice, uint32_t item)
{
    return reader_allows(reader, choice, item) && users_of(reader->engine, item);
}

/* By how many hold them, itself left out, among those the model has nothing to say of. */
static struct place by_users(const struct reader *reader, const struct choice *choice, const struct scores *scores, uint32_t item)
{
    uint32_t users = users_of(reader->engine, item), before = 0, beside = 0;

    for (uint32_t other = 0; other < reader->items; other++) {
        uint32_t n = users_of(reader->engine, other);
        if (n < users || !n || other == item || (scores && scores_touched(scores, other)) || !reader_allows(reader, choice, other))
            continue;
        before += n > users;
        beside += n == users;
    }
    return (struct place){before, beside};
}

/* By score, itself left out. `zero`: -0.0 stands for 0, else for nothing, which is below all. */
static struct place by_score(const struct reader *reader, const struct choice *choice, const struct scores *scores, double value,
                             bool zero, uint32_t item)
{
    size_t len = scores->dense || zero ? reader->items : scores->touched_len;
    uint32_t before = 0, beside = 0;

    for (size_t i = 0; i < len; i++) {
        uint32_t other = scores->dense || zero ? (uint32_t)i : scores->touched[i];
        double its = scores->value[other];
        if (!(its >= value) || other == item || (!zero && scores_untouched(its)) || !candidate(reader, choice, other))
            continue;
        before += its > value;
        beside += !(its > value);
    }
    return (struct place){before, beside};
}

struct place place_in_list(const struct reader *reader, const struct choice *choice, const struct scores *scores, bool zero, uint32_t item)
{
    if (!scores)
        return by_users(reader, choice, NULL, item);
    if (zero || scores_touched(scores, item))
        return by_score(reader, choice, scores, scores->value[item], zero, item);
    struct place scored = by_score(reader, choice, scores, -INFINITY, false, item);
    struct place behind = by_users(reader, choice, scores, item);
    return (struct place){scored.before + scored.beside + behind.before, behind.beside};
}

/* Scores of all there is evidence for into reader->scores; of the blend's candidates if it is asked. */
static void hear(struct reader *reader, const struct learner *learner, const struct query *query, const struct choice *choice,
                 size_t k)
{
    if (learner == &reader->engine->blended)
        blend_hear(reader, query, choice, k);
    else
        learner->ops->retrieve(learner->model, query, &reader->scores);
}

/* How many may be listed, and how many of them more users hold than each. */
static void count(const struct reader *reader, const struct choice *choice, size_t len, struct rank *ranks)
{
    for (uint32_t item = 0; item < reader->items; item++) {
        if (!candidate(reader, choice, item))
            continue;
        for (size_t i = 0; i < len; i++) {
            ranks[i].candidates += ranks[i].listed;
            ranks[i].above += ranks[i].listed && users_of(reader->engine, item) > ranks[i].users;
        }
    }
}

void reader_ranks(struct reader *reader, const struct ask *ask, const struct fr_bytes *items, size_t len, struct rank *ret_ranks)
{
    struct engine *engine = reader->engine;
    const struct learner *learner = models_find(engine, ask->model);
    struct query query = reader_prepare(reader, ask);
    struct choice choice = reader_filter(reader, ask);
    bool known = reader_knows(&query, learner), zero = known && reader_in_parity(engine, learner);

    reader_mark_seen(reader, ask, &query);
    if (known)
        hear(reader, learner, &query, &choice, ask->k < reader->items ? ask->k : reader->items);
    for (size_t i = 0; i < len; i++) {
        uint32_t item = reader_item_of(reader, items[i]);
        ret_ranks[i] = (struct rank){0};
        if (item == DICT_NONE || !candidate(reader, &choice, item))
            continue;
        const struct place place = place_in_list(reader, &choice, known ? &reader->scores : NULL, zero, item);
        ret_ranks[i].listed = true;
        ret_ranks[i].before = place.before;
        ret_ranks[i].beside = place.beside;
        ret_ranks[i].users = users_of(engine, item);
        ret_ranks[i].scored = scores_touched(&reader->scores, item);
        ret_ranks[i].score = ret_ranks[i].scored ? reader->scores.value[item] : 0;
    }
    count(reader, &choice, len, ret_ranks);
    reader_unmark_all(reader);
}
