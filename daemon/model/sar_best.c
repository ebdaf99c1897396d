/*
 * sar_best.c -- the k best by shrunk cosine, without an exact score for all the others.
 *
 *     terms       newest |------------- whole -------------|---- rest ----| oldest
 *
 *     rough       what the whole rows add to each item, in steps, each pair's rounded up,   a thousand items, 2 bytes each
 *                 but for pairs that add next to nothing
 *     candidates  those that the rest, and what was left out, could still lift to the k-th best    dozens
 *                 + the rest, looked up for them                                            the k best, and who is as near
 *     exact       all terms, looked up for those                                            their scores
 *
 * With M_t(c) = weight_t c / sqrt(n_t c + beta^2) no pair of term t with a count of c adds more: c <= n_j. It rises with c, so none adds
 * more than M_t = M_t(m), m the largest count in t's row. A step is (M_1 + M_2 + ...) / STEPS, so that no sum leaves 16 bits. Let v be an item's
 * steps, T the terms in them, r what the rest adds at most, d what a pair of a whole row that is left out adds at most, W these rows. Then
 *
 *     (v - T) / ROUGH_OVER  <=  score in steps  <=  v + r + W d
 *
 * and whose upper bound is below the lower bound of the k-th best v is out. What is left has its score added up like anybody's, term
 * by term in their order, so that it has the same bits, if nobody
 * writes meanwhile: a count looked up is of its own instant. (The order of work, and leaving the weakest terms to the end, are MaxScore's,
 * Turtle and Flood 1995; sums of impacts in small integers are Anh and Moffat's, 2006.)
 *
 * n_j is asked for as a byte (users_byte.h): the table of a hundred thousand items, which is read in no order, is then a fifth of a second
 * cache, not all of it. The fewest users of a byte make the bound no lower than the truth, and ROUGH_OVER a thirtieth more than 1.
 *
 * Most pairs of a row are of few users. One is left out by its count, before n_j is looked up, if M_t(c) <= d, that is
 *
 *     c  <=  (d^2 n_t + sqrt(d^4 n_t^2 + 4 weight_t^2 d^2 beta^2)) / 2 weight_t^2
 *
 * and else by its own steps, before its item's sum is: about every second one goes either way.
 *
 * Thread: any, inside an epoch.
 */
#include <math.h>

#include "kernels.h"
#include "sar_parts.h"
#include "similarity.h"

enum {
    STEPS = 60000,
    SIFTED = 64, /* at once, against one floor */
    LOOK_COST = 3, /* cells that are added up while one is looked up */
    EACH = 8,      /* candidates for each of the best, about; more of a long list, where adding all rows up is cheaper */
};
/* The rest is of terms that together bring at most so much of what there could be; and so much may be left out of the others. */
#define REST_MOST 0.012
#define LEFT_OUT_MOST 0.018
#define NEARLY (1 - 1e-6) /* of what is rounded: rather one pair more */

struct search {
    const struct model *model;
    const struct terms *terms;
    struct scores *scores;
    size_t best, whole;
    size_t cells;           /* in all rows */
    double step;            /* what it is worth */
    double rest;            /* of the terms that are not whole, in steps */
    uint32_t least;         /* steps of a pair of a whole row that is not left out */
    double left_out;        /* of the others of all whole rows, in steps */
    double bound[TERMS_NEAR]; /* M_t */
    uint32_t *items, *steps; /* the candidates, */
    uint32_t len;            /* so many */
};

/* ---- how to go about it ---- */

static size_t cells_of(const struct model *model, const struct terms *terms)
{
    size_t cells = 0;

    for (size_t t = 0; t < terms->len; t++)
        cells += rows_len(model->rows, terms->at[t].item);
    return cells;
}

/* Looked up in so many rows, would so many items cost less than all rows added up? */
static bool worth_it(const struct search *search, size_t items, size_t rows)
{
    return items * rows < search->cells / LOOK_COST;
}

/* Which terms are whole. False: the bounds do not hold, or are of no use. */
static bool plan(struct search *search)
{
    double before = 0, rest = 0;

    for (size_t t = 0; t < search->terms->len; t++) {
        const struct term *term = &search->terms->at[t];
        double most = rows_most(search->model->rows, term->item), n_i = sar_users(search->model, term->item);
        if (term->weight < 0)
            return false;
        most = most < n_i ? most : n_i;
        search->bound[t] = term->weight * most / sqrt(n_i * most + SIMILARITY_SHRINK);
        before += search->bound[t];
    }
    search->step = before / STEPS;
    search->whole = search->terms->len;
    while (search->whole && rest + search->bound[search->whole - 1] <= REST_MOST * (before - search->bound[search->whole - 1])) {
        rest += search->bound[--search->whole];
        before -= search->bound[search->whole];
    }
    search->rest = rest / search->step;
    search->least = 1 + (uint32_t)(LEFT_OUT_MOST * STEPS / (double)(search->whole + 1));
    search->left_out = (double)search->whole * (search->least - 1);
    return isnormal(search->step);
}

/* ---- rough ---- */

static struct rough rough_of(const struct search *search, size_t t)
{
    const struct term *term = &search->terms->at[t];

    return (struct rough){
        .users_bytes = search->model->host.users_bytes,
        .users_of_item = search->model->host.users_of_item,
        .items = search->scores->items,
        .n_i = sar_users(search->model, term->item),
        .threshold = search->model->options.threshold,
        .weight = (float)(term->weight / search->step),
        .most = (uint32_t)(search->bound[t] / search->step) + 1,
    };
}

/* The smallest count of a pair of the term that could have `least` steps. */
static uint32_t least_count(const struct search *search, const struct rough *rough)
{
    double d = search->least - 1.0, ddn = d * d * rough->n_i, ww2 = 2.0 * rough->weight * rough->weight;
    double none = (ddn + sqrt(ddn * ddn + 2 * ww2 * d * d * SIMILARITY_SHRINK)) / ww2 * NEARLY;

    return none < UINT32_MAX - 1 ? (uint32_t)none + 1 : UINT32_MAX; /* NaN: a weight of nothing */
}

/* Adds steps to the items' sums, and names those that had none. */
static uint32_t sums_add(uint16_t *restrict sums, const uint32_t *restrict columns, const uint32_t *restrict steps, size_t len,
                         uint32_t *restrict touched)
{
    uint32_t touched_len = 0;

    for (size_t k = 0; k < len; k++) {
        uint32_t item = columns[k], sum = sums[item];
        touched[touched_len] = item;
        touched_len += sum == 0;
        sums[item] = (uint16_t)(sum + steps[k]);
    }
    return touched_len;
}

/* Adds the row in the scratch; appends to the `touched` items. */
static uint32_t add_row(struct search *search, const struct rough *rough, size_t len, uint32_t touched_len)
{
    struct scores *scores = search->scores;
    uint32_t steps[SAR_BLOCK], *columns = scores->columns, *counts = scores->counts;

    for (size_t n; len; columns += n, counts += n, len -= n) {
        n = len < SAR_BLOCK ? len : SAR_BLOCK;
        kernels_best()->rough(rough, columns, counts, steps, n);
        size_t kept = kernels_best()->keep(search->least, columns, steps, n);
        touched_len += sums_add(scores->rough.sums, columns, steps, kept, scores->touched + touched_len);
    }
    return touched_len;
}

static uint32_t add_whole_rows(struct search *search)
{
    uint32_t touched_len = 0;

    for (size_t t = 0; t < search->whole; t++) {
        struct rough rough = rough_of(search, t);
        if (t + 1 < search->whole)
            rows_prefetch_lines(search->model->rows, search->terms->at[t + 1].item);
        size_t len = sar_row_copy(search->model, search->terms->at[t].item, least_count(search, &rough), search->scores);
        touched_len = add_row(search, &rough, len, touched_len);
    }
    return touched_len;
}

/* ---- candidates ---- */

static bool no_order(void *context, uint32_t a, uint32_t b)
{
    (void)context, (void)a, (void)b;
    return false;
}

static struct fr_topk nothing_yet(struct search *search)
{
    struct scores *scores = search->scores;
    struct fr_topk top;

    fr_reserve((void **)&scores->highest, &scores->highest_room, search->best, sizeof(*scores->highest));
    fr_topk_init(&top, scores->highest, search->best, no_order, NULL);
    return top;
}

/* Offers candidates [from, len). */
static void offer(struct search *search, struct fr_topk *top, size_t from)
{
    for (size_t k = from; k < search->len; k++)
        if (fr_topk_wants(top, search->steps[k]) && !scores_excluded(search->scores, search->items[k]))
            fr_topk_take(top, search->items[k], search->steps[k]);
}

/* Who has fewer steps, of so many terms, cannot be among the best; 0: anybody can. */
static uint32_t floor_of(const struct fr_topk *top, size_t terms, double rest)
{
    double lowest = top->len == top->k ? (top->room[0].score - (double)terms) / ROUGH_OVER - rest - 1 : 0;

    return lowest > 0 ? (uint32_t)lowest : 0;
}

/* The sieve is asked of few items, so not here: who picks from the list asks it. */
static void keep_from(struct search *search, uint32_t floor)
{
    uint32_t kept = 0;

    for (uint32_t k = 0; k < search->len; k++) {
        uint32_t item = search->items[k], steps = search->steps[k];
        search->items[kept] = item;
        search->steps[kept] = steps;
        kept += steps >= floor && !(search->scores->mark[item] & SCORES_EXCLUDED);
    }
    search->len = kept;
}

/* Takes the sums back to 0 on the way. False: an item that no whole row names could be among the best, or fewer than those may be
 * listed. */
static bool find_candidates(struct search *search, uint32_t touched_len)
{
    uint16_t *sums = search->scores->rough.sums;
    struct fr_topk top = nothing_yet(search);
    uint32_t floor = 0;

    search->items = search->scores->touched; /* closed up where they stand */
    search->steps = search->scores->rough.found;
    search->len = 0;
    for (uint32_t i = 0, end; i < touched_len; i = end) {
        uint32_t before = search->len, len = before;
        end = touched_len - i < SIFTED ? touched_len : i + SIFTED;
        for (uint32_t k = i; k < end; k++) {
            uint32_t item = search->items[k], sum = sums[item];
            sums[item] = 0;
            search->items[len] = item;
            search->steps[len] = sum;
            len += sum >= floor;
        }
        search->len = len;
        offer(search, &top, before);
        floor = floor_of(&top, search->whole, search->rest + search->left_out);
    }
    keep_from(search, floor);
    return floor > 0;
}

/* Adds the rest to the candidates, of whom few stay. */
static void add_rest(struct search *search)
{
    const struct rows *rows = search->model->rows;
    uint32_t *counts = search->scores->counts, steps[SAR_BLOCK];

    for (size_t t = search->whole; t < search->terms->len; t++) {
        struct rough rough = rough_of(search, t);
        if (t + 1 < search->terms->len)
            rows_prefetch_cells(rows, search->terms->at[t + 1].item, search->items, search->len);
        for (uint32_t k = 0, len; k < search->len; k += len) {
            len = search->len - k < SAR_BLOCK ? search->len - k : SAR_BLOCK;
            rows_look(rows, search->terms->at[t].item, search->items + k, len, counts);
            kernels_best()->rough(&rough, search->items + k, counts, steps, len);
            for (uint32_t i = 0; i < len; i++)
                search->steps[k + i] += steps[i];
        }
    }
    struct fr_topk top = nothing_yet(search);
    offer(search, &top, 0);
    keep_from(search, floor_of(&top, search->terms->len, search->left_out));
}

/* ---- exact ---- */

static void add_exactly(struct search *search, uint32_t held)
{
    struct scores *scores = search->scores;
    const struct rows *rows = search->model->rows;
    uint32_t *items = search->steps; /* `touched` is filled anew */

    for (uint32_t k = 0; k < search->len; k++)
        items[k] = search->items[k];
    for (size_t t = 0; t < search->terms->len; t++) {
        const struct term *term = &search->terms->at[t];
        size_t len = 0;
        if (t + 1 < search->terms->len)
            rows_prefetch_cells(rows, search->terms->at[t + 1].item, items, search->len);
        rows_look(rows, term->item, items, search->len, scores->counts);
        for (uint32_t k = 0; k < search->len; k++) {
            scores->columns[len] = items[k];
            scores->counts[len] = scores->counts[k];
            len += scores->counts[k] != 0;
        }
        sar_cells_score(search->model, term->item, term->weight, held, scores, len);
    }
}

bool sar_best(const struct model *model, const struct terms *terms, size_t best, uint32_t held, struct scores *scores)
{
    const struct sar_options *options = &model->options;
    struct search search = {.model = model, .terms = terms, .scores = scores, .best = best};

    if (options->parity || options->similarity != SAR_SHRUNK_COSINE || terms->len > TERMS_NEAR || !scores->items ||
        !model->host.users_bytes)
        return false;
    search.cells = cells_of(model, terms);
    if (!worth_it(&search, EACH * best, terms->len) || !plan(&search))
        return false;
    scores_make_rough(scores);
    uint32_t touched_len = add_whole_rows(&search);
    if (!find_candidates(&search, touched_len) || !worth_it(&search, search.len, terms->len - search.whole))
        return false;
    sar_row_reserve(scores, search.len);
    if (search.whole < terms->len)
        add_rest(&search);
    if (!worth_it(&search, search.len, terms->len))
        return false;
    add_exactly(&search, held);
    return true;
}
