/*
 * popular.c -- the items most users hold.
 *
 * n_i stands in one run of u32, and each page of 4096 items has a peak that no n_i in it exceeds. A question walks the
 * pages and skips those whose peak is below the k-th best so far; since popular items tend to be met early, that is most
 * of them. Exact at any moment, nothing to maintain but the peak (which only rises: where many have left, a page is walked for nothing).
 * Thread: each reader its own.
 */
#include "engine_private.h"

static uint32_t peak_of(const struct engine *engine, uint32_t item)
{
    const _Atomic uint32_t *peak = fr_array_at(&engine->page_peak, item / POPULAR_PAGE);

    return atomic_load_explicit(peak, memory_order_acquire);
}

static void offer(struct reader *reader, uint32_t item, struct fr_topk *top)
{
    uint32_t users = users_of(reader->engine, item);

    if (users && fr_topk_wants(top, users) && !scores_touched(&reader->scores, item) && !scores_excluded(&reader->scores, item))
        fr_topk_offer(top, item, users);
}

struct picks popular_best(struct reader *reader, const void *context, size_t k)
{
    const struct choice *choice = context;
    struct picks picks = {.at = fr_arena_take(&reader->arena, (k + 1) * sizeof(*picks.at))};
    struct fr_topk top;

    fr_topk_init(&top, picks.at, k, item_before, reader);
    if (choice->only_included) {
        for (size_t i = 0; i < choice->included_len; i++)
            offer(reader, choice->included[i], &top);
    } else {
        for (uint32_t page = 0; page < reader->items; page += POPULAR_PAGE) {
            uint32_t end = page + POPULAR_PAGE < reader->items ? page + POPULAR_PAGE : reader->items;
            if (top.len == k && peak_of(reader->engine, page) < top.room[0].score)
                continue;
            for (uint32_t item = page; item < end; item++)
                offer(reader, item, &top);
        }
    }
    fr_topk_finish(&top);
    picks.len = top.len;
    return picks;
}

void reader_popular(struct reader *reader, const struct ask *filter, struct recommendation_list *ret_list)
{
    size_t k = filter->k < reader->items ? filter->k : reader->items;
    struct caps caps;

    scores_reset(&reader->scores, reader->items);
    struct choice choice = reader_filter(reader, filter);
    caps_init(&caps, reader, filter->max_per_category);
    struct picks best = reader_pick(reader, &caps, k, popular_best, &choice);
    struct recommended *items = fr_arena_take(&reader->arena, (best.len + 1) * sizeof(*items));
    for (size_t i = 0; i < best.len; i++)
        items[i] = (struct recommended){
            .item = dict_id(reader->engine->items, best.at[i].id), .score = best.at[i].score, .source = "popular"};
    reader_unmark_all(reader);
    *ret_list = (struct recommendation_list){items, best.len, "popular", false};
}
