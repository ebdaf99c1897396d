/*
 * eval_replay.c -- the daemon's engine in this process: fed with ready events, asked between them.
 *
 * Its store is in memory and nobody will read it back, so it is written only where the journal would grow too long.
 */
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

#include "freshet/alloc.h"
#include "freshet/clock.h"

#define REPLAY_TOPIC "events"
#define SAID_TOPIC "items"

enum { TAKE_MS = 100, SPIN_NS = 1000000, LAST_CHECKPOINT_MS = 600000, JOURNAL_MB_MAX = 1024, REFRESH_MS = 3600000 };

static void count_refusal(struct refusals *refusals, struct fr_bytes why)
{
    size_t i = 0;

    while (i < refusals->by_len && !fr_bytes_equal(fr_bytes_of(refusals->by[i].why), why))
        i++;
    if (i == refusals->by_len && i < REFUSALS_MAX) {
        snprintf(refusals->by[i].why, REFUSAL_ROOM, "%.*s", (int)why.len, why.at);
        refusals->by_len++;
        cli_fail("the engine refuses what it has no room for, and figures are of the rest: %s", refusals->by[i].why);
    }
    refusals->by[i < REFUSALS_MAX ? i : REFUSALS_MAX - 1].len++;
    refusals->len++;
}

/* Takes the dead letters, which in the daemon feed delivers to Kafka: while they fill the outbox there is no batch. They may leave once a
 * checkpoint has them. */
static void count_refused(struct replay *replay)
{
    const struct dead_letter *letter;

    if (engine_outbox_wait_empty(replay->engine, 0))
        return;
    uint64_t ticket = engine_checkpoint_ask(replay->engine);
    while (!engine_checkpoint_done(replay->engine, ticket, NULL))
        poll(NULL, 0, 1);
    while ((letter = engine_outbox_take(replay->engine, 0))) {
        count_refusal(replay->refusals, letter->message);
        engine_outbox_done(replay->engine, letter->id);
    }
}

static struct event_batch *take_batch(struct replay *replay)
{
    struct event_batch *batch;

    while (!(batch = engine_batch_take(replay->engine, TAKE_MS)))
        count_refused(replay);
    return batch;
}

static bool say_items(struct replay *replay, const struct eval_catalogue *catalogue, struct fr_err *err)
{
    uint32_t partition;
    int64_t next;

    if (!catalogue->len)
        return true;
    if (engine_partition(replay->engine, SAID_TOPIC, 0, &partition, &next, err))
        return false;
    for (size_t from = 0, part; from < catalogue->len; from += part) {
        struct event_batch *batch = take_batch(replay);
        size_t left = catalogue->len - from;
        part = left < EVENT_BATCH_MAX ? left : EVENT_BATCH_MAX;
        for (size_t i = 0; i < part; i++)
            batch->events[i] = (struct event){.kind = EVENT_ITEM,
                                              .partition = partition,
                                              .offset = (int64_t)(from + i),
                                              .item = replay->items->ids[catalogue->at[from + i].item],
                                              .said = catalogue->at[from + i].said};
        batch->len = (uint32_t)part;
        engine_batch_give(replay->engine, batch);
    }
    return true;
}

static void no_refusals(struct refusals *refusals)
{
    refusals->len = 0;
    for (size_t i = 0; i < refusals->by_len; i++)
        refusals->by[i].len = 0;
}

bool replay_open(struct replay *replay, struct eval *eval)
{
    struct engine_options options;
    struct fr_err err;
    int64_t next;

    *replay = (struct replay){.users = &eval->users, .items = &eval->items, .refusals = &eval->refusals, .store = store_memory_new(NULL)};
    no_refusals(replay->refusals);
    settings_engine(eval->settings, &options);
    options.publish_at_once = true;
    options.checkpoint_interval = LAST_CHECKPOINT_MS;
    options.uncommitted_mb_max = JOURNAL_MB_MAX;
    options.memory_soft = options.memory_hard = 0;
    if (!engine_open(&replay->engine, &options, replay->store, &err) && !engine_start(replay->engine, &err) &&
        !engine_partition(replay->engine, REPLAY_TOPIC, 0, &replay->partition, &next, &err) &&
        say_items(replay, &eval->catalogue, &err)) {
        replay->reader = reader_new(replay->engine);
        return true;
    }
    cli_fail("cannot open the engine: %s", err.text);
    return false;
}

void replay_close(struct replay *replay)
{
    struct fr_err err;

    reader_free(replay->reader);
    engine_stop(replay->engine, &err); /* what it could not write nobody wants */
    engine_free(replay->engine);
    replay->store->ops->close(replay->store);
}

void replay_learn(struct replay *replay, const struct eval_event *events, size_t len)
{
    while (len) {
        struct event_batch *batch = take_batch(replay);
        size_t part = len < EVENT_BATCH_MAX ? len : EVENT_BATCH_MAX;
        for (size_t i = 0; i < part; i++)
            batch->events[i] = (struct event){
                .kind = EVENT_APPLY,
                .partition = replay->partition,
                .offset = replay->next++,
                .logged = events[i].when,
                .user = replay->users->ids[events[i].user],
                .item = replay->items->ids[events[i].item],
                .when = events[i].when,
                .weight = events[i].weight,
                .type = events[i].type,
                .context = events[i].context,
                .context_len = events[i].context_len,
                .repeat_low = events[i].repeat_low,
                .repeat_high = events[i].repeat_high,
            };
        batch->len = (uint32_t)part;
        engine_batch_give(replay->engine, batch);
        events += part;
        len -= part;
    }
}

/* A single event takes microseconds, so looking again and again is quickest at first. */
void replay_await(struct replay *replay)
{
    uint64_t began = fr_mono_ns();

    while (replay->next && !engine_reached(replay->engine, FR_BYTES(REPLAY_TOPIC), 0, replay->next)) {
        if (fr_mono_ns() - began < SPIN_NS)
            sched_yield();
        else
            poll(NULL, 0, 1);
    }
}

bool replay_refresh(struct replay *replay)
{
    replay_await(replay);
    count_refused(replay);
    if (engine_refresh(replay->engine, REFRESH_MS))
        return true;
    cli_fail("EASE could not be solved; ease.lambda may be too small");
    return false;
}

void replay_begin(struct replay *replay)
{
    reader_begin(replay->reader);
}

void replay_end(struct replay *replay)
{
    reader_end(replay->reader);
}

struct rank replay_rank(struct replay *replay, const char *model, const struct eval_event *event, const struct fr_bytes *among,
                        size_t among_len)
{
    struct ask ask = {.user = replay->users->ids[event->user], .model = model, .include = among, .include_len = among_len,
                      .context = event->context, .context_len = event->context_len};
    struct rank rank;

    reader_ranks(replay->reader, &ask, &replay->items->ids[event->item], 1, &rank);
    return rank;
}

double replay_score(struct replay *replay, const char *model, const struct eval_event *event)
{
    const struct fr_bytes *item = &replay->items->ids[event->item];
    struct ask ask = {.user = replay->users->ids[event->user], .model = model, .include = item, .include_len = 1, .include_seen = true,
                      .context = event->context, .context_len = event->context_len};
    struct rank rank;

    reader_ranks(replay->reader, &ask, item, 1, &rank);
    return rank.scored ? rank.score : NAN;
}

enum score_unit replay_unit(const struct replay *replay, const char *model)
{
    return engine_model_unit(replay->engine, model);
}

struct recommendation_list replay_list(struct replay *replay, const char *model, uint32_t user, uint32_t k)
{
    struct ask ask = {.user = replay->users->ids[user], .k = k, .model = model};
    struct recommendation_list list;

    reader_recommend(replay->reader, &ask, &list);
    return list;
}

double replay_coverage(struct replay *replay, const char *model, uint32_t k, const bool *whose)
{
    enum { HELD = 1, SHOWN = 2 };
    unsigned char *is = fr_zalloc(replay->items->len + 1, sizeof(*is));
    size_t shown = 0, held = 0;
    struct item_facts facts;
    struct fr_err err;

    replay_begin(replay);
    for (size_t i = 0; i < replay->items->len; i++)
        if (reader_item(replay->reader, replay->items->ids[i], &facts, &err) == FR_OK && facts.users > 0) {
            is[i] = HELD;
            held++;
        }
    replay_end(replay);
    for (uint32_t u = 0; u < replay->users->len; u++) {
        if (!whose[u])
            continue;
        replay_begin(replay);
        struct recommendation_list list = replay_list(replay, model, u, k);
        for (size_t i = 0; i < list.len; i++) {
            uint32_t item = names_find(replay->items, list.items[i].item);
            shown += is[item] == HELD; /* not what a model knows by its features alone */
            is[item] |= SHOWN;
        }
        replay_end(replay);
    }
    free(is);
    return held ? (double)shown / (double)held : 0;
}
