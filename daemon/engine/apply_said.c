/*
 * apply_said.c -- records of the compacted topics into the state: what is said of items and users.
 *
 *     EVENT_ITEM        a new item gets its handle, so that it can be recommended before anybody has had it
 *     EVENT_USER        a new user likewise
 *     EVENT_ITEM_GONE, EVENT_USER_GONE      forget.c, which also takes back what was said
 *
 * In the journal they stand among the events, in the order in which they were applied, so each checkpoint holds what was said up to
 * its positions. Bounds come first: what is refused leaves no trace. What was said before its id was forgotten counts for nothing, as when
 * the log is read again into a state that already knows better; what comes in the same millisecond comes after, by its offset.
 *
 * Thread: engine.
 */
#include "engine_private.h"

static bool is_outdated(const struct engine *engine, enum format_forgotten kind, struct fr_bytes id, when_ms logged)
{
    return logged < cutoffs_upto(engine->cutoffs, kind, id);
}

bool apply_say_item(struct engine *engine, uint32_t item, struct fr_bytes said)
{
    if (!catalogue_put_item(engine->catalogue, item, said))
        return false;
    const struct catalogue_item *record = catalogue_item(engine->catalogue, item);
    if (record->from > 0)
        popular_came(engine, item, record->from);
    models_describe(engine, item, record);
    return true;
}

static void say_item(struct engine *engine, const struct event *event)
{
    uint64_t hash = dict_hash(event->item);
    uint32_t item = dict_find(engine->items, event->item, hash);
    uint64_t turns = catalogue_turns(engine->catalogue);
    const char *bound = item == DICT_NONE ? apply_item_bound(engine) : NULL;

    if (is_outdated(engine, FORMAT_ITEM, event->item, event->logged))
        return;
    if (!bound)
        bound = catalogue_item_bound(engine->catalogue, item, event->said);
    if (bound) {
        apply_refuse(engine, event, bound);
        return;
    }
    if (item == DICT_NONE)
        item = apply_item(engine, event->item, hash);
    apply_say_item(engine, item, event->said);
    if (catalogue_turns(engine->catalogue) != turns)
        watch_owe_everyone(engine);
    models_learned(engine, 1); /* there may be what askers do not see yet */
    journal_put(engine->journal, TABLE_CATALOGUE_ITEMS, item, 0, event->said.at, event->said.len);
}

void apply_unsay_item(struct engine *engine, uint32_t item)
{
    if (!catalogue_drop_item(engine->catalogue, item))
        return;
    models_describe(engine, item, NULL);
    models_learned(engine, 1);
    watch_owe_everyone(engine);
    journal_delete(engine->journal, TABLE_CATALOGUE_ITEMS, item, 0);
}

static void say_user(struct engine *engine, const struct event *event)
{
    uint64_t hash = dict_hash(event->user);
    uint32_t user = dict_find(engine->users, event->user, hash);
    const char *bound = user == DICT_NONE ? apply_user_bound(engine) : NULL;

    if (is_outdated(engine, FORMAT_USER, event->user, event->logged))
        return;
    if (!bound)
        bound = catalogue_user_bound(engine->catalogue, user, event->said);
    if (bound) {
        apply_refuse(engine, event, bound);
        return;
    }
    if (user == DICT_NONE)
        user = apply_user(engine, event->user, hash);
    catalogue_put_user(engine->catalogue, user, event->said);
    journal_put(engine->journal, TABLE_CATALOGUE_USERS, user, 0, event->said.at, event->said.len);
}

void apply_unsay_user(struct engine *engine, uint32_t user)
{
    if (catalogue_drop_user(engine->catalogue, user))
        journal_delete(engine->journal, TABLE_CATALOGUE_USERS, user, 0);
}

void apply_said(struct engine *engine, const struct event *event)
{
    fr_count(engine->said_series[event->kind - EVENT_ITEM], 1);
    switch (event->kind) {
    case EVENT_ITEM:
        say_item(engine, event);
        break;
    case EVENT_ITEM_GONE:
        forget_item(engine, event);
        break;
    case EVENT_USER:
        say_user(engine, event);
        break;
    case EVENT_USER_GONE:
        forget_user(engine, event);
        break;
    default:
        break;
    }
}
