/*
 * sar_query.c -- answering from C: retrieve, explain, neighbours.
 *
 * First the history and the seeds become terms, newest first:
 *
 *     seeds     s1 s2 s1          the last is the newest; a repeated one counts where it was last, weights add up
 *     history   a  b  s2 c        by (last event time, slot)
 *     terms     s1 s2 c b a       s2 also brings what the history holds of it
 *     weight    affinity as of now * recency^age,  age 0 1 2 3 4;  only the score_last first
 *
 * then each term adds weight * similarity over its row of C. Per row: copy it (whole, as of one event), look up n_j of
 * its columns, compute all similarities in one plain loop, add them up. The next rows are fetched meanwhile. Where only the
 * best are asked for, most of that is left out: sar_best.c.
 *
 * In parity an item is also similar to itself, with c = n_i; C does not hold that diagonal, so it is added here.
 *
 * Thread: any, inside an epoch.
 */
#include <math.h>
#include <stdlib.h>

#include "similarity.h"
#include "sar_parts.h"

enum { SORTED_BY_HAND = 64, FAR = 400 /* half-lives: 2^-400, and its square, are doubles like any other */ };

/* A slot of the history, for ordering. */
struct aged {
    uint64_t last;
    uint32_t slot;
};

/* ---- terms ------------------------------------------------------------------------------------------------ */

static struct term *terms_find(const struct terms *terms, size_t len, uint32_t item)
{
    for (size_t k = 0; k < len; k++) {
        if (terms->at[k].item == item)
            return &terms->at[k];
    }
    return NULL;
}

/*
 * What scores are of: now, unless all the user's events are older by so many half-lives that a double could hardly tell them from 0,
 * and the order of the list would be lost with them. It must not be: events may be of long ago, or one of somebody else's of a far future.
 */
static when_ms scored_at(const struct model *model, const struct query *query)
{
    const struct history *history = &query->history;
    span_ms far = FAR * model->options.half_life;
    when_ms newest = history->len ? stamp_last(history->stamp[history->len - 1]) : -1; /* most likely */

    if (far <= 0 || query->now - newest <= far)
        return query->now;
    for (uint32_t slot = 0; slot < history->len; slot++)
        newest = stamp_last(history->stamp[slot]) > newest ? stamp_last(history->stamp[slot]) : newest;
    for (size_t s = 0; s < query->seeds_len; s++)
        newest = query->seeds[s].when > newest ? query->seeds[s].when : newest;
    return query->now - newest <= far ? query->now : newest + far;
}

static void terms_take_seeds(struct terms *terms, const struct model *model, const struct query *query, when_ms at)
{
    for (size_t s = query->seeds_len; s-- > 0;) {
        const struct seed *seed = &query->seeds[s];
        double weight =
            (query->unit ? 1 : seed->weight) * decay_factor(at - seed->when, model->options.half_life);
        struct term *before = terms_find(terms, terms->len, seed->item);
        if (before)
            before->weight += weight;
        else if (terms->len < terms->most)
            terms->at[terms->len++] = (struct term){seed->item, weight};
    }
}

static double slot_weight(const struct model *model, const struct query *query, uint32_t slot, when_ms at)
{
    const struct history *history = &query->history;
    double affinity = query->unit ? history->unit[slot] : history->affinity[slot];

    return affinity * decay_factor(at - stamp_last(history->stamp[slot]), model->options.half_life);
}

/* Newest first. */
static int aged_compare(const void *left, const void *right)
{
    const struct aged *a = left, *b = right;

    if (a->last != b->last)
        return a->last > b->last ? -1 : 1;
    return a->slot > b->slot ? -1 : a->slot < b->slot;
}

/* Keeps the `most` newest of those offered, in order: most offers come oldest last, and end where they began. */
static size_t aged_insert(struct aged *aged, size_t len, size_t most, struct aged offer)
{
    if (len == most && aged_compare(&offer, &aged[len - 1]) > 0)
        return len;
    size_t at = len < most ? len : len - 1;
    for (; at > 0 && aged_compare(&offer, &aged[at - 1]) < 0; at--)
        aged[at] = aged[at - 1];
    aged[at] = offer;
    return len < most ? len + 1 : len;
}

/* The `want` newest slots that are no seeds. */
static void terms_take_newest(struct terms *terms, const struct model *model, const struct query *query, size_t seeds,
                              size_t want, when_ms at)
{
    const struct history *history = &query->history;
    struct aged near[SORTED_BY_HAND], *aged = near;
    bool by_hand = want <= SORTED_BY_HAND;
    size_t len = 0;

    if (!want)
        return;
    if (!by_hand)
        aged = fr_alloc(history->len * sizeof(*aged));
    for (uint32_t slot = history->len; slot-- > 0;) {
        struct aged offer = {(uint64_t)stamp_last(history->stamp[slot]), slot};
        if (terms_find(terms, seeds, history->item[slot]))
            continue;
        if (by_hand)
            len = aged_insert(aged, len, want, offer);
        else
            aged[len++] = offer;
    }
    if (!by_hand)
        qsort(aged, len, sizeof(*aged), aged_compare);
    for (size_t k = 0; k < len && k < want; k++)
        terms->at[terms->len++] = (struct term){history->item[aged[k].slot], slot_weight(model, query, aged[k].slot, at)};
    if (!by_hand)
        free(aged);
}

static void terms_init(struct terms *terms, const struct model *model, const struct query *query)
{
    const struct sar_options *options = &model->options;
    const struct history *history = &query->history;
    when_ms at = scored_at(model, query);
    double recency = 1;

    terms->len = 0;
    terms->most = query->seeds_len + history->len;
    if (options->score_last && options->score_last < terms->most)
        terms->most = options->score_last;
    terms->at = terms->most <= TERMS_NEAR ? terms->near : fr_alloc(terms->most * sizeof(*terms->at));

    terms_take_seeds(terms, model, query, at);
    size_t seeds = terms->len;
    for (uint32_t slot = 0; seeds && slot < history->len; slot++) {
        struct term *seed = terms_find(terms, seeds, history->item[slot]);
        if (seed)
            seed->weight += slot_weight(model, query, slot, at);
    }
    terms_take_newest(terms, model, query, seeds, terms->most - seeds, at);
    for (size_t age = 0; age < terms->len; age++, recency *= options->recency)
        terms->at[age].weight *= recency;
}

static void terms_release(struct terms *terms)
{
    if (terms->at != terms->near)
        free(terms->at);
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

static uint32_t items_held(const struct model *model)
{
    uint32_t items = atomic_load_explicit(model->host.items_held, memory_order_acquire);
    return items ? items : 1;
}

void sar_row_reserve(struct scores *scores, size_t len)
{
    if (len <= scores->row_room)
        return;
    scores->row_room = len + len / 2;
    scores->columns = fr_realloc(scores->columns, scores->row_room * sizeof(*scores->columns));
    scores->counts = fr_realloc(scores->counts, scores->row_room * sizeof(*scores->counts));
}

size_t sar_row_copy(const struct model *model, uint32_t row, uint32_t least, struct scores *scores)
{
    for (;;) {
        size_t len = rows_copy_least(model->rows, row, least, scores->columns, scores->counts, scores->row_room);
        if (len != SIZE_MAX)
            return len;
        sar_row_reserve(scores, rows_room(model->rows, row));
    }
}

/*
 * What scores_add does, for many, none of them -0.0 or born later: the arrays are named here, since the compiler cannot know
 * that they do not overlap.
 */
static void scores_add_many(struct scores *scores, const uint32_t *columns, const double *values, size_t len)
{
    double *restrict value = scores->value;
    uint32_t *restrict touched = scores->touched;
    uint32_t touched_len = scores->touched_len;

    for (size_t k = 0; k < len; k++) {
        uint32_t item = columns[k];
        double sum = value[item];
        touched[touched_len] = item;
        touched_len += scores_untouched(sum);
        value[item] = sum + values[k];
    }
    scores->touched_len = touched_len;
}

/* Closes the gaps that pairs without evidence leave; returns how many stay. */
static size_t keep_evidence(const uint32_t *together, uint32_t *columns, double *values, size_t len)
{
    size_t kept = 0;

    for (size_t k = 0; k < len; k++) {
        columns[kept] = columns[k];
        values[kept] = values[k];
        kept += together[k] != 0;
    }
    return kept;
}

/* n_j, or 0 for an item that is younger than the question: without users there is no evidence, so it is left out. */
static inline uint32_t users_as_of(const _Atomic uint32_t *users_of_item, uint32_t item, uint32_t items)
{
    uint32_t users = atomic_load_explicit(&users_of_item[item], memory_order_acquire);
    return item < items ? users : 0;
}

void sar_cells_score(const struct model *model, uint32_t item, double weight, uint32_t held, struct scores *scores, size_t len)
{
    const struct similarity_with with = {model->options.similarity, sar_users(model, item), held,
                                         model->options.threshold, weight};
    const _Atomic uint32_t *users_of_item = model->host.users_of_item;
    uint32_t others[SAR_BLOCK], together[SAR_BLOCK];
    double values[SAR_BLOCK];
    size_t rest = len;

    for (uint32_t *columns = scores->columns, *counts = scores->counts; rest;) {
        len = rest < SAR_BLOCK ? rest : SAR_BLOCK;
        for (size_t k = 0; k < len; k++)
            others[k] = users_as_of(users_of_item, columns[k], scores->items);
        if (similarity_many(&with, counts, others, together, values, len))
            scores_add_many(scores, columns, values, len);
        else
            scores_add_many(scores, columns, values, keep_evidence(together, columns, values, len));
        columns += len;
        counts += len;
        rest -= len;
    }
}

/* Adds weight * similarity(item, j) for every j with evidence. */
static void row_score(const struct model *model, uint32_t item, double weight, uint32_t held, struct scores *scores)
{
    sar_cells_score(model, item, weight, held, scores, sar_row_copy(model, item, 1, scores));
}

/* ---- the model's questions -------------------------------------------------------------------------------- */

static void term_score(const struct model *model, const struct term *term, uint32_t held, struct scores *scores)
{
    uint32_t n_i = sar_users(model, term->item);

    row_score(model, term->item, term->weight, held, scores);
    if (model->options.parity && similarity_evidence(n_i, n_i, n_i, model->options.threshold))
        scores_add(scores, term->item,
                   term->weight * similarity_value(model->options.similarity, n_i, n_i, n_i, held));
}

void sar_retrieve(const struct model *model, const struct query *query, struct scores *scores)
{
    uint32_t held = items_held(model);
    struct terms terms;

    terms_init(&terms, model, query);
    for (size_t t = 0; t < terms.len; t++)
        rows_prefetch(model->rows, terms.at[t].item);
    if (!query->best || !sar_best(model, &terms, query->best, held, scores)) {
        for (size_t k = 0; k < terms.len; k++) {
            if (k + 1 < terms.len)
                rows_prefetch_lines(model->rows, terms.at[k + 1].item);
            term_score(model, &terms.at[k], held, scores);
        }
    }
    terms_release(&terms);
}

void sar_neighbours(const struct model *model, uint32_t item, struct scores *scores)
{
    row_score(model, item, 1, items_held(model), scores);
}

size_t sar_explain(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                   struct reason_part *parts, size_t parts_max)
{
    const struct sar_options *options = &model->options;
    uint32_t held = items_held(model), n_j = sar_users(model, item);
    struct terms terms;
    size_t len = 0;

    (void)scratch;
    terms_init(&terms, model, query);
    for (size_t k = 0; k < terms.len && parts_max; k++) {
        uint32_t term = terms.at[k].item, n_i = sar_users(model, term);
        uint32_t c = term != item ? rows_get(model->rows, term, item) : options->parity ? n_i : 0;
        if (!similarity_evidence(c, n_i, n_j, options->threshold))
            continue;
        double contribution =
            terms.at[k].weight * similarity_of(options->similarity, c, n_i, n_j, held, options->threshold);
        reason_offer(parts, &len, parts_max, term, contribution);
    }
    terms_release(&terms);
    return len;
}
