/*
 * apply.c -- one batch of events into the state, in log order; in parts, where they take long.
 *
 * Per event, always in this order (algorithms.md 1.7): drop repeats, resolve ids, evaluate a sample, let every model learn
 * with the history before the event, then update the history and who holds what; evict what no longer fits and let
 * the models take it back.
 *
 * Random memory is what an event costs, so a chunk of events goes through passes that only fetch: ids, history headers,
 * histories, row headers, cells; the last pass applies. A fetch of the wrong thing (an earlier event of the chunk has changed
 * the history) costs time, never truth.
 *
 *     batch    event event ... tombstone | tombstone | tombstone event ...       |: a part ends, and positions are as exact as at the end
 *
 * Where histories have no bound a tombstone is n^2 / 2 pairs of items to take back, and a batch may hold a thousand of them.
 *
 * Thread: engine.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine_private.h"
#include "freshet/blackbox.h"
#include "freshet/crash.h"
#include "freshet/defect.h"

enum { CHUNK = 16, PAIR_STAGES = 2 };

struct resolved {
    uint64_t user_hash, item_hash;
    uint32_t user, item; /* DICT_NONE: new when looked up */
};

/*
 * What all that is random about an event hangs on: where it stands in the log, and nothing that another store would number differently.
 * (The finalizer of splitmix64, twice: neighbouring offsets share no pattern.)
 */
static uint64_t draw_of(const struct partition *partition, int64_t offset)
{
    uint64_t bits = (uint64_t)offset;

    for (int round = 0; round < 2; round++) {
        bits += UINT64_C(0x9e3779b97f4a7c15);
        bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
        bits ^= bits >> 31;
        bits ^= round ? 0 : partition->identity;
    }
    return bits;
}

/* Until the next touch: features of a user stand in a room of the engine's. */
static struct touch touch_of(struct engine *engine, uint32_t user, uint32_t item, const struct event *event)
{
    struct history history = histories_view(engine->histories, user);
    size_t context_len;
    const uint64_t *context =
        features_joined(engine->catalogue, user, event->context, event->context_len, engine->context, &context_len);

    return (struct touch){
        .user = user,
        .item = item,
        .at = history.len,
        .behind = history.len ? history.step[history.len - 1] : 0,
        .fresh = true,
        .when = event->when,
        .weight = event->weight,
        .draw = draw_of(partition_at(engine, event->partition), event->offset),
        .context = context_len ? context : NULL,
        .context_len = context_len,
        .user_id = event->user,
        .history = history,
    };
}

static void fetch(struct engine *engine, const struct event *events, struct resolved *resolved, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (events[i].kind != EVENT_APPLY)
            continue;
        fr_flight_of(events[i].partition, events[i].offset);
        resolved[i].user_hash = dict_hash(events[i].user);
        resolved[i].item_hash = dict_hash(events[i].item);
        dict_prefetch(engine->users, resolved[i].user_hash);
        dict_prefetch(engine->items, resolved[i].item_hash);
    }
    for (size_t i = 0; i < len; i++) {
        if (events[i].kind != EVENT_APPLY)
            continue;
        fr_flight_of(events[i].partition, events[i].offset);
        resolved[i].user = dict_find(engine->users, events[i].user, resolved[i].user_hash);
        resolved[i].item = dict_find(engine->items, events[i].item, resolved[i].item_hash);
        if (resolved[i].user != DICT_NONE)
            histories_prefetch(engine->histories, resolved[i].user, 0);
    }
    for (size_t i = 0; i < len; i++)
        if (events[i].kind == EVENT_APPLY && resolved[i].user != DICT_NONE)
            histories_prefetch(engine->histories, resolved[i].user, 1);
    for (int stage = 0; stage < PAIR_STAGES; stage++)
        for (size_t i = 0; i < len; i++) {
            if (events[i].kind != EVENT_APPLY || resolved[i].user == DICT_NONE || resolved[i].item == DICT_NONE)
                continue;
            fr_flight_of(events[i].partition, events[i].offset);
            struct touch touch = touch_of(engine, resolved[i].user, resolved[i].item, &events[i]);
            for (size_t m = 0; m < engine->learners_len; m++)
                if (engine->learners[m].ops->prepare)
                    engine->learners[m].ops->prepare(engine->learners[m].model, &touch, stage);
        }
}

void apply_make_room(struct engine *engine, uint32_t users, uint32_t items)
{
    histories_extend(engine->histories, users);
    fr_array_grow(&engine->item_users, items);
    fr_array_grow(&engine->item_bytes, items);
    fr_array_grow(&engine->item_first_seen, items);
    fr_array_grow(&engine->page_peak, items / POPULAR_PAGE + 1);
    fr_array_grow(&engine->page_newest, items / POPULAR_PAGE + 1);
    if (engine->postings)
        rows_extend(engine->postings, items);
    for (size_t m = 0; m < engine->learners_len; m++)
        engine->learners[m].ops->extend(engine->learners[m].model, items);
}

/* Handles are made in log order. Room is made first, so that a reader never meets a handle that has none. */
uint32_t apply_user(struct engine *engine, struct fr_bytes id, uint64_t hash)
{
    histories_extend(engine->histories, dict_len(engine->users) + 1);
    uint32_t user = dict_add(engine->users, id, hash);

    assert(user != DICT_NONE);
    journal_put(engine->journal, TABLE_USERS, user, 0, id.at, id.len);
    return user;
}

uint32_t apply_item(struct engine *engine, struct fr_bytes id, uint64_t hash)
{
    apply_make_room(engine, dict_len(engine->users), dict_len(engine->items) + 1);
    uint32_t item = dict_add(engine->items, id, hash);

    assert(item != DICT_NONE);
    journal_put(engine->journal, TABLE_ITEMS, item, 0, id.at, id.len);
    return item;
}

static void held_by(struct engine *engine, uint32_t item, uint32_t before, uint32_t after)
{
    _Atomic uint32_t *users = fr_array_at(&engine->item_users, item);
    _Atomic uint8_t *byte = fr_array_at(&engine->item_bytes, item);
    _Atomic uint32_t *peak = fr_array_at(&engine->page_peak, item / POPULAR_PAGE);

    if (after > atomic_load_explicit(peak, memory_order_relaxed))
        atomic_store_explicit(peak, after, memory_order_release); /* first: the peak may never be below */
    atomic_store_explicit(users, after, memory_order_release);
    atomic_store_explicit(byte, users_byte(after), memory_order_release);
    if ((before == 0) != (after == 0))
        atomic_store_explicit(&engine->items_held, engine->items_held + (after ? 1U : -1U), memory_order_release);
}

void apply_item_held(struct engine *engine, uint32_t item, int by)
{
    uint32_t before = atomic_load_explicit((_Atomic uint32_t *)fr_array_at(&engine->item_users, item), memory_order_relaxed);

    assert(by > 0 || before > 0);
    held_by(engine, item, before, before + (uint32_t)by);
}

void apply_items_counted(struct engine *engine)
{
    for (uint32_t item = 0, len = dict_len(engine->items); item < len; item++) {
        const _Atomic uint32_t *users = fr_array_at(&engine->item_users, item);
        held_by(engine, item, 0, atomic_load_explicit(users, memory_order_relaxed));
    }
}

static void save_slot(struct engine *engine, uint32_t user, uint32_t at)
{
    char room[HISTORY_SLOT_BYTES];
    size_t len;
    uint32_t item = histories_view(engine->histories, user).item[at];

    histories_slot_bytes(engine->histories, user, at, room, &len);
    journal_put(engine->journal, TABLE_HISTORY, user, item, room, len);
}

static void save_slots(struct engine *engine, uint32_t user, uint32_t from)
{
    for (uint32_t at = from, len = histories_view(engine->histories, user).len; at < len; at++)
        save_slot(engine, user, at);
}

void apply_save_head(struct engine *engine, uint32_t user)
{
    char room[HISTORY_HEAD_BYTES];
    size_t len;

    histories_head_bytes(engine->histories, user, room, &len);
    journal_put(engine->journal, TABLE_HISTORY, user, COLUMN_HEAD, room, len);
}

void apply_save_history(struct engine *engine, uint32_t user)
{
    save_slots(engine, user, 0);
    apply_save_head(engine, user);
}

/* An item has come to a history of this length, or left it. */
static void count_work(struct engine *engine, uint32_t len)
{
    uint32_t window = engine->options.sar.window;

    engine->work += (window && window < len ? window : len) + 1;
}

/* The item in slot `at` leaves the user's history; everything counted for it is taken back. The head is to be saved. */
void apply_leave(struct engine *engine, uint32_t user, uint32_t at)
{
    struct history before = histories_view(engine->histories, user);
    struct touch touch = {
        .user = user,
        .item = before.item[at],
        .at = at,
        .behind = at ? before.step[at - 1] : 0,
        .ahead = before.step[at],
        .when = stamp_last(before.stamp[at]),
    };

    if (!fr_defect(DEFECT_EVICTION_UNWRITTEN))
        journal_delete(engine->journal, TABLE_HISTORY, user, touch.item);
    if (histories_drop(engine->histories, user, at))
        save_slots(engine, user, at);
    fr_crash_point("history.left");
    count_work(engine, before.len);
    apply_item_held(engine, touch.item, -1);
    if (engine->postings)
        rows_add(engine->postings, touch.item, user, -1);
    touch.history = histories_view(engine->histories, user);
    for (size_t m = 0; m < engine->learners_len; m++)
        engine->learners[m].ops->forget(engine->learners[m].model, &touch);
    if (engine->pulse) /* one history alone may take long */
        fr_pulse_beat(engine->pulse);
}

static void see_item(struct engine *engine, uint32_t item, when_ms when)
{
    _Atomic int64_t *first = fr_array_at(&engine->item_first_seen, item);
    int64_t known = atomic_load_explicit(first, memory_order_relaxed);

    if (known && known - 1 <= when)
        return;
    popular_came(engine, item, when);
    atomic_store_explicit(first, when + 1, memory_order_release);
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)when >> (8 * i));
    journal_put(engine->journal, TABLE_ITEMS, item, 1, bytes, sizeof(bytes));
}

static void learn(struct engine *engine, uint32_t user, uint32_t item, const struct event *event)
{
    uint32_t at = histories_find(engine->histories, user, item);
    struct touch touch = touch_of(engine, user, item, event);

    touch.fresh = at == UINT32_MAX;
    if (!touch.fresh)
        touch.at = at;
    count_work(engine, touch.history.len);
    if (touch.fresh && event->weight > 0)
        evaluate(engine->evaluator, &touch);
    for (size_t m = 0; m < engine->learners_len; m++)
        engine->learners[m].ops->learn(engine->learners[m].model, &touch);
    at = histories_touch(engine->histories, user, at, item, event->when, event->weight);
    save_slot(engine, user, at);
    if (touch.fresh) {
        apply_item_held(engine, item, 1);
        if (engine->postings)
            rows_add(engine->postings, item, user, 1);
    }
    see_item(engine, item, event->when);
    if (engine->options.history_max && histories_view(engine->histories, user).len > engine->options.history_max) {
        apply_leave(engine, user, histories_oldest(engine->histories, user));
        fr_count(engine->evicted_series, 1);
    }
    apply_save_head(engine, user);
    if (engine->extremes)
        extremes_update(engine->extremes, user);
}

void apply_refuse(struct engine *engine, const struct event *event, const char *why)
{
    struct event rejected = *event;
    struct reject reject = {
        .logged = event->logged,
        .reason = "capacity",
        .message = fr_bytes_of(why),
    };

    if (event->reject) { /* engine_batch_wants_record has asked for it in time */
        reject.key = event->reject->key;
        reject.value = event->reject->value;
        reject.has_key = event->reject->has_key;
        reject.has_value = event->reject->has_value;
        reject.logged = event->reject->logged;
    }
    rejected.reject = &reject;
    outbox_add(engine, &rejected);
}

/* A length is left for the longest id: whether one is let in hangs on those before it alone. */
static const char *room_bound(const struct dict *dict)
{
    return dict_has_room(dict, 1) ? NULL : "the ids known take all the room there is for ids";
}

const char *apply_user_bound(const struct engine *engine)
{
    if (dict_len(engine->users) < atomic_load_explicit(&engine->users_max, memory_order_relaxed))
        return room_bound(engine->users);
    return atomic_load_explicit(&engine->closed, memory_order_relaxed) ? "user_id is new and limits.memory_soft is reached"
                                                                       : "user_id is new and engine.users_max users have been known";
}

const char *apply_item_bound(const struct engine *engine)
{
    if (dict_len(engine->items) < atomic_load_explicit(&engine->items_max, memory_order_relaxed))
        return room_bound(engine->items);
    return atomic_load_explicit(&engine->closed, memory_order_relaxed) ? "item_id is new and limits.memory_soft is reached"
                                                                       : "item_id is new and engine.items_max items have been known";
}

/* Before the last batches that could take one: so the records of those that find none left have come whole. */
uint32_t apply_sequences_left(struct engine *engine, uint32_t user)
{
    uint32_t left = UINT32_MAX - histories_next_sequence(engine->histories, user);

    if (left <= 2 * BATCHES * EVENT_BATCH_MAX)
        atomic_store_explicit(&engine->sequences_end, true, memory_order_relaxed);
    return left;
}

/* The bound of the state that stands against the event; NULL if none does. DICT_NONE: new. */
static const char *bound_against(struct engine *engine, uint32_t user, uint32_t item)
{
    const char *bound = user == DICT_NONE ? apply_user_bound(engine) : NULL;

    if (!bound && user != DICT_NONE && !apply_sequences_left(engine, user))
        bound = "user_id has had 4294967295 items, and sequence numbers end there";
    return !bound && item == DICT_NONE ? apply_item_bound(engine) : bound;
}

/* Bounds come first: what is refused leaves no trace, no new id and no event_id by which its second coming would be a repeat. */
static void apply_event(struct engine *engine, const struct event *event, const struct resolved *resolved)
{
    uint32_t user = resolved->user, item = resolved->item;

    if (user == DICT_NONE) /* an event before it in the chunk may have made it */
        user = dict_find(engine->users, event->user, resolved->user_hash);
    if (item == DICT_NONE)
        item = dict_find(engine->items, event->item, resolved->item_hash);
    if (forgotten(engine, event))
        return;
    const char *bound = bound_against(engine, user, item);
    if (bound) {
        apply_refuse(engine, event, bound);
        return;
    }
    if (engine->dedup && (event->repeat_high || event->repeat_low) && event->logged >= 0 &&
        dedup_seen(engine->dedup, event->partition, event->repeat_high, event->repeat_low, event->logged,
                   engine->journal)) {
        fr_count(engine->duplicate_series, 1);
        return;
    }
    if (user == DICT_NONE)
        user = apply_user(engine, event->user, resolved->user_hash);
    if (item == DICT_NONE)
        item = apply_item(engine, event->item, resolved->item_hash);
    if (event->when > atomic_load_explicit(&engine->now, memory_order_relaxed))
        atomic_store_explicit(&engine->now, event->when, memory_order_release);
    learn(engine, user, item, event);
    engine->type_counts[event->type < engine->options.types_len ? event->type : engine->options.types_len - 1]++;
}

/* From here on it is another log, and what the one before had to say of offsets holds no more. Shown at once: askers rather see too little
 * applied than too much. */
static void begin_other_log(struct partition *partition, int64_t offset)
{
    partition->position = offset;
    partition->last = partition->newest = -1;
    partition->print = 0;
    partition->moved = true;
    partition->unsaved = true;
    atomic_store_explicit(&partition->next, offset, memory_order_release);
    atomic_store_explicit(&partition->caught_up, 0, memory_order_relaxed);
}

/* Steps past the event; false if there is nothing to apply: no record, or one applied before (the broker gave it twice). */
static bool advance(struct engine *engine, const struct event *event)
{
    struct partition *partition = partition_at(engine, event->partition);
    bool record = event->kind != EVENT_POSITION && event->kind != EVENT_HOLE;
    int64_t next = record ? event->offset + 1 : event->offset;

    if (event->kind == EVENT_OTHER_LOG) {
        begin_other_log(partition, event->offset);
        gaps_forget(engine, partition);
        return false;
    }
    if (partition->position >= next)
        return false;
    if (event->kind == EVENT_HOLE)
        gap_step(engine, partition, next);
    partition->position = next;
    partition->moved = true;
    partition->unsaved = true;
    if (!record)
        return false;
    partition->last = event->offset;
    partition->print = event->print;
    if (event->logged > partition->newest)
        partition->newest = event->logged;
    return true;
}

/* How long each record took to be in the answers. Of the one that took longest it is told which it was. */
static void count_visible(struct engine *engine, const struct event *events, uint32_t len)
{
    const struct event *slowest = NULL;
    when_ms wall = fr_wall_ms();

    for (uint32_t i = 0; i < len; i++) {
        const struct event *event = &events[i];
        if (event->kind != EVENT_APPLY || event->logged < 0)
            continue;
        if (slowest)
            fr_observe(engine->visible_series, (double)(wall - (event->logged < slowest->logged ? slowest : event)->logged) / 1000);
        if (!slowest || event->logged < slowest->logged)
            slowest = event;
    }
    if (slowest) {
        const struct partition *partition = engine->partitions[slowest->partition];
        char record[FR_EXEMPLAR_MAX + TOPIC_BYTES_MAX];
        snprintf(record, sizeof(record), "topic=\"%s\",partition=\"%" PRId32 "\",offset=\"%" PRId64 "\"", partition->topic,
                 partition->number, slowest->offset);
        fr_observe_with(engine->visible_series, (double)(wall - slowest->logged) / 1000, record);
    }
}

/* Before positions are shown: who sees that an event is applied finds it counted. */
static void count_applied(struct engine *engine, const struct event *events, uint32_t len)
{
    uint64_t applied = 0;
    bool changed = false;
    when_ms wall = fr_wall_ms();

    for (uint32_t i = 0; i < len && !changed; i++)
        changed = events[i].kind >= EVENT_ITEM && events[i].kind <= EVENT_USER_GONE;

    for (size_t t = 0; t < engine->options.types_len; t++) {
        if (engine->type_counts[t])
            fr_count(engine->type_series[t], engine->type_counts[t]);
        applied += engine->type_counts[t];
        engine->type_counts[t] = 0;
    }
    atomic_fetch_add_explicit(&engine->events, applied, memory_order_relaxed);
    models_learned(engine, applied);
    changed = changed || applied;
    if (changed) /* feed gives empty batches too */
        atomic_store_explicit(&engine->changed, wall, memory_order_relaxed);
    if (changed && !atomic_load_explicit(&engine->uncommitted_since, memory_order_relaxed))
        atomic_store_explicit(&engine->uncommitted_since, wall, memory_order_relaxed);
}

/* The first of `events`; what is resolved of those behind it may be wrong afterwards, and is then unresolved. */
static void apply_record(struct engine *engine, const struct event *event, struct resolved *resolved, size_t len)
{
    if (event->kind == EVENT_APPLY)
        apply_event(engine, event, resolved);
    else if (event->kind == EVENT_REJECT)
        outbox_add(engine, event);
    else
        apply_said(engine, event);
    for (size_t i = 0; i < len && (event->kind == EVENT_USER_GONE || event->kind == EVENT_ITEM_GONE); i++)
        resolved[i].user = resolved[i].item = DICT_NONE;
}

static void apply_chunk(struct engine *engine, struct event_batch *batch)
{
    struct resolved resolved[CHUNK];
    const struct event *events = batch->events + batch->applied;
    uint32_t len = batch->len - batch->applied < CHUNK ? batch->len - batch->applied : CHUNK;

    fetch(engine, events, resolved, len);
    for (uint32_t i = 0; i < len && engine->work < engine->work_max; i++) {
        batch->applied++;
        fr_flight_of(events[i].partition, events[i].offset);
        if (advance(engine, &events[i]))
            apply_record(engine, &events[i], &resolved[i], len - i);
    }
    publish_pay(engine);
}

bool apply_part(struct engine *engine, struct event_batch *batch)
{
    const struct event *events = batch->events + batch->applied;

    engine->work = 0;
    while (batch->applied < batch->len && engine->work < engine->work_max)
        apply_chunk(engine, batch);
    uint32_t len = (uint32_t)(batch->events + batch->applied - events);
    fr_crash_point("batch.applied");
    fr_flight_over();
    if (engine->options.publish_at_once) {
        while (forgetting_goes_on(engine))
            forget_slice(engine);
        do
            models_publish(engine);
        while (models_unpublished(engine)); /* one that shows a part at a time */
    }
    count_applied(engine, events, len);
    publish_positions(engine);
    fr_crash_point("batch.published");
    watch_tell_events(engine, events, len);
    count_visible(engine, events, len);
    if (batch->applied < batch->len)
        return false;
    batch->applied = 0;
    return true;
}

void apply_forget_event(struct engine *engine, uint32_t user, uint32_t item, when_ms when, double weight)
{
    uint32_t at = histories_find(engine->histories, user, item);

    if (at == UINT32_MAX)
        return;
    models_learned(engine, 1);
    if (histories_untouch(engine->histories, user, at, when, weight))
        apply_leave(engine, user, at);
    else
        save_slot(engine, user, at);
    apply_save_head(engine, user);
    if (engine->extremes)
        extremes_update(engine->extremes, user);
    watch_tell_user(engine, user);
}

void apply_forget_user(struct engine *engine, uint32_t user)
{
    for (uint32_t len = histories_view(engine->histories, user).len; len > 0; len--)
        apply_leave(engine, user, len - 1);
    models_learned(engine, 1);
    histories_wipe(engine->histories, user);
    apply_save_head(engine, user);
    if (engine->extremes)
        extremes_update(engine->extremes, user);
    watch_tell_user(engine, user);
}
