/*
 * facts.c -- what is known of a user or an item, as of the newest event time.
 *
 * A user's events are counted by what the history holds, not by what was ever applied: so what was evicted or forgotten leaves no trace here,
 * and a store built anew, which is never given what was forgotten, tells the same.
 *
 * Thread: each reader its own.
 */
#include <stdlib.h>

#include "engine_private.h"

static int by_affinity(const void *a, const void *b)
{
    const struct user_affinity *x = a, *y = b;

    if (x->affinity != y->affinity)
        return x->affinity < y->affinity ? 1 : -1;
    return fr_bytes_order(x->item, y->item);
}

int reader_user(struct reader *reader, struct fr_bytes id, struct user_facts *ret_facts, struct fr_err *err)
{
    struct engine *engine = reader->engine;
    uint32_t user = dict_find(engine->users, id, dict_hash(id));
    when_ms now = atomic_load_explicit(&engine->now, memory_order_acquire);

    if (user == DICT_NONE)
        return fr_fail(err, FR_NOT_FOUND, "user_id is not known");
    histories_copy(engine->histories, user, &reader->history);
    const struct history *history = &reader->history.view;
    struct user_affinity *affinities = fr_arena_take(&reader->arena, (history->len + 1) * sizeof(*affinities));
    size_t len = 0;
    uint64_t events = 0;
    when_ms newest = 0;
    for (uint32_t i = 0; i < history->len; i++) {
        when_ms last = stamp_last(history->stamp[i]);
        struct fr_bytes item = dict_id(engine->items, history->item[i]);
        if (!item.len) /* it is being forgotten */
            continue;
        affinities[len++] = (struct user_affinity){
            .item = item,
            .affinity = history->affinity[i] * decay_factor(now - last, engine->options.sar.half_life),
            .last = last,
        };
        events += stamp_repeats(history->stamp[i]);
        newest = last > newest ? last : newest;
    }
    qsort(affinities, len, sizeof(*affinities), by_affinity);
    *ret_facts = (struct user_facts){affinities, len, newest, events, NULL};
    const struct catalogue_user *record = catalogue_user(engine->catalogue, user);
    struct features_said *features = record ? fr_arena_take(&reader->arena, sizeof(*features)) : NULL;
    if (record && catalogue_user_read(record->said, features))
        ret_facts->features = features;
    return FR_OK;
}

int reader_item(struct reader *reader, struct fr_bytes id, struct item_facts *ret_facts, struct fr_err *err)
{
    uint32_t item = dict_find(reader->engine->items, id, dict_hash(id));

    if (item >= reader->items)
        return fr_fail(err, FR_NOT_FOUND, "item_id is not known");
    const _Atomic int64_t *first = fr_array_at(&reader->engine->item_first_seen, item);
    int64_t seen = atomic_load_explicit(first, memory_order_acquire);
    *ret_facts = (struct item_facts){
        .users = users_of(reader->engine, item), .trending = popular_trending(reader, item), .first_seen = seen ? seen - 1 : 0};
    const struct catalogue_item *record = catalogue_item(reader->engine->catalogue, item);
    struct item_said *said = record ? fr_arena_take(&reader->arena, sizeof(*said)) : NULL;
    if (record && catalogue_item_read(record->said, said))
        ret_facts->said = said;
    return FR_OK;
}
