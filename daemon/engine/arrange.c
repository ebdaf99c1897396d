/*
 * arrange.c -- a list that is not simply the best first: variety (diversity) and trying out (exploration).
 *
 *     pool     the best candidates, best first: max(4 k, 100), or k beyond ARRANGED_MOST     [ a  b  c  d  e  f  g ... ]
 *     list     place by place, one of those left                                             [ a  d  b ...
 *
 * Diversity d is maximal marginal relevance (Carbonell and Goldstein, 1998). Of those left the best is the one with the largest
 *
 *     (1 - d) relevance(j) - d max over the chosen i of near(j, i)          equal ones: the first in the pool, so by score, then by id
 *
 *     relevance(j) = (s_j - s_min) / (s_max - s_min)    over the pool; 1 if all scores are equal
 *     near(j, i)   = sim(i, j) / max over l of sim(i, l)    SAR's similarity, whoever ranks; 0 where there is none
 *
 * near is a share of what is most like i, so that d means the same whatever sar.similarity is: some of those have no upper bound.
 *
 * Exploration e draws each place: with probability 1 - e it is the best of those left, with probability e any of the r left, alike. So
 *
 *     propensity = (is it the best of those left? 1 - e : 0) + e / r
 *
 * is exactly the probability that the item stands there, given those before it; over a place's candidates it adds up to 1. Epsilon-greedy and
 * no softmax over scores: models' scores have no common scale, and nothing in the pool gets less than e / r, which bounds the variance of
 * whoever weighs by 1 / propensity. What is drawn depends on (draw, user, place) alone.
 *
 * Caps: one whose category is full is not left any more. When nobody is left, the pool is gathered anew from behind those chosen, four times as
 * large; as before, who is in it follows from the places before. What fills in is arranged likewise, behind. Places from ARRANGED_MOST on are
 * neither mixed nor drawn, so that a question's work is bounded: at most ARRANGED_MOST rows of SAR's and as many looks at each in the pool.
 *
 * Thread: each reader its own.
 */
#include "arrange.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { ARRANGED_MOST = 1000, POOL_PER_PLACE = 4, POOL_LEAST = 100, POOL_GROWS = 4 };

struct candidate {
    const struct catalogue_item *record; /* what the caps go by */
    double relevance, near;              /* near: the most like one of the chosen */
    bool gone;                           /* chosen, or its category is full */
};

struct pool {
    struct picks picks;
    struct candidate *of; /* by place in the picks */
    size_t first;         /* those before are gone */
};

void arrange_init(struct arrangement *arrangement, struct reader *reader, struct caps *caps, const struct ask *ask, size_t k)
{
    *arrangement = (struct arrangement){
        .reader = reader,
        .caps = caps,
        .diversity = ask->diversity,
        .exploration = ask->exploration,
        .key = XXH3_64bits_withSeed(ask->user.at, ask->user.len, ask->draw),
        .k = k,
        .chosen = fr_arena_take(&reader->arena, (k + 1) * sizeof(uint32_t)),
    };
}

bool arrange_asked(const struct ask *ask)
{
    return ask->diversity > 0 || ask->exploration > 0;
}

/* ---- diversity ---- */

static void come_near(struct arrangement *arrangement, struct pool *pool, uint32_t item)
{
    struct reader *reader = arrangement->reader;
    const struct learner *sar = &reader->engine->learners[0];
    struct scores *row = &reader->scratch;
    double most = 0;

    if (!(arrangement->diversity > 0))
        return;
    scores_reset(row, reader->items);
    sar->ops->neighbours(sar->model, item, row);
    for (uint32_t i = 0; i < row->touched_len; i++)
        most = row->value[row->touched[i]] > most ? row->value[row->touched[i]] : most;
    for (size_t i = pool->first; most > 0 && i < pool->picks.len; i++) {
        double near = row->value[pool->picks.at[i].id] / most;
        pool->of[i].near = near > pool->of[i].near ? near : pool->of[i].near;
    }
}

static double worth(const struct arrangement *arrangement, const struct candidate *candidate)
{
    return (1 - arrangement->diversity) * candidate->relevance - arrangement->diversity * candidate->near;
}

/* ---- exploration ---- */

static uint64_t word(const struct arrangement *arrangement, uint64_t number)
{
    return XXH3_64bits_withSeed(&number, sizeof(number), arrangement->key);
}

/* The place in the pool that is drawn instead of the best one's, if one is; each of `left` is as likely as any other to within 2^-32 left. */
static bool explores(const struct arrangement *arrangement, size_t left, size_t *ret_skip)
{
    uint64_t place = arrangement->len;

    if ((double)(word(arrangement, 2 * place) >> 11) * 0x1p-53 >= arrangement->exploration)
        return false;
    *ret_skip = (size_t)(((word(arrangement, 2 * place + 1) >> 32) * (uint64_t)left) >> 32);
    return true;
}

/* ---- the pool ---- */

static bool is_left(struct arrangement *arrangement, struct candidate *candidate)
{
    candidate->gone = candidate->gone || (arrangement->caps->most && !caps_let(arrangement->caps, candidate->record));
    return !candidate->gone;
}

static struct pool gather(struct arrangement *arrangement, picker *pick, const void *context, size_t want)
{
    struct reader *reader = arrangement->reader;
    struct pool pool = {.picks = pick(reader, context, want)};
    size_t len = pool.picks.len;

    pool.of = fr_arena_take(&reader->arena, (len + 1) * sizeof(*pool.of));
    double least = len ? pool.picks.at[len - 1].score : 0, span = len ? pool.picks.at[0].score - least : 0;
    for (size_t i = 0; i < len; i++)
        pool.of[i] = (struct candidate){
            .record = arrangement->caps->most ? catalogue_item(arrangement->caps->catalogue, pool.picks.at[i].id) : NULL,
            .relevance = span > 0 ? (pool.picks.at[i].score - least) / span : 1,
        };
    for (size_t i = 0; i < arrangement->len && i < ARRANGED_MOST; i++)
        come_near(arrangement, &pool, arrangement->chosen[i]);
    return pool;
}

/* The one for the next place; false: nobody is left. */
static bool choose(struct arrangement *arrangement, struct pool *pool, size_t *ret_at, double *ret_propensity)
{
    size_t len = pool->picks.len, left = 0, best = len, skip;
    double most = 0;

    while (pool->first < len && !is_left(arrangement, &pool->of[pool->first]))
        pool->first++;
    *ret_at = pool->first;
    *ret_propensity = 1;
    if (pool->first == len || arrangement->len >= ARRANGED_MOST)
        return pool->first < len;
    for (size_t i = pool->first; i < len; i++) {
        if (!is_left(arrangement, &pool->of[i]))
            continue;
        left++;
        if (best < len && worth(arrangement, &pool->of[i]) <= most)
            continue;
        best = i;
        most = worth(arrangement, &pool->of[i]);
    }
    *ret_at = best;
    if (explores(arrangement, left, &skip))
        for (*ret_at = pool->first; pool->of[*ret_at].gone || skip--;)
            ++*ret_at;
    *ret_propensity = (*ret_at == best ? 1 - arrangement->exploration : 0) + arrangement->exploration / (double)left;
    return true;
}

/* Out of the pool, into the list. */
static void take(struct arrangement *arrangement, struct pool *pool, size_t at)
{
    uint32_t item = pool->picks.at[at].id;

    pool->of[at].gone = true;
    if (arrangement->caps->most)
        caps_count(arrangement->caps, pool->of[at].record, 1);
    reader_mark(arrangement->reader, item, SCORES_EXCLUDED); /* from the pool that may be gathered next */
    arrangement->chosen[arrangement->len++] = item;
    if (arrangement->len < ARRANGED_MOST)
        come_near(arrangement, pool, item);
}

struct picks arrange(struct arrangement *arrangement, picker *pick, const void *context)
{
    struct reader *reader = arrangement->reader;
    size_t places = arrangement->k < ARRANGED_MOST ? arrangement->k : ARRANGED_MOST, want = places * POOL_PER_PLACE, room;
    struct picks list = {.at = fr_arena_take(&reader->arena, (arrangement->k + 1) * sizeof(*list.at)),
                         .sources = fr_arena_take(&reader->arena, (arrangement->k + 1) * sizeof(*list.sources))};

    if (arrangement->exploration > 0)
        list.propensities = fr_arena_take(&reader->arena, (arrangement->k + 1) * sizeof(*list.propensities));
    want = want > POOL_LEAST ? want : POOL_LEAST;
    want = want > arrangement->k ? want : arrangement->k;
    for (bool all = false; !all && arrangement->len < arrangement->k; want *= POOL_GROWS) {
        room = want < reader->items ? want : reader->items;
        struct pool pool = gather(arrangement, pick, context, room);
        size_t at;
        double propensity;
        all = pool.picks.len < room || room == reader->items;
        while (arrangement->len < arrangement->k && choose(arrangement, &pool, &at, &propensity)) {
            list.at[list.len] = pool.picks.at[at];
            list.sources[list.len] = pool.picks.sources ? pool.picks.sources[at] : NULL;
            if (list.propensities)
                list.propensities[list.len] = propensity;
            list.len++;
            take(arrangement, &pool, at);
        }
    }
    return list;
}
