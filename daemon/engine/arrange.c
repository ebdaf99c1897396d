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
 * whoever weighs by 1 / propensity. What is drawn depends on (draw, user, place) alone, where asked for on the history, too.
 *
 * Caps: one whose category is full is not left any more. When nobody is left, the pool is gathered anew from behind those chosen, four times as
 * large; as before, who is in it follows from the places before. What fills in is arranged likewise, behind. Places from ARRANGED_MOST on are
 * neither mixed nor drawn.
 *
 * What it costs. Nothing is done for each place and each in the pool, which may hold all items:
 *
 *     gathering    each in the pool is looked at once. Whose category is full stays so, and is left out
 *     a place      the best of those left, or the one that is drawn, stands in a tournament over them: as many steps as the tree is high
 *     its item     a row of SAR's, and each in the row that is in the pool and comes nearer: as many steps again
 *     a category   that becomes full: each of its own in the pool goes, once
 *
 * So a question costs the pools, the largest of which is most of them, and for each pool at most ARRANGED_MOST rows of SAR's.
 *
 * Thread: each reader its own.
 */
#include "arrange.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tournament.h"

enum { ARRANGED_MOST = 1000, POOL_PER_PLACE = 4, POOL_LEAST = 100, POOL_GROWS = 4 };
#define NONE UINT32_MAX

struct candidate {
    const struct catalogue_item *record; /* what the caps go by */
    double relevance, near;              /* near: the most like one of the chosen */
};

/* One of a category's, and the next of these. */
struct member {
    uint32_t at, next;
};

struct pool {
    double diversity;
    bool all;               /* nobody is behind it */
    struct picks picks;     /* those whom the caps let in when it was gathered */
    struct candidate *of;   /* by place in the picks; the others tell places too */
    struct tournament left; /* neither chosen nor of a category that is full */
    struct {
        uint32_t *at; /* by hash of the item, or behind: place + 1; 0: free */
        size_t mask;
    } places;             /* with diversity alone */
    uint32_t *categories; /* by number: the first of its members; NONE: there are none, or it is full */
    struct member *members;
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

static size_t place_hash(const struct pool *pool, uint32_t item)
{
    return (item * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & pool->places.mask;
}

static void find_places(struct reader *reader, struct pool *pool)
{
    size_t room = 2;

    while (room < 2 * pool->picks.len)
        room *= 2;
    pool->places.mask = room - 1;
    pool->places.at = fr_arena_take(&reader->arena, room * sizeof(*pool->places.at));
    memset(pool->places.at, 0, room * sizeof(*pool->places.at));
    for (size_t i = 0; i < pool->picks.len; i++) {
        size_t slot = place_hash(pool, pool->picks.at[i].id);
        while (pool->places.at[slot])
            slot = (slot + 1) & pool->places.mask;
        pool->places.at[slot] = (uint32_t)i + 1;
    }
}

/* NONE: it is not in the pool. */
static uint32_t place_of(const struct pool *pool, uint32_t item)
{
    for (size_t slot = place_hash(pool, item); pool->places.at[slot]; slot = (slot + 1) & pool->places.mask)
        if (pool->picks.at[pool->places.at[slot] - 1].id == item)
            return pool->places.at[slot] - 1;
    return NONE;
}

/* Those like the item, which is chosen, are nearer to one of the chosen from now on. */
static void come_near(struct reader *reader, struct pool *pool, uint32_t item)
{
    const struct learner *sar = &reader->engine->learners[0];
    struct scores *row = &reader->scratch;
    double most = 0;

    if (!(pool->diversity > 0))
        return;
    scores_reset(row, reader->items);
    sar->ops->neighbours(sar->model, item, row);
    for (uint32_t i = 0; i < row->touched_len; i++)
        most = row->value[row->touched[i]] > most ? row->value[row->touched[i]] : most;
    for (uint32_t i = 0; most > 0 && i < row->touched_len; i++) {
        uint32_t at = place_of(pool, row->touched[i]);
        double near = row->value[row->touched[i]] / most;
        if (at == NONE || near <= pool->of[at].near)
            continue;
        pool->of[at].near = near;
        if (pool->left.nodes)
            tournament_fell(&pool->left, at);
    }
}

static double worth(const struct pool *pool, uint32_t at)
{
    return (1 - pool->diversity) * pool->of[at].relevance - pool->diversity * pool->of[at].near;
}

static bool better(const void *pool, uint32_t a, uint32_t b)
{
    return worth(pool, b) > worth(pool, a);
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

/* ---- caps ---- */

static bool is_capped(const struct caps *caps, uint32_t category)
{
    return category < caps->categories; /* one that is younger than the question is not counted */
}

static void find_members(struct reader *reader, const struct caps *caps, struct pool *pool)
{
    size_t len = 0;

    for (size_t i = 0; i < pool->picks.len; i++)
        len += pool->of[i].record ? pool->of[i].record->categories_len : 0;
    pool->members = fr_arena_take(&reader->arena, (len + 1) * sizeof(*pool->members));
    pool->categories = fr_arena_take(&reader->arena, (caps->categories + (size_t)1) * sizeof(*pool->categories));
    memset(pool->categories, 0xff, caps->categories * sizeof(*pool->categories));
    len = 0;
    for (size_t i = 0; i < pool->picks.len; i++) {
        const struct catalogue_item *record = pool->of[i].record;
        for (uint32_t c = 0; record && c < record->categories_len; c++) {
            uint32_t category = record->categories[c];
            if (!is_capped(caps, category))
                continue;
            pool->members[len] = (struct member){(uint32_t)i, pool->categories[category]};
            pool->categories[category] = (uint32_t)len++;
        }
    }
}

/* One more of this record. Those of a category that is full now are not left any more. */
static void count(struct caps *caps, struct pool *pool, const struct catalogue_item *record)
{
    caps_count(caps, record, 1);
    for (uint32_t c = 0; record && c < record->categories_len; c++) {
        uint32_t category = record->categories[c];
        if (!is_capped(caps, category) || caps->counts[category] < caps->most)
            continue;
        for (uint32_t m = pool->categories[category]; m != NONE; m = pool->members[m].next)
            tournament_out(&pool->left, pool->members[m].at);
        pool->categories[category] = NONE;
    }
}

/* ---- the pool ---- */

/* Relevance is measured by all that were picked; then those that the caps do not let in are left out. */
static void keep_open(struct arrangement *arrangement, struct pool *pool)
{
    const struct caps *caps = arrangement->caps;
    struct picks *picks = &pool->picks;
    size_t len = picks->len, kept = 0;
    double least = len ? picks->at[len - 1].score : 0, span = len ? picks->at[0].score - least : 0;

    pool->of = fr_arena_take(&arrangement->reader->arena, (len + 1) * sizeof(*pool->of));
    for (size_t i = 0; i < len; i++) {
        const struct catalogue_item *record = caps->most ? catalogue_item(caps->catalogue, picks->at[i].id) : NULL;
        if (caps->most && !caps_let(caps, record))
            continue;
        pool->of[kept] = (struct candidate){.record = record, .relevance = span > 0 ? (picks->at[i].score - least) / span : 1};
        picks->at[kept] = picks->at[i];
        if (picks->sources)
            picks->sources[kept] = picks->sources[i];
        kept++;
    }
    picks->len = kept;
}

static void gather(struct arrangement *arrangement, picker *pick, const void *context, size_t want, struct pool *pool)
{
    struct reader *reader = arrangement->reader;
    size_t room = want < reader->items ? want : reader->items;

    *pool = (struct pool){.diversity = arrangement->diversity, .picks = pick(reader, context, room)};
    pool->all = pool->picks.len < room || room == reader->items;
    keep_open(arrangement, pool);
    if (arrangement->caps->most)
        find_members(reader, arrangement->caps, pool);
    if (arrangement->diversity > 0)
        find_places(reader, pool);
    for (size_t i = 0; pool->picks.len && i < arrangement->len && i < ARRANGED_MOST; i++)
        come_near(reader, pool, arrangement->chosen[i]);
    tournament_init(&pool->left, &reader->arena, pool->picks.len, better, pool);
}

/* The one for the next place; false: nobody is left. */
static bool choose(const struct arrangement *arrangement, const struct pool *pool, size_t *ret_at, double *ret_propensity)
{
    size_t left = tournament_left(&pool->left), skip;

    if (!left)
        return false;
    if (arrangement->len >= ARRANGED_MOST) {
        *ret_at = tournament_at(&pool->left, 0);
        *ret_propensity = 1;
        return true;
    }
    size_t best = tournament_best(&pool->left);
    *ret_at = explores(arrangement, left, &skip) ? tournament_at(&pool->left, skip) : best;
    *ret_propensity = (*ret_at == best ? 1 - arrangement->exploration : 0) + arrangement->exploration / (double)left;
    return true;
}

/* Out of the pool, into the list. */
static void take(struct arrangement *arrangement, struct pool *pool, size_t at)
{
    uint32_t item = pool->picks.at[at].id;

    tournament_out(&pool->left, (uint32_t)at);
    if (arrangement->caps->most)
        count(arrangement->caps, pool, pool->of[at].record);
    reader_mark(arrangement->reader, item, SCORES_EXCLUDED); /* from the pool that may be gathered next */
    arrangement->chosen[arrangement->len++] = item;
    if (arrangement->len < ARRANGED_MOST)
        come_near(arrangement->reader, pool, item);
}

struct picks arrange(struct arrangement *arrangement, picker *pick, const void *context)
{
    struct reader *reader = arrangement->reader;
    size_t places = arrangement->k < ARRANGED_MOST ? arrangement->k : ARRANGED_MOST, want = places * POOL_PER_PLACE, at;
    struct picks list = {.at = fr_arena_take(&reader->arena, (arrangement->k + 1) * sizeof(*list.at)),
                         .sources = fr_arena_take(&reader->arena, (arrangement->k + 1) * sizeof(*list.sources))};
    double propensity;

    if (arrangement->exploration > 0)
        list.propensities = fr_arena_take(&reader->arena, (arrangement->k + 1) * sizeof(*list.propensities));
    want = want > POOL_LEAST ? want : POOL_LEAST;
    want = want > arrangement->k ? want : arrangement->k;
    struct pool pool = {0};
    for (; !pool.all && arrangement->len < arrangement->k; want *= POOL_GROWS) {
        gather(arrangement, pick, context, want, &pool);
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
