/*
 * engine_world.h -- a whole engine on a RocksDB store in a temporary folder, fed with ready batches, no Kafka and no
 * gRPC: what engine_bench.c and parity_bench.c share.
 *
 * 100,000 items, Zipf 1.0; users evenly, so that each event finds its history cold. One partition, events 10 ms apart.
 */
#ifndef FR_BENCH_ENGINE_WORLD_H
#define FR_BENCH_ENGINE_WORLD_H

#include "bench.h"
#include "engine_private.h"
#include "folder.h"
#include "freshet/log.h"
#include "measure.h"

#define WORLD_TOPIC "events"
#define WORLD_NOON ((when_ms)1700000000000)

enum { WORLD_ITEMS = 100000, WORLD_ID_ROOM = 16, WORLD_STEP_MS = 10 };

static const char *const world_types[] = {"click", "other"};

/* ---- the longest pause: the linker puts this around publish_freeze and publish_pay (--wrap) ----------------- */

void __real_publish_freeze(struct engine *engine);
void __wrap_publish_freeze(struct engine *engine);
void __real_publish_pay(struct engine *engine);
void __wrap_publish_pay(struct engine *engine);

static struct {
    uint64_t count, wall_ns, cpu_ns; /* of freezes that happened; the longest stretch of one */
    uint64_t begun_ns, span_ns;      /* the freeze under way; the longest, from its beginning until its journal was given */
    struct samples freezes, slices;  /* ns of CPU each */
} pauses;

static inline void pauses_forget(void)
{
    samples_release(&pauses.freezes);
    samples_release(&pauses.slices);
    memset(&pauses, 0, sizeof(pauses));
}

static inline void pause_note(struct engine *engine, bool slice, uint64_t begun, uint64_t cpu)
{
    uint64_t wall = fr_mono_ns() - begun;

    cpu = fr_thread_ns() - cpu;
    pauses.count += !slice;
    pauses.begun_ns = slice ? pauses.begun_ns : begun;
    pauses.wall_ns = wall > pauses.wall_ns ? wall : pauses.wall_ns;
    pauses.cpu_ns = cpu > pauses.cpu_ns ? cpu : pauses.cpu_ns;
    if (!engine->aside && begun + wall - pauses.begun_ns > pauses.span_ns)
        pauses.span_ns = begun + wall - pauses.begun_ns;
    samples_add(slice ? &pauses.slices : &pauses.freezes, (double)cpu);
}

void __wrap_publish_freeze(struct engine *engine)
{
    uint64_t frozen = engine->frozen, wall = fr_mono_ns(), cpu = fr_thread_ns();

    __real_publish_freeze(engine);
    if (engine->frozen != frozen)
        pause_note(engine, false, wall, cpu);
}

void __wrap_publish_pay(struct engine *engine)
{
    uint64_t wall = fr_mono_ns(), cpu = fr_thread_ns();
    bool owing = engine->aside;

    __real_publish_pay(engine);
    if (owing)
        pause_note(engine, true, wall, cpu);
}

/* ---- the stream -------------------------------------------------------------------------------------------- */

struct stream {
    uint32_t *user, *item;
    uint32_t len, users;
    char (*user_id)[WORLD_ID_ROOM], (*item_id)[WORLD_ID_ROOM];
};

static inline void stream_init(struct stream *stream, uint32_t len, uint32_t users, uint64_t *random)
{
    struct bench_zipf zipf;

    bench_zipf_init(&zipf, WORLD_ITEMS, random);
    *stream = (struct stream){.len = len, .users = users};
    stream->user = fr_alloc(len * sizeof(*stream->user));
    stream->item = fr_alloc(len * sizeof(*stream->item));
    for (uint32_t i = 0; i < len; i++) {
        stream->user[i] = (uint32_t)(bench_random(random) % users);
        stream->item[i] = bench_zipf_draw(&zipf, random);
    }
    bench_zipf_release(&zipf);
    stream->user_id = fr_zalloc(users, sizeof(*stream->user_id));
    stream->item_id = fr_zalloc(WORLD_ITEMS, sizeof(*stream->item_id));
    for (uint32_t i = 0; i < users; i++)
        snprintf(stream->user_id[i], WORLD_ID_ROOM, "user%u", i);
    for (uint32_t i = 0; i < WORLD_ITEMS; i++)
        snprintf(stream->item_id[i], WORLD_ID_ROOM, "item%u", i);
}

static inline void stream_release(struct stream *stream)
{
    free(stream->user);
    free(stream->item);
    free(stream->user_id);
    free(stream->item_id);
}

/* ---- an engine and its store ------------------------------------------------------------------------------- */

struct world {
    const struct stream *stream;
    struct store *store;
    struct engine *engine;
    char folder[256];
    uint32_t partition;
    uint32_t begin, end; /* of the stream, for the feeding thread */
    uint64_t done_ns;
};

/* What the configuration's defaults say, in product mode. */
static inline struct engine_options product_options(void)
{
    return (struct engine_options){
        .history_max = 200,
        .users_max = 100000000,
        .items_max = 10000000,
        .dedup_window = 3600000,
        .dedup_max = 1000000,
        .uncommitted_mb_max = 256,
        .outbox_mb_max = 64,
        .checkpoint_interval = 500,
        .wal_sync_interval = 1000,
        .similar_work_max = 5000000,
        .evaluate_every = 1000,
        .types = world_types,
        .types_len = 2,
        .sar = {.similarity = SAR_SHRUNK_COSINE,
                .half_life = (span_ms)30 * 86400000,
                .threshold = 1,
                .window = 10,
                .score_last = 20,
                .neighbours_max = 500,
                .recency = 0.8},
        .default_model = "sar",
        .shape = "sar.mode=product\n",
    };
}

static inline void open_store(struct world *world)
{
    struct fr_err err;

    if (store_rocks_open(&world->store, &(struct store_rocks_options){.path = world->folder}, &err))
        die("%s", err.text);
}

static inline void world_begin(struct world *world, const struct stream *stream, const struct engine_options *options)
{
    struct fr_err err;
    int64_t next;

    *world = (struct world){.stream = stream};
    folder_make(world->folder);
    open_store(world);
    if (engine_open(&world->engine, options, world->store, &err) || engine_start(world->engine, &err) ||
        engine_partition(world->engine, WORLD_TOPIC, 0, &world->partition, &next, &err))
        die("%s", err.text);
}

static inline void world_stop(struct world *world)
{
    struct fr_err err;

    if (!engine_stop(world->engine, &err))
        die("%s", err.text);
    engine_free(world->engine);
    world->store->ops->close(world->store);
    world->engine = NULL;
}

static inline struct fr_bytes copy_id(struct event_batch *batch, const char *id)
{
    size_t len = strlen(id);

    return (struct fr_bytes){memcpy(fr_arena_take(&batch->arena, len), id, len), len};
}

/* Gives events [begin, end) as fast as the engine takes them, and waits until they are applied. */
static inline void feed(void *arg)
{
    struct world *world = arg;
    const struct stream *stream = world->stream;

    for (uint32_t i = world->begin; i < world->end;) {
        struct event_batch *batch = engine_batch_take(world->engine, 10000);
        when_ms logged = fr_wall_ms();
        if (!batch)
            continue;
        for (; batch->len < EVENT_BATCH_MAX && i < world->end; i++)
            batch->events[batch->len++] = (struct event){.kind = EVENT_APPLY,
                                                         .partition = world->partition,
                                                         .offset = i,
                                                         .logged = logged,
                                                         .user = copy_id(batch, stream->user_id[stream->user[i]]),
                                                         .item = copy_id(batch, stream->item_id[stream->item[i]]),
                                                         .when = WORLD_NOON + (when_ms)i * WORLD_STEP_MS,
                                                         .weight = 1};
        engine_batch_give(world->engine, batch);
    }
    while (!engine_reached(world->engine, FR_BYTES(WORLD_TOPIC), 0, world->end))
        usleep(200);
    world->done_ns = fr_mono_ns();
}

/* All that was applied is in the store, and counted. */
static inline void await_checkpoint(struct world *world)
{
    uint64_t ticket = engine_checkpoint_ask(world->engine);

    while (!engine_checkpoint_done(world->engine, ticket, NULL))
        usleep(200);
}

static inline double store_bytes(void)
{
    return fr_series_value(FR_SERIES(FR_M_CHECKPOINT_BYTES));
}

/* CPU of the threads that make state last. */
static inline double aside_cpu(void)
{
    return cpu_of_threads(getpid(), "checkpoint") + cpu_of_threads(getpid(), "rocksdb");
}

#endif
