/*
 * ranks.c -- where items stand in the whole list, without making it.
 *
 *     [ a .92 | b .71 | c .71 | d .40 | ... ][ x 31 users | y 17 users | ... ]        the rank of c: 1 before, 1 beside
 *       by score                               no evidence: behind them, by popularity
 *
 * In parity an item without evidence stands at score 0 among the others; where nobody is asked all stand by popularity. The same order
 * as reader_recommend's, which sorts equal ones by id: of those this counts how many there are, never sorting; and, if that is asked, how
 * many of them come first. Only where categories have a bound the list is made after all.
 *
 * Thread: each reader its own; the engine's too (evaluate.c).
 */
#include <math.h>
#include <string.h>

#include "blend.h"
#include "engine_private.h"

bool ranks_candidate(const struct reader *reader, const struct choice *choice, const struct scores *scores, uint32_t item)
{
    return item != DICT_NONE && reader_allows(reader, choice, item) && item_offered(reader, scores, item);
}

/* What others are compared with, and where. */
struct standing {
    const struct reader *reader;
    const struct choice *choice;
    const struct scores *scores; /* NULL: nobody is asked */
    uint32_t item;
    bool zero, ids; /* ids: count also who of those beside comes first */
};

static void meet(const struct standing *standing, uint32_t other, bool before, struct place *place)
{
    place->before += before;
    place->beside += !before;
    if (standing->ids && !before)
        place->ahead += item_before((void *)(uintptr_t)standing->reader, other, standing->item);
}

/* By how many hold them, itself left out, among those the model has nothing to say of. */
static struct place by_users(const struct standing *standing)
{
    const struct reader *reader = standing->reader;
    uint32_t users = users_of(reader->engine, standing->item);
    struct place place = {0};

    for (uint32_t other = 0; other < reader->items; other++) {
        uint32_t n = users_of(reader->engine, other);
        if (n >= users && n && other != standing->item && !(standing->scores && scores_touched(standing->scores, other)) &&
            reader_allows(reader, standing->choice, other))
            meet(standing, other, n > users, &place);
    }
    return place;
}

/* By score, itself left out. `zero`: -0.0 stands for 0, else for nothing, which is below all. */
static struct place by_score(const struct standing *standing, double value)
{
    const struct scores *scores = standing->scores;
    bool all = scores->dense || standing->zero;
    size_t len = all ? standing->reader->items : scores->touched_len;
    struct place place = {0};

    for (size_t i = 0; i < len; i++) {
        uint32_t other = all ? (uint32_t)i : scores->touched[i];
        double its = scores->value[other];
        if (its >= value && other != standing->item && (standing->zero || !scores_untouched(its)) &&
            ranks_candidate(standing->reader, standing->choice, scores, other))
            meet(standing, other, its > value, &place);
    }
    return place;
}

static struct place place_of(const struct standing *standing)
{
    const struct scores *scores = standing->scores;
    struct standing scored = *standing;

    if (!scores)
        return by_users(standing);
    if (standing->zero || scores_touched(scores, standing->item))
        return by_score(standing, scores->value[standing->item]);
    scored.ids = false;
    struct place above = by_score(&scored, -INFINITY), behind = by_users(standing);
    return (struct place){above.before + above.beside + behind.before, behind.beside, behind.ahead};
}

struct place place_in_list(const struct reader *reader, const struct choice *choice, const struct scores *scores, bool zero, uint32_t item)
{
    return place_of(&(struct standing){reader, choice, scores, item, zero, false});
}

void ranks_count(const struct reader *reader, const struct choice *choice, bool parity, const uint32_t *handles, size_t len,
                 struct rank *ranks)
{
    for (size_t i = 0; i < len; i++) {
        if (!ranks[i].listed)
            continue;
        struct place place = place_of(&(struct standing){reader, choice, &reader->scores, handles[i], parity, true});
        ranks[i].before = place.before;
        ranks[i].beside = place.beside;
        ranks[i].ahead = place.ahead;
    }
    for (uint32_t item = 0; item < reader->items; item++) {
        uint32_t users = users_of(reader->engine, item);
        if (!users)
            continue;
        bool candidate = ranks_candidate(reader, choice, &reader->scores, item);
        for (size_t i = 0; i < len; i++) {
            ranks[i].candidates += ranks[i].listed && candidate;
            ranks[i].above += ranks[i].listed && users > ranks[i].users;
            ranks[i].held += ranks[i].listed;
        }
    }
}

/* Who is let in hangs on all who were before: the list is made as far as the item, and walked. */
uint32_t ranks_under_caps(struct reader *reader, const struct choice *choice, bool parity, uint32_t most, uint32_t item, uint32_t place)
{
    struct fr_ranked *list = fr_arena_take(&reader->arena, place * sizeof(*list));
    size_t len = reader_best(reader, choice, parity, list, place);
    const struct catalogue_item **records = fr_arena_take(&reader->arena, place * sizeof(*records));
    struct picks before = {.at = list};
    struct caps caps;

    caps_init(&caps, reader, most);
    if (len < place) {
        struct picks fill = popular_best(reader, choice, place - len);
        memcpy(list + len, fill.at, fill.len * sizeof(*list));
        len += fill.len;
    }
    while (before.len < len && list[before.len].id != item)
        before.len++;
    uint32_t kept = (uint32_t)caps_take(&caps, &before, place, records);
    return caps_let(&caps, catalogue_item(caps.catalogue, item)) ? kept + 1 : 0;
}

struct ballot ranks_hear(struct reader *reader, const struct learner *learner, const struct query *query,
                         const struct choice *choice, size_t k)
{
    if (learner == &reader->engine->blended)
        return blend_hear(reader, query, choice, k);
    learner->ops->retrieve(learner->model, query, &reader->scores);
    return (struct ballot){0};
}

void reader_ranks(struct reader *reader, const struct ask *ask, const struct fr_bytes *items, size_t len, struct rank *ret_ranks)
{
    struct engine *engine = reader->engine;
    const struct learner *learner = models_find(engine, ask->model);
    struct query query = reader_prepare(reader, ask);
    struct choice choice = reader_filter(reader, ask);
    bool known = reader_knows(engine, &query, learner);
    uint32_t *handles = fr_arena_take(&reader->arena, (len + 1) * sizeof(*handles));

    reader_mark_seen(reader, ask, &query);
    if (known)
        ranks_hear(reader, learner, &query, &choice, ask->k < reader->items ? ask->k : reader->items);
    for (size_t i = 0; i < len; i++) {
        handles[i] = reader_item_of(reader, items[i]);
        ret_ranks[i] = (struct rank){0};
        if (!ranks_candidate(reader, &choice, &reader->scores, handles[i]))
            continue;
        ret_ranks[i].listed = true;
        ret_ranks[i].users = users_of(engine, handles[i]);
        ret_ranks[i].scored = scores_touched(&reader->scores, handles[i]);
        ret_ranks[i].score = ret_ranks[i].scored ? reader->scores.value[handles[i]] : 0;
    }
    ranks_count(reader, &choice, known && reader_in_parity(engine, learner), handles, len, ret_ranks);
    reader_unmark_all(reader);
}
