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

    if (users && !scores_touched(&reader->scores, item) && !(reader->scores.mark[item] & SCORES_EXCLUDED))
        fr_topk_offer(top, item, users);
}

size_t popular_pick(struct reader *reader, const struct choice *choice, size_t k, struct fr_ranked *room)
{
    struct fr_topk top;

    fr_topk_init(&top, room, k, item_before, reader);
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
    return top.len;
}

void reader_popular(struct reader *reader, const struct ask *filter, struct recommendation_list *ret_list)
{
    size_t k = filter->k < reader->items ? filter->k : reader->items, len;
    struct fr_ranked *room = fr_arena_take(&reader->arena, (k + 1) * sizeof(*room));
    struct recommended *items = fr_arena_take(&reader->arena, (k + 1) * sizeof(*items));

    scores_reset(&reader->scores, reader->items);
    struct choice choice = reader_filter(reader, filter);
    len = popular_pick(reader, &choice, k, room);
    for (size_t i = 0; i < len; i++)
        items[i] = (struct recommended){
            .item = dict_id(reader->engine->items, room[i].id), .score = room[i].score, .source = "popular"};
    reader_unmark_all(reader);
    *ret_list = (struct recommendation_list){items, len, "popular", false};
}
