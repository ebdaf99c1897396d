/*
 * popular.c -- what most users hold, what they have touched lately, what came last.
 *
 * Each order is by a figure per item, and each page of 4096 items has a peak that no figure in it exceeds. A question walks the pages and skips
 * those whose peak is below the k-th best so far:
 *
 *     figure                          peak                                                       pages are walked
 *     users     n_i                   only rises                                                 as they lie: popular items tend to be met early
 *     trending  the model's sum       only rises, and fades with the sums                        the highest peak first
 *     newest    when it came          only rises: first seen, or available_from if that is said  the highest peak first
 *
 * Exact at any moment, nothing to maintain but the peaks. Where figures have fallen since, a page is walked for nothing; where more than k items
 * share the best figure, every page is, since ids decide.
 * Thread: each reader its own.
 */
#include <stdlib.h>

#include "engine_private.h"
#include "freshet/trending.h"

_Static_assert((int)POPULAR_PAGE == (int)TRENDING_PAGE, "one kind of page");

struct popularity {
    const struct choice *choice;
    enum popular_by by;
    const struct learner *trending; /* who has the figures; by the others NULL */
    struct query query;
};

struct page {
    double peak;
    uint32_t first;
};

/* ---- figures ---- */

static double users_figure(const struct reader *reader, uint32_t item)
{
    uint32_t users = users_of(reader->engine, item);

    return users ? users : -1.;
}

/* When it came; -1: it is not known to be there. */
static double newest_figure(const struct reader *reader, uint32_t item)
{
    const struct catalogue_item *record = catalogue_item(reader->engine->catalogue, item);
    const _Atomic int64_t *first = fr_array_at(&reader->engine->item_first_seen, item);

    if (record && record->from > 0)
        return (double)record->from;
    return record || users_of(reader->engine, item) ? (double)atomic_load_explicit(first, memory_order_acquire) - 1 : -1;
}

/* Of each item its figure; below 0: it is not listed. */
static void figures(const struct reader *reader, const struct popularity *popularity, const uint32_t *items, size_t len, double *values)
{
    switch (popularity->by) {
    case POPULAR_TRENDING:
        popularity->trending->ops->score(popularity->trending->model, &popularity->query, items, len, values);
        for (size_t i = 0; i < len; i++)
            values[i] = users_of(reader->engine, items[i]) ? values[i] : -1;
        return;
    case POPULAR_NEWEST:
        for (size_t i = 0; i < len; i++)
            values[i] = newest_figure(reader, items[i]);
        return;
    default:
        for (size_t i = 0; i < len; i++)
            values[i] = users_figure(reader, items[i]);
        return;
    }
}

void popular_came(struct engine *engine, uint32_t item, when_ms when)
{
    _Atomic int64_t *newest = fr_array_at(&engine->page_newest, item / POPULAR_PAGE);
    int64_t known = atomic_load_explicit(newest, memory_order_relaxed);

    while (known < when + 1 && !atomic_compare_exchange_weak_explicit(newest, &known, when + 1, memory_order_release, memory_order_relaxed))
        ;
}

/* ---- pages ---- */

static int by_peak(const void *a, const void *b)
{
    const struct page *x = a, *y = b;

    return x->peak != y->peak ? (x->peak < y->peak ? 1 : -1) : (x->first > y->first) - (x->first < y->first);
}

static struct page *pages_of(struct reader *reader, const struct popularity *popularity, size_t *ret_len)
{
    const struct engine *engine = reader->engine;
    size_t len = (reader->items + (size_t)POPULAR_PAGE - 1) / POPULAR_PAGE;
    struct page *pages = fr_arena_take(&reader->arena, (len + 1) * sizeof(*pages));
    double *peaks = fr_arena_take(&reader->arena, (len + 1) * sizeof(*peaks));

    if (popularity->by == POPULAR_TRENDING)
        trending_peaks(popularity->trending->model, popularity->query.now, len, peaks);
    for (size_t i = 0; i < len; i++) {
        if (popularity->by == POPULAR_USERS)
            peaks[i] = atomic_load_explicit((const _Atomic uint32_t *)fr_array_at(&engine->page_peak, i), memory_order_acquire);
        if (popularity->by == POPULAR_NEWEST)
            peaks[i] = (double)atomic_load_explicit((const _Atomic int64_t *)fr_array_at(&engine->page_newest, i), memory_order_acquire) - 1;
        pages[i] = (struct page){peaks[i], (uint32_t)i * POPULAR_PAGE};
    }
    if (popularity->by != POPULAR_USERS)
        qsort(pages, len, sizeof(*pages), by_peak);
    *ret_len = len;
    return pages;
}

static void offer(struct reader *reader, const struct popularity *popularity, const uint32_t *items, size_t len, double *values,
                  struct fr_topk *top)
{
    figures(reader, popularity, items, len, values);
    for (size_t i = 0; i < len; i++)
        if (values[i] >= 0 && fr_topk_wants(top, values[i]) && !scores_touched(&reader->scores, items[i]) &&
            !scores_excluded(&reader->scores, items[i]))
            fr_topk_offer(top, items[i], values[i]);
}

static void offer_pages(struct reader *reader, const struct popularity *popularity, double *values, struct fr_topk *top)
{
    size_t len;
    const struct page *pages = pages_of(reader, popularity, &len);
    uint32_t *items = fr_arena_take(&reader->arena, POPULAR_PAGE * sizeof(*items));

    for (size_t p = 0; p < len; p++) {
        uint32_t left = reader->items - pages[p].first;
        uint32_t run = left < POPULAR_PAGE ? left : POPULAR_PAGE;
        if (top->len == top->k && (!top->k || pages[p].peak < top->room[0].score))
            continue;
        for (uint32_t i = 0; i < run; i++)
            items[i] = pages[p].first + i;
        offer(reader, popularity, items, run, values, top);
    }
}

static struct picks best_by(struct reader *reader, const void *context, size_t k)
{
    const struct popularity *popularity = context;
    const struct choice *choice = popularity->choice;
    struct picks picks = {.at = fr_arena_take(&reader->arena, (k + 1) * sizeof(*picks.at))};
    size_t run = choice->only_included ? choice->included_len : POPULAR_PAGE;
    double *values = fr_arena_take(&reader->arena, (run + 1) * sizeof(*values));
    struct fr_topk top;

    fr_topk_init(&top, picks.at, k, item_before, reader);
    if (choice->only_included)
        offer(reader, popularity, choice->included, choice->included_len, values, &top);
    else
        offer_pages(reader, popularity, values, &top);
    fr_topk_finish(&top);
    picks.len = top.len;
    return picks;
}

/* ---- questions ---- */

struct picks popular_best(struct reader *reader, const void *choice, size_t k)
{
    return best_by(reader, &(struct popularity){.choice = choice}, k);
}

double popular_trending(const struct reader *reader, uint32_t item)
{
    const struct learner *trending = models_find(reader->engine, trending_ops.name);
    struct query query = {.now = atomic_load_explicit(&reader->engine->now, memory_order_acquire), .items = reader->items};
    double value = 0;

    if (trending)
        trending->ops->score(trending->model, &query, &item, 1, &value);
    return value + 0.0; /* not -0 */
}

void reader_popular(struct reader *reader, const struct ask *ask, struct recommendation_list *ret_list)
{
    static const char *const names[POPULAR_BYS] = {"popular", "trending", "newest"};
    size_t k = ask->k < reader->items ? ask->k : reader->items;
    struct caps caps;

    scores_reset(&reader->scores, reader->items);
    struct choice choice = reader_filter(reader, ask);
    const struct popularity popularity = {
        .choice = &choice,
        .by = ask->by,
        .trending = ask->by == POPULAR_TRENDING ? models_find(reader->engine, trending_ops.name) : NULL,
        .query = {.now = atomic_load_explicit(&reader->engine->now, memory_order_acquire), .items = reader->items},
    };
    caps_init(&caps, reader, ask->max_per_category);
    if (ask->by == POPULAR_TRENDING && !popularity.trending)
        k = 0;
    struct picks best = k ? reader_pick(reader, &caps, k, best_by, &popularity) : (struct picks){0};
    struct recommended *items = fr_arena_take(&reader->arena, (best.len + 1) * sizeof(*items));
    size_t len = 0;
    for (size_t i = 0; i < best.len; i++) {
        struct fr_bytes id = dict_id(reader->engine->items, best.at[i].id);
        if (id.len) /* one that was forgotten since the question began has none */
            items[len++] = (struct recommended){.item = id, .score = best.at[i].score, .source = names[ask->by]};
    }
    reader_unmark_all(reader);
    *ret_list = (struct recommendation_list){items, len, names[ask->by], false};
}
