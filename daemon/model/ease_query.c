/*
 * ease_query.c -- answering from B: retrieve, score, explain, neighbours.
 *
 * Seeds and history become terms, newest first, each with a weight x, and the row of B it stands for:
 *
 *     seeds     s1 s2 s1          the last is the newest; a repeated one counts where it was last, weights add up
 *     history   a  b  s2 c        by (last event time, slot); what is a seed is not counted again
 *     terms     s1 s2 c b a       age 0 1 2 3 4
 *     x         recency^age, times a seed's weight, times the sign of an affinity: what somebody dislikes speaks against its like
 *
 * A term outside the catalogue has its age and no row. Columns are summed a block at a time, over all rows, so that the sums stay
 * in the nearest cache; each sum is made in the order of the terms, wherever it is made, so equal questions have equal bits.
 *
 * Thread: any, inside an epoch: `shown` is loaded once per question.
 */
#include <math.h>
#include <stdlib.h>

#include "ease_parts.h"

enum { TERMS_NEAR = 256, COLUMNS = 1024 };
#define INLINE static inline __attribute__((always_inline))

struct term {
    uint32_t item, column;
    double x;
};

struct terms {
    struct term *at;
    size_t len;
    struct term near[TERMS_NEAR]; /* `at`, unless there may be more */
};

/* ---- terms ---- */

static struct term *find(struct term *terms, size_t len, uint32_t item)
{
    for (size_t k = 0; k < len; k++)
        if (terms[k].item == item)
            return &terms[k];
    return NULL;
}

static void take_seeds(struct terms *terms, const struct query *query)
{
    for (size_t s = query->seeds_len; s-- > 0;) {
        const struct seed *seed = &query->seeds[s];
        struct term *newer = find(terms->at, terms->len, seed->item);
        if (newer)
            newer->x += seed->weight;
        else
            terms->at[terms->len++] = (struct term){.item = seed->item, .x = seed->weight};
    }
}

/* A slot of the history, for ordering. */
struct aged {
    when_ms last;
    uint32_t slot;
};

static int newest_first(const void *left, const void *right)
{
    const struct aged *a = left, *b = right;

    if (a->last != b->last)
        return a->last > b->last ? -1 : 1;
    return (a->slot < b->slot) - (a->slot > b->slot);
}

static void take_history(struct terms *terms, const struct history *history)
{
    struct aged near[TERMS_NEAR], *aged = history->len <= TERMS_NEAR ? near : fr_alloc(history->len * sizeof(*aged));
    size_t seeds = terms->len;

    for (uint32_t slot = 0; slot < history->len; slot++)
        aged[slot] = (struct aged){stamp_last(history->stamp[slot]), slot};
    if (history->len > 1)
        qsort(aged, history->len, sizeof(*aged), newest_first);
    for (uint32_t k = 0; k < history->len; k++) {
        uint32_t item = history->item[aged[k].slot];
        double affinity = history->affinity[aged[k].slot];
        if (!find(terms->at, seeds, item))
            terms->at[terms->len++] = (struct term){.item = item, .x = (affinity > 0) - (affinity < 0)};
    }
    if (aged != near)
        free(aged);
}

/* Those that have a row and a weight. */
static void terms_init(struct terms *terms, const struct model *model, const struct solution *solution, const struct query *query)
{
    size_t most = query->seeds_len + query->history.len, kept = 0;
    double recency = 1;

    terms->at = most <= TERMS_NEAR ? terms->near : fr_alloc(most * sizeof(*terms->at));
    terms->len = 0;
    take_seeds(terms, query);
    take_history(terms, &query->history);
    for (size_t age = 0; age < terms->len; age++, recency *= model->options.recency) {
        struct term term = terms->at[age];
        term.x *= recency;
        term.column = solution_column(solution, term.item);
        if (term.column != UINT32_MAX && term.x != 0)
            terms->at[kept++] = term;
    }
    terms->len = kept;
}

static void terms_release(struct terms *terms)
{
    if (terms->at != terms->near)
        free(terms->at);
}

static const float *row_of(const struct solution *solution, uint32_t column)
{
    return solution->weight + (size_t)column * solution->items;
}

/* ---- sums ---- */

INLINE void sum_in(const struct solution *solution, const struct terms *terms, uint32_t begin, uint32_t len, double *restrict sums)
{
    for (uint32_t j = 0; j < len; j++)
        sums[j] = 0;
    for (size_t k = 0; k < terms->len; k++) {
        const float *restrict row = row_of(solution, terms->at[k].column) + begin;
        double x = terms->at[k].x;
        for (uint32_t j = 0; j < len; j++)
            sums[j] += x * (double)row[j];
    }
}

static void sum_portable(const struct solution *solution, const struct terms *terms, uint32_t begin, uint32_t len, double *sums)
{
    sum_in(solution, terms, begin, len, sums);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void sum_avx2(const struct solution *solution, const struct terms *terms, uint32_t begin,
                                                     uint32_t len, double *sums)
{
    sum_in(solution, terms, begin, len, sums);
}
#endif

static void sum(const struct solution *solution, const struct terms *terms, uint32_t begin, uint32_t len, double *sums)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        sum_avx2(solution, terms, begin, len, sums);
        return;
    }
#endif
    sum_portable(solution, terms, begin, len, sums);
}

/* ---- the model's questions ---- */

void ease_retrieve(const struct model *model, const struct query *query, struct scores *scores)
{
    const struct solution *solution = model_shown(model);
    double sums[COLUMNS];
    struct terms terms;

    if (!solution)
        return;
    terms_init(&terms, model, solution, query);
    for (uint32_t begin = 0; terms.len && begin < solution->items; begin += COLUMNS) {
        uint32_t len = solution->items - begin < COLUMNS ? solution->items - begin : COLUMNS;
        sum(solution, &terms, begin, len, sums);
        for (uint32_t j = 0; j < len; j++)
            scores_add(scores, solution->item[begin + j], sums[j]);
    }
    terms_release(&terms);
}

void ease_score(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values)
{
    const struct solution *solution = model_shown(model);
    struct terms terms;

    for (size_t i = 0; i < len; i++)
        values[i] = -0.0;
    if (!solution)
        return;
    terms_init(&terms, model, solution, query);
    for (size_t i = 0; i < len; i++) {
        uint32_t column = solution_column(solution, items[i]);
        for (size_t k = 0; k < terms.len && column != UINT32_MAX; k++)
            values[i] = scores_sum(values[i], terms.at[k].x * (double)row_of(solution, terms.at[k].column)[column]);
    }
    terms_release(&terms);
}

size_t ease_explain(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                    struct reason_part *parts, size_t parts_max)
{
    const struct solution *solution = model_shown(model);
    uint32_t column = solution ? solution_column(solution, item) : UINT32_MAX;
    struct terms terms;
    size_t len = 0;

    (void)scratch;
    if (column == UINT32_MAX || !parts_max)
        return 0;
    terms_init(&terms, model, solution, query);
    for (size_t k = 0; k < terms.len; k++) {
        double contribution = terms.at[k].x * (double)row_of(solution, terms.at[k].column)[column];
        if (contribution != 0)
            reason_offer(parts, &len, parts_max, terms.at[k].item, contribution);
    }
    terms_release(&terms);
    return len;
}

/* Those for which the item speaks; those it speaks against are not like it. */
void ease_neighbours(const struct model *model, uint32_t item, struct scores *scores)
{
    const struct solution *solution = model_shown(model);
    uint32_t column = solution ? solution_column(solution, item) : UINT32_MAX;

    if (column == UINT32_MAX)
        return;
    const float *row = row_of(solution, column);
    for (uint32_t j = 0; j < solution->items; j++)
        if (row[j] > 0)
            scores_add(scores, solution->item[j], (double)row[j]);
}
