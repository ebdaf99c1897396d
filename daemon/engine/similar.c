/*
 * similar.c -- items like an item, users like a user, and the plain facts about either.
 *
 *     items: the model's similarity.
 *     users: the dot product of two users' affinities (the reference's definition),
 *
 *         sim(u, v) = sum over i held by both of  affinity(u, i) * affinity(v, i)
 *
 * found through the postings: every user who holds an item of u's is a candidate, and only those are. The work is counted before
 * it is done and bounded by similar_work_max.
 *
 * Thread: each reader its own.
 */
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"

/* Of what stands in the accumulator. */
static struct picks best_of_scores(struct reader *reader, const void *choice, size_t k)
{
    struct picks picks = {.at = fr_arena_take(&reader->arena, (k + 1) * sizeof(*picks.at))};
    struct fr_topk top;

    fr_topk_init(&top, picks.at, k, item_before, reader);
    reader_offer(reader, &reader->scores, choice, &top);
    fr_topk_finish(&top);
    picks.len = top.len;
    return picks;
}

/* What was forgotten since the question began has no id any more, and is left out. */
static struct neighbour_list list_of(struct reader *reader, const struct dict *dict, const struct fr_ranked *best, size_t len)
{
    struct neighbour *neighbours = fr_arena_take(&reader->arena, (len + 1) * sizeof(*neighbours));
    size_t listed = 0;

    for (size_t i = 0; i < len; i++) {
        struct fr_bytes id = dict_id(dict, best[i].id);
        if (id.len)
            neighbours[listed++] = (struct neighbour){id, best[i].score};
    }
    return (struct neighbour_list){neighbours, listed};
}

int reader_similar_items(struct reader *reader, struct fr_bytes id, const struct ask *filter, struct neighbour_list *ret_list,
                         struct fr_err *err)
{
    struct engine *engine = reader->engine;
    uint32_t item = dict_find(engine->items, id, dict_hash(id));
    size_t k = filter->k < reader->items ? filter->k : reader->items;
    const struct learner *learner = models_find(engine, filter->model);
    struct caps caps;

    if (!learner->ops->neighbours)
        learner = &engine->learners[0]; /* the one that is made of items that go together */
    if (item >= reader->items)
        return fr_fail(err, FR_NOT_FOUND, "item_id is not known");
    scores_reset(&reader->scores, reader->items);
    struct choice choice = reader_filter(reader, filter);
    reader_mark(reader, item, SCORES_EXCLUDED);
    learner->ops->neighbours(learner->model, item, &reader->scores);
    caps_init(&caps, reader, filter->max_per_category);
    struct picks best = reader_pick(reader, &caps, k, best_of_scores, &choice);
    *ret_list = list_of(reader, engine->items, best.at, best.len);
    reader_unmark_all(reader);
    return FR_OK;
}

/* ---- users ---- */

static bool user_before(void *context, uint32_t a, uint32_t b)
{
    const struct reader *reader = context;

    return fr_bytes_order(dict_id(reader->engine->users, a), dict_id(reader->engine->users, b)) < 0;
}

static int by_handle(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Every user who holds one of the history's items, once each, ascending; NULL if that is more than `work` postings. */
static uint32_t *candidates(struct reader *reader, uint64_t *work, size_t *ret_len)
{
    const struct rows *postings = reader->engine->postings;
    const struct history *history = &reader->history.view;
    size_t total = 0, len = 0, room = 0;

    for (uint32_t i = 0; i < history->len; i++)
        total += users_of(reader->engine, history->item[i]);
    if (total > *work)
        return NULL;
    *work -= total;
    uint32_t *users = NULL, *counts = NULL;
    size_t counts_room = 0;
    for (uint32_t i = 0; i < history->len; i++) {
        size_t got;
        do {
            size_t need = rows_room(postings, history->item[i]);
            fr_reserve((void **)&users, &room, len + need + 1, sizeof(*users));
            fr_reserve((void **)&counts, &counts_room, need + 1, sizeof(*counts));
            got = rows_copy(postings, history->item[i], users + len, counts, need);
        } while (got == SIZE_MAX);
        len += got;
    }
    free(counts);
    if (len)
        qsort(users, len, sizeof(*users), by_handle);
    *ret_len = 0;
    for (size_t i = 0; i < len; i++)
        if (i == 0 || users[i] != users[i - 1])
            users[(*ret_len)++] = users[i];
    fr_reserve((void **)&users, &room, 1, sizeof(*users)); /* never NULL: that means too much work */
    return users;
}

/* The asker's affinities stand in scores.value by item, as of now. */
static double dot(const struct reader *reader, const struct history *other, when_ms now, span_ms half_life)
{
    double sum = 0;

    for (uint32_t i = 0; i < other->len; i++)
        if (other->item[i] < reader->items && scores_touched(&reader->scores, other->item[i]))
            sum += reader->scores.value[other->item[i]] * other->affinity[i] *
                   decay_factor(now - stamp_last(other->stamp[i]), half_life);
    return sum;
}

int reader_similar_users(struct reader *reader, struct fr_bytes id, uint32_t k, struct neighbour_list *ret_list,
                         struct fr_err *err)
{
    struct engine *engine = reader->engine;
    uint32_t user = dict_find(engine->users, id, dict_hash(id));
    when_ms now = atomic_load_explicit(&engine->now, memory_order_acquire);
    span_ms half_life = engine->options.sar.half_life;
    uint64_t work = engine->options.similar_work_max;
    struct fr_topk top;
    size_t others_len = 0;

    if (!engine->postings)
        return fr_fail(err, FR_INVALID, "similar users need engine.user_postings = yes");
    if (user == DICT_NONE)
        return fr_fail(err, FR_NOT_FOUND, "user_id is not known");
    histories_copy(engine->histories, user, &reader->history);
    uint32_t *others = candidates(reader, &work, &others_len);
    if (!others)
        return fr_fail(err, FR_LIMIT, "the user's items have more users than limits.similar_work = %llu",
                       (unsigned long long)engine->options.similar_work_max);
    k = k < others_len ? k : (uint32_t)others_len;
    struct fr_ranked *room = fr_arena_take(&reader->arena, (k + 1) * sizeof(*room));
    scores_reset(&reader->scores, reader->items);
    for (uint32_t i = 0; i < reader->history.view.len; i++)
        scores_add(&reader->scores, reader->history.view.item[i],
                   reader->history.view.affinity[i] *
                       decay_factor(now - stamp_last(reader->history.view.stamp[i]), half_life));
    fr_topk_init(&top, room, k, user_before, reader);
    for (size_t i = 0; i < others_len; i++) {
        if (others[i] == user)
            continue;
        histories_copy(engine->histories, others[i], &reader->other);
        if (reader->other.view.len > work) {
            free(others);
            return fr_fail(err, FR_LIMIT, "the histories to compare are longer than limits.similar_work = %llu",
                           (unsigned long long)engine->options.similar_work_max);
        }
        work -= reader->other.view.len;
        fr_topk_offer(&top, others[i], dot(reader, &reader->other.view, now, half_life));
    }
    free(others);
    fr_topk_finish(&top);
    *ret_list = list_of(reader, engine->users, room, top.len);
    return FR_OK;
}
