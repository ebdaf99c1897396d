/*
 * ranks.c -- where items stand in the whole list, without making it.
 *
 *     [ a .92 | b .71 | c .71 | d .40 | ... ][ x 31 users | y 17 users | ... ]        the rank of c: 1 before, 1 beside
 *       by score                               no evidence: behind them, by popularity
 *
 * In parity an item without evidence stands at score 0 among the others. The same order as reader_recommend's, which sorts
 * equal ones by id: of those this counts how many there are, and how many of them come first.
 * Thread: each reader its own.
 */
#include "blend.h"
#include "engine_private.h"

struct place {
    bool evidence;
    double value; /* the score; without evidence, how many hold it */
};

/* 1: a is before b; 0: beside; -1: behind. */
static int compare(struct place a, struct place b)
{
    if (a.evidence != b.evidence)
        return a.evidence ? 1 : -1;
    return (a.value > b.value) - (a.value < b.value);
}

static struct place place_of(const struct reader *reader, bool parity, uint32_t item)
{
    if (scores_touched(&reader->scores, item))
        return (struct place){true, reader->scores.value[item]};
    return parity ? (struct place){true, 0} : (struct place){false, users_of(reader->engine, item)};
}

bool ranks_candidate(const struct reader *reader, const struct choice *choice, uint32_t item)
{
    return item != DICT_NONE && reader_allows(reader, choice, item) && users_of(reader->engine, item);
}

void ranks_count(struct reader *reader, const struct choice *choice, bool parity, const uint32_t *handles, size_t len,
                 struct rank *ranks)
{
    struct place *places = fr_arena_take(&reader->arena, (len + 1) * sizeof(*places));

    for (size_t i = 0; i < len; i++)
        if (ranks[i].listed)
            places[i] = place_of(reader, parity, handles[i]);
    for (uint32_t item = 0; item < reader->items; item++) {
        if (!ranks_candidate(reader, choice, item))
            continue;
        struct place place = place_of(reader, parity, item);
        for (size_t i = 0; i < len; i++) {
            if (!ranks[i].listed)
                continue;
            int order = compare(place, places[i]);
            ranks[i].before += order > 0;
            ranks[i].beside += order == 0 && item != handles[i];
            ranks[i].ahead += order == 0 && item != handles[i] && item_before(reader, item, handles[i]);
            ranks[i].candidates++;
            ranks[i].above += users_of(reader->engine, item) > ranks[i].users;
        }
    }
}

struct ballot ranks_hear(struct reader *reader, const struct learner *learner, const struct query *query,
                         const struct choice *choice, size_t k)
{
    if (learner != &reader->engine->blended) {
        learner->ops->retrieve(learner->model, query, &reader->scores);
        return (struct ballot){0};
    }
    reader_hear_all(reader, query);
    struct ballot ballot = blend_count(reader, choice, k);
    for (size_t i = 0; i < ballot.len; i++)
        scores_add(&reader->scores, ballot.items[i], ballot.score[i]);
    return ballot;
}

void reader_ranks(struct reader *reader, const struct ask *ask, const struct fr_bytes *items, size_t len, struct rank *ret_ranks)
{
    struct engine *engine = reader->engine;
    const struct learner *learner = models_find(engine, ask->model);
    struct query query = reader_prepare(reader, ask);
    struct choice choice = reader_filter(reader, ask);
    bool known = reader_knows(&query, learner);
    uint32_t *handles = fr_arena_take(&reader->arena, (len + 1) * sizeof(*handles));

    reader_mark_seen(reader, ask, &query);
    if (known)
        ranks_hear(reader, learner, &query, &choice, ask->k < reader->items ? ask->k : reader->items);
    for (size_t i = 0; i < len; i++) {
        handles[i] = reader_item_of(reader, items[i]);
        ret_ranks[i] = (struct rank){0};
        if (!ranks_candidate(reader, &choice, handles[i]))
            continue;
        ret_ranks[i].listed = true;
        ret_ranks[i].users = users_of(engine, handles[i]);
        ret_ranks[i].scored = scores_touched(&reader->scores, handles[i]);
        ret_ranks[i].score = ret_ranks[i].scored ? reader->scores.value[handles[i]] : 0;
    }
    ranks_count(reader, &choice, known && reader_in_parity(engine, learner), handles, len, ret_ranks);
    reader_unmark_all(reader);
}
