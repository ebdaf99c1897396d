/*
 * engine_world.h -- an engine on a store in memory, for its tests: events in, answers out, and a small town.
 *
 *              apple  bread  cheese
 *       ann      x      x
 *       bob      x      x      x        each x: one event of weight 1, at noon
 *       cat                    x
 */
#ifndef FR_ENGINE_WORLD_H
#define FR_ENGINE_WORLD_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_private.h"

#define NOON ((when_ms)43200000)
#define DAY ((span_ms)86400000)
#define TOPIC "events"

/* Met only by failing, however loaded the machine is and whatever a sanitizer costs. */
enum { PATIENCE_MS = 120000 };

static const char *const types[] = {"click", "other"};

static inline struct engine_options parity(void)
{
    return (struct engine_options){
        .users_max = 10000,
        .items_max = 10000,
        .user_postings = true,
        .dedup_window = 3600000,
        .dedup_max = 1000,
        .uncommitted_mb_max = 64,
        .outbox_mb_max = 16,
        .checkpoint_interval = 1,
        .wal_sync_interval = 1,
        .similar_work_max = 1000000,
        .types = types,
        .types_len = 2,
        .sar = {.parity = true, .similarity = SAR_JACCARD, .half_life = DAY, .threshold = 1, .recency = 1},
        .default_model = "sar",
        .shape = "sar.half_life_days=1\nsar.mode=parity\n",
    };
}

static inline struct engine_options product(void)
{
    struct engine_options options = parity();

    options.history_max = 6;
    options.user_postings = false;
    options.sar = (struct sar_options){.similarity = SAR_SHRUNK_COSINE,
                                       .half_life = DAY,
                                       .threshold = 1,
                                       .window = 3,
                                       .score_last = 5,
                                       .recency = 0.8};
    options.shape = "sar.half_life_days=1\nsar.mode=product\n";
    return options;
}

struct world {
    struct engine *engine;
    struct store *store;
    uint32_t partition;
    int64_t next;
};

/* Until then a test may wait. */
static inline uint64_t patience(void)
{
    return fr_mono_ns() + PATIENCE_MS * UINT64_C(1000000);
}

static inline void begin(struct world *world, const struct engine_options *options)
{
    struct fr_err err;

    if (engine_open(&world->engine, options, world->store, &err))
        fail_msg("%s", err.text);
    assert_int_equal(engine_start(world->engine, &err), FR_OK);
    assert_int_equal(engine_partition(world->engine, TOPIC, 0, &world->partition, &world->next, &err), FR_OK);
}

static inline void end(struct world *world)
{
    struct fr_err err;

    assert_true(engine_stop(world->engine, &err));
    engine_free(world->engine);
}

/* What events point to goes along, as feed sees to: the engine still reads it when the position is shown. */
static inline void give(struct world *world, const struct event *events, size_t len)
{
    struct event_batch *batch = engine_batch_take(world->engine, PATIENCE_MS);

    assert_non_null(batch);
    assert_true(len <= EVENT_BATCH_MAX);
    memcpy(batch->events, events, len * sizeof(*events));
    for (size_t i = 0; i < len; i++) {
        batch->events[i].partition = world->partition;
        engine_batch_keep(batch, &batch->events[i]);
    }
    batch->len = (uint32_t)len;
    engine_batch_give(world->engine, batch);
}

/* Until it is applied, and in the answers. What is counted of its batch (engine_status's events) and told to watchers comes
 * a moment later: who looks at these calls checkpoint() first. */
static inline void await(struct world *world, int64_t next)
{
    uint64_t deadline = patience();

    while (!engine_reached(world->engine, FR_BYTES(TOPIC), 0, next)) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
}

/* Until the checkpoint of that ticket is done; `ret` may be NULL. */
static inline void await_checkpoint(struct world *world, uint64_t ticket, struct engine_checkpoint *ret)
{
    uint64_t deadline = patience();

    while (!engine_checkpoint_done(world->engine, ticket, ret)) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
}

/* Also: the engine is done, to the last count, with every batch that is applied before the call. Not with one that was
 * given and is not yet awaited: that may be in the next checkpoint. */
static inline void checkpoint(struct world *world)
{
    await_checkpoint(world, engine_checkpoint_ask(world->engine), NULL);
}

/* All of it, by who calls: the engine is not started. */
static inline void apply_batch(struct engine *engine, struct event_batch *batch)
{
    while (!apply_part(engine, batch))
        ;
}

static inline struct event event(int64_t offset, const char *user, const char *item, when_ms when)
{
    return (struct event){.kind = EVENT_APPLY,
                          .offset = offset,
                          .logged = when,
                          .user = fr_bytes_of(user),
                          .item = fr_bytes_of(item),
                          .when = when,
                          .weight = 1};
}

static inline void town(struct world *world)
{
    const struct event events[] = {
        event(0, "ann", "apple", NOON), event(1, "ann", "bread", NOON),  event(2, "bob", "apple", NOON),
        event(3, "bob", "bread", NOON), event(4, "bob", "cheese", NOON), event(5, "cat", "cheese", NOON),
    };

    give(world, events, 6);
    await(world, 6);
}

/* "apple 1.000000 bread 0.500000" */
static inline const char *tell(const struct recommendation_list *list)
{
    static char text[4096];
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < list->len; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s %.6f", i ? " " : "", (int)list->items[i].item.len,
                               list->items[i].item.at, list->items[i].score);
    return text;
}

static inline const char *recommend(struct world *world, const char *user, struct ask ask)
{
    static char text[4096];
    struct reader *reader = reader_new(world->engine);
    struct recommendation_list list;

    ask.user = fr_bytes_of(user);
    ask.k = ask.k ? ask.k : 10;
    reader_begin(reader);
    reader_recommend(reader, &ask, &list);
    snprintf(text, sizeof(text), "%s%s", tell(&list), list.fallback ? " fallback" : "");
    reader_end(reader);
    reader_free(reader);
    return text;
}

#endif
