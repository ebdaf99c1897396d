/*
 * engine_bench.c -- the whole engine on a RocksDB store in a temporary folder, fed with ready batches, no Kafka and no gRPC.
 *
 *     engine_bench [EVENTS [USERS [ROUNDS]]]        default 3,000,000 60,000 3: a mean of 50 events per user
 *
 * 100,000 items, Zipf 1.0; users evenly, so that each event finds its history cold. Three rounds, each a whole life of an engine,
 * since a round takes a quarter of a minute; what is short within a round is done five times.
 *
 *   product_ingest         events/s by the clock, from nothing to EVENTS, checkpoints every 500 ms going on
 *   product_engine_cpu     us per event of the engine's thread;    product_checkpoint_cpu: of the checkpoint's and RocksDB's threads
 *   product_store_bytes    given to the store per event
 *   pause_max              ms the engine spent in the longest freeze; pause_max_cpu: the same in CPU time (a busy machine shows in the first)
 *   bytes_per_*            the budget of the design as baseline
 *   recommend_*            us per in-process Recommend of 10 for a known user, at rest and while ingest runs (baseline: at rest)
 *   restart                MB/s of keys and values turned into state; baseline: iterating over the same store
 *   parity_pairs           directed pair updates/s by the engine's thread, CPU time, mean history of 50;
 *                          baseline: the same updates as bare increments in a flat table of as many bytes, fetched ahead
 */
#include <assert.h>
#include <stdarg.h>

#include "bench.h"
#include "engine_private.h"
#include "folder.h"
#include "histories_private.h"
#include "measure.h"
#include "freshet/log.h"

#define TOPIC "events"
#define NOON ((when_ms)1700000000000)

enum { ITEMS = 100000, SHORT_ROUNDS = 5, ID_ROOM = 16, IDLE_QUESTIONS = 5000, STEP_MS = 10 };

static const char *const types[] = {"click", "other"};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("engine_bench: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    exit(1);
}

/* ---- the longest pause: the linker puts this around publish_freeze (--wrap) -------------------------------- */

void __real_publish_freeze(struct engine *engine);
void __wrap_publish_freeze(struct engine *engine);

static struct {
    uint64_t count, wall_ns, cpu_ns; /* of freezes that happened; the longest */
} pauses;

void __wrap_publish_freeze(struct engine *engine)
{
    uint64_t frozen = engine->frozen, wall = fr_mono_ns(), cpu = fr_thread_ns();

    __real_publish_freeze(engine);
    cpu = fr_thread_ns() - cpu;
    wall = fr_mono_ns() - wall;
    if (engine->frozen == frozen)
        return;
    pauses.count++;
    pauses.wall_ns = wall > pauses.wall_ns ? wall : pauses.wall_ns;
    pauses.cpu_ns = cpu > pauses.cpu_ns ? cpu : pauses.cpu_ns;
}

/* ---- the stream -------------------------------------------------------------------------------------------- */

struct stream {
    uint32_t *user, *item;
    uint32_t len, users;
    char (*user_id)[ID_ROOM], (*item_id)[ID_ROOM];
};

static void stream_init(struct stream *stream, uint32_t len, uint32_t users, uint64_t *random)
{
    struct bench_zipf zipf;

    bench_zipf_init(&zipf, ITEMS, random);
    *stream = (struct stream){.len = len, .users = users};
    stream->user = fr_alloc(len * sizeof(*stream->user));
    stream->item = fr_alloc(len * sizeof(*stream->item));
    for (uint32_t i = 0; i < len; i++) {
        stream->user[i] = (uint32_t)(bench_random(random) % users);
        stream->item[i] = bench_zipf_draw(&zipf, random);
    }
    bench_zipf_release(&zipf);
    stream->user_id = fr_zalloc(users, sizeof(*stream->user_id));
    stream->item_id = fr_zalloc(ITEMS, sizeof(*stream->item_id));
    for (uint32_t i = 0; i < users; i++)
        snprintf(stream->user_id[i], ID_ROOM, "user%u", i);
    for (uint32_t i = 0; i < ITEMS; i++)
        snprintf(stream->item_id[i], ID_ROOM, "item%u", i);
}

static void stream_release(struct stream *stream)
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

static struct engine_options product(void)
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
        .types = types,
        .types_len = 2,
        .sar = {.similarity = SAR_SHRUNK_COSINE, .half_life = (span_ms)30 * 86400000, .threshold = 1, .window = 10,
                .score_last = 20, .neighbours_max = 500, .recency = 0.8},
        .default_model = "sar",
        .shape = "sar.mode=product\n",
    };
}

static struct engine_options parity(void)
{
    struct engine_options options = product();

    options.history_max = 0;
    options.user_postings = true;
    options.sar = (struct sar_options){.parity = true, .similarity = SAR_JACCARD, .threshold = 1, .recency = 1};
    options.shape = "sar.mode=parity\n";
    return options;
}

static void open_store(struct world *world)
{
    struct fr_err err;

    if (store_rocks_open(&world->store, &(struct store_rocks_options){.path = world->folder}, &err))
        die("%s", err.text);
}

static void world_begin(struct world *world, const struct stream *stream, const struct engine_options *options)
{
    struct fr_err err;
    int64_t next;

    *world = (struct world){.stream = stream};
    folder_make(world->folder);
    open_store(world);
    if (engine_open(&world->engine, options, world->store, &err) || engine_start(world->engine, &err) ||
        engine_partition(world->engine, TOPIC, 0, &world->partition, &next, &err))
        die("%s", err.text);
}

static void world_stop(struct world *world)
{
    struct fr_err err;

    if (!engine_stop(world->engine, &err))
        die("%s", err.text);
    engine_free(world->engine);
    world->store->ops->close(world->store);
    world->engine = NULL;
}

static struct fr_bytes copy_id(struct event_batch *batch, const char *id)
{
    size_t len = strlen(id);

    return (struct fr_bytes){memcpy(fr_arena_take(&batch->arena, len), id, len), len};
}

/* Gives events [begin, end) as fast as the engine takes them, and waits until they are applied. */
static void feed(void *arg)
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
                                                         .when = NOON + (when_ms)i * STEP_MS,
                                                         .weight = 1};
        engine_batch_give(world->engine, batch);
    }
    while (!engine_reached(world->engine, FR_BYTES(TOPIC), 0, world->end))
        usleep(200);
    world->done_ns = fr_mono_ns();
}

/* ---- questions --------------------------------------------------------------------------------------------- */

/* One Recommend for a random user; us by the clock, and of this thread's CPU. */
static void ask_once(struct world *world, struct reader *reader, uint64_t *random, struct samples *wall, struct samples *cpu)
{
    uint32_t user = (uint32_t)(bench_random(random) % world->stream->users);
    struct ask ask = {.user = fr_bytes_of(world->stream->user_id[user]), .k = 10};
    struct recommendation_list list;
    uint64_t begin_cpu = fr_thread_ns(), begin = fr_mono_ns();

    reader_begin(reader);
    reader_recommend(reader, &ask, &list);
    reader_end(reader);
    samples_add(wall, (double)(fr_mono_ns() - begin) / 1e3);
    samples_add(cpu, (double)(fr_thread_ns() - begin_cpu) / 1e3);
}

struct asked {
    double p50, p99, p50_cpu, p99_cpu;
    size_t len;
};

static struct asked asked_of(struct samples *wall, struct samples *cpu)
{
    struct asked asked = {samples_at(wall, .5), samples_at(wall, .99), samples_at(cpu, .5), samples_at(cpu, .99), wall->len};

    samples_release(wall);
    samples_release(cpu);
    return asked;
}

static struct asked ask_at_rest(struct world *world, struct reader *reader, uint64_t *random)
{
    struct samples wall = {0}, cpu = {0};

    for (int i = 0; i < IDLE_QUESTIONS; i++)
        ask_once(world, reader, random, &wall, &cpu);
    return asked_of(&wall, &cpu);
}

/* Asks while a thread feeds [begin, end), one question after another with a pause of 100 us, so that the asker leaves the engine its core. */
static struct asked ask_while_feeding(struct world *world, struct reader *reader, uint64_t *random)
{
    struct samples wall = {0}, cpu = {0};
    struct fr_thread *feeder = fr_thread_start("feeder", feed, world);

    while (!engine_reached(world->engine, FR_BYTES(TOPIC), 0, world->end)) {
        ask_once(world, reader, random, &wall, &cpu);
        usleep(100);
    }
    fr_thread_join(feeder);
    return asked_of(&wall, &cpu);
}

/* ---- restart ----------------------------------------------------------------------------------------------- */

static double iterate(struct store *store, uint64_t *ret_bytes)
{
    struct fr_bytes key, value;
    uint64_t bytes = 0, begin = fr_mono_ns();
    struct store_iter *iter = store->ops->iterate(store, (struct fr_bytes){"", 0});

    while (store->ops->next(iter, &key, &value))
        bytes += key.len + value.len;
    if (store->ops->iter_close(iter, NULL))
        die("cannot iterate over the store");
    *ret_bytes = bytes;
    return (double)(fr_mono_ns() - begin) / 1e9;
}

static void bench_restart(struct world *world, const struct engine_options *options, struct bench_rounds *restart)
{
    open_store(world);
    for (int round = 0; round < SHORT_ROUNDS; round++) {
        struct fr_err err;
        struct engine *engine;
        uint64_t bytes;
        double bare = iterate(world->store, &bytes);
        uint64_t begin = fr_mono_ns();
        if (engine_open(&engine, options, world->store, &err))
            die("%s", err.text);
        double loading = (double)(fr_mono_ns() - begin) / 1e9;
        engine_free(engine);
        bench_round(restart, (double)bytes / 1e6 / loading, (double)bytes / 1e6 / bare);
    }
    world->store->ops->close(world->store);
}

/* ---- product ----------------------------------------------------------------------------------------------- */

struct product_figures {
    struct bench_rounds ingest, engine_cpu, checkpoint_cpu, store_bytes, pause, pause_cpu, restart;
    struct bench_rounds pair, slot, user, user_id, item_id, resident;
    struct bench_rounds idle50, idle99, busy50, busy99, idle50_cpu, busy50_cpu, busy99_cpu;
};

static double ids_per(const struct dict *dict)
{
    size_t bytes = dict_bytes(dict);

    for (uint32_t i = 0; i < dict_len(dict); i++)
        bytes -= dict_id(dict, i).len;
    return (double)bytes / dict_len(dict);
}

static void measure_memory(const struct world *world, struct product_figures *figures, size_t resident_before)
{
    const struct engine *engine = world->engine;
    const struct histories *histories = engine->histories;
    struct model_stats stats;
    uint64_t slots = histories_slots(histories);
    size_t blocks = fr_slab_bytes(histories->slab), heads = histories_bytes(histories) - blocks;

    engine->answering->ops->stats(engine->answering->model, &stats);
    size_t state = stats.bytes + histories_bytes(histories) + dict_bytes(engine->users) + dict_bytes(engine->items);
    bench_round(&figures->pair, (double)stats.bytes / (double)stats.pairs, 16);
    bench_round(&figures->slot, (double)blocks / (double)slots, 24);
    bench_round(&figures->user, (double)heads / dict_len(engine->users), 64);
    bench_round(&figures->user_id, ids_per(engine->users), 24);
    bench_round(&figures->item_id, ids_per(engine->items), 24);
    bench_round(&figures->resident, (double)(resident_bytes(getpid()) - resident_before) / 1e6, (double)state / 1e6);
    printf("# product: %.1f slots per user, %.2f M pairs, %.0f rows pruned, state %.0f MB (pairs %.0f, histories %.0f)\n",
           (double)slots / dict_len(engine->users), (double)stats.pairs / 1e6, (double)stats.pruned, (double)state / 1e6,
           (double)stats.bytes / 1e6, (double)histories_bytes(histories) / 1e6);
}

static void measure_ingest(struct world *world, struct product_figures *figures)
{
    pid_t pid = getpid();
    double events = world->end - world->begin, before = fr_series_value(FR_SERIES(FR_M_CHECKPOINT_BYTES));
    double engine = cpu_of_threads(pid, "engine"), aside = cpu_of_threads(pid, "checkpoint") + cpu_of_threads(pid, "rocksdb");
    uint64_t begin = fr_mono_ns();

    memset(&pauses, 0, sizeof(pauses));
    feed(world);
    double seconds = (double)(world->done_ns - begin) / 1e9;
    engine = cpu_of_threads(pid, "engine") - engine;
    aside = cpu_of_threads(pid, "checkpoint") + cpu_of_threads(pid, "rocksdb") - aside;
    bench_round(&figures->ingest, events / seconds, 150000); /* the goal; the bare consume loop is daemon_bench's */
    bench_round(&figures->engine_cpu, engine * 1e6 / events, 0);
    bench_round(&figures->checkpoint_cpu, aside * 1e6 / events, 0);
    bench_round(&figures->store_bytes, (fr_series_value(FR_SERIES(FR_M_CHECKPOINT_BYTES)) - before) / events, 0);
    bench_round(&figures->pause, (double)pauses.wall_ns / 1e6, 5);
    bench_round(&figures->pause_cpu, (double)pauses.cpu_ns / 1e6, 5);
    printf("# product: %.1f s, %llu freezes\n", seconds, (unsigned long long)pauses.count);
}

static void product_round(const struct stream *stream, struct product_figures *figures, uint64_t *random)
{
    struct engine_options options = product();
    struct world world;
    size_t resident = resident_bytes(getpid());

    world_begin(&world, stream, &options);
    world.end = stream->len / 5 * 4;
    measure_ingest(&world, figures);
    struct reader *reader = reader_new(world.engine);
    struct asked idle = ask_at_rest(&world, reader, random);
    world.begin = world.end;
    world.end = stream->len;
    struct asked busy = ask_while_feeding(&world, reader, random);
    bench_round(&figures->idle50, idle.p50, 0);
    bench_round(&figures->idle99, idle.p99, 0);
    bench_round(&figures->idle50_cpu, idle.p50_cpu, 0);
    bench_round(&figures->busy50, busy.p50, idle.p50);
    bench_round(&figures->busy99, busy.p99, idle.p99);
    bench_round(&figures->busy50_cpu, busy.p50_cpu, idle.p50_cpu);
    bench_round(&figures->busy99_cpu, busy.p99_cpu, idle.p99_cpu);
    printf("# product: %zu questions while feeding\n", busy.len);
    measure_memory(&world, figures, resident);
    reader_free(reader);
    world_stop(&world);
    bench_restart(&world, &options, &figures->restart);
    folder_remove(world.folder);
}

static void bench_product(const struct stream *stream, unsigned rounds, uint64_t *random)
{
    struct product_figures *figures = fr_zalloc(1, sizeof(*figures));

    for (unsigned round = 0; round < rounds; round++)
        product_round(stream, figures, random);
    bench_print("product_ingest", "events/s", &figures->ingest, false);
    bench_print("product_engine_cpu", "us/event", &figures->engine_cpu, true);
    bench_print("product_checkpoint_cpu", "us/event", &figures->checkpoint_cpu, true);
    bench_print("product_store_bytes", "bytes/event", &figures->store_bytes, true);
    bench_print("pause_max", "ms", &figures->pause, true);
    bench_print("pause_max_cpu", "ms", &figures->pause_cpu, true);
    bench_print("bytes_per_pair", "bytes", &figures->pair, true);
    bench_print("bytes_per_slot", "bytes", &figures->slot, true);
    bench_print("bytes_per_user", "bytes", &figures->user, true);
    bench_print("bytes_per_user_id", "bytes", &figures->user_id, true);
    bench_print("bytes_per_item_id", "bytes", &figures->item_id, true);
    bench_print("resident_of_state", "MB", &figures->resident, true);
    bench_print("recommend_idle_p50", "us", &figures->idle50, true);
    bench_print("recommend_idle_p99", "us", &figures->idle99, true);
    bench_print("recommend_idle_p50_cpu", "us", &figures->idle50_cpu, true);
    bench_print("recommend_ingest_p50", "us", &figures->busy50, true);
    bench_print("recommend_ingest_p99", "us", &figures->busy99, true);
    bench_print("recommend_ingest_p50_cpu", "us", &figures->busy50_cpu, true);
    bench_print("recommend_ingest_p99_cpu", "us", &figures->busy99_cpu, true);
    bench_print("restart", "MB/s", &figures->restart, false);
    free(figures);
}

/* ---- parity ------------------------------------------------------------------------------------------------ */

/* The cells the stream's pairs fall on, in order, as an independent replay finds them. */
struct cells {
    uint32_t *hash;
    size_t len, cap;
    uint64_t fresh;
};

static void cells_put(struct cells *cells, uint32_t row, uint32_t column)
{
    fr_reserve((void **)&cells->hash, &cells->cap, cells->len + 1, sizeof(*cells->hash));
    cells->hash[cells->len++] = (uint32_t)(((uint64_t)row * 0x9E3779B1ULL + column) * 0x9E3779B97F4A7C15ULL >> 32);
}

static void cells_init(struct cells *cells, const struct stream *stream)
{
    struct held {
        uint32_t *item;
        size_t len, cap;
    } *held = fr_zalloc(stream->users, sizeof(*held));

    *cells = (struct cells){0};
    for (uint32_t i = 0; i < stream->len; i++) {
        struct held *mine = &held[stream->user[i]];
        uint32_t item = stream->item[i];
        size_t at = 0;
        while (at < mine->len && mine->item[at] != item)
            at++;
        if (at < mine->len)
            continue;
        for (size_t p = 0; p < mine->len; p++)
            cells_put(cells, mine->item[p], item);
        for (size_t p = 0; p < mine->len; p++)
            cells_put(cells, item, mine->item[p]);
        fr_reserve((void **)&mine->item, &mine->cap, mine->len + 1, sizeof(*mine->item));
        mine->item[mine->len++] = item;
        cells->fresh++;
    }
    for (uint32_t u = 0; u < stream->users; u++)
        free(held[u].item);
    free(held);
}

/* Increments per second of CPU time, over a table of `bytes`. */
static double increments(const struct cells *cells, size_t bytes)
{
    enum { AHEAD = 16 };
    size_t len = bytes / sizeof(uint32_t);
    struct fr_array table;

    fr_array_init(&table, sizeof(uint32_t), len);
    fr_array_grow(&table, len);
    memset(table.base, 1, len * sizeof(uint32_t));
    uint32_t *count = (uint32_t *)(void *)table.base;
    uint64_t begin = fr_thread_ns();
    for (size_t k = 0; k < cells->len; k++) {
        size_t soon = k + AHEAD < cells->len ? k + AHEAD : k;
        __builtin_prefetch(&count[(uint64_t)cells->hash[soon] * len >> 32], 1);
        count[(uint64_t)cells->hash[k] * len >> 32]++;
    }
    double rate = (double)cells->len * 1e9 / (double)(fr_thread_ns() - begin);
    fr_array_release(&table);
    return rate;
}

static void bench_parity(uint32_t events, uint32_t users, unsigned rounds, uint64_t *random)
{
    struct engine_options options = parity();
    struct bench_rounds cpu = {.len = 0}, wall = {.len = 0}, stored = {.len = 0}, aside = {.len = 0}, pause = {.len = 0};
    struct stream stream;
    struct cells cells;

    stream_init(&stream, events, users, random);
    cells_init(&cells, &stream);
    for (unsigned round = 0; round < rounds; round++) {
        struct world world;
        struct engine_status *status = fr_alloc(sizeof(*status));
        world_begin(&world, &stream, &options);
        world.end = stream.len;
        memset(&pauses, 0, sizeof(pauses));
        double before = fr_series_value(FR_SERIES(FR_M_CHECKPOINT_BYTES));
        uint64_t begin = fr_mono_ns();
        feed(&world);
        double seconds = (double)(world.done_ns - begin) / 1e9, spent = cpu_of_threads(getpid(), "engine");
        double other = cpu_of_threads(getpid(), "checkpoint") + cpu_of_threads(getpid(), "rocksdb");
        engine_status(world.engine, status);
        double bare = increments(&cells, status->model_bytes);
        bench_round(&cpu, (double)cells.len / spent, bare);
        bench_round(&wall, (double)cells.len / seconds, bare);
        bench_round(&aside, other * 1e9 / (double)cells.len, 0);
        bench_round(&stored, (fr_series_value(FR_SERIES(FR_M_CHECKPOINT_BYTES)) - before) / (double)cells.len, 0);
        bench_round(&pause, (double)pauses.wall_ns / 1e6, 5);
        printf("# parity: %.1f s, %.1f items in a history when met, %.2f M pairs of %.1f bytes, engine %.1f s of CPU\n", seconds,
               (double)cells.len / 2 / (double)cells.fresh, (double)status->pairs / 1e6,
               (double)status->model_bytes / (double)status->pairs, spent);
        world_stop(&world);
        folder_remove(world.folder);
        free(status);
    }
    bench_print("parity_pairs", "pairs/s", &cpu, false);
    bench_print("parity_pairs_wall", "pairs/s", &wall, false);
    bench_print("parity_checkpoint_cpu", "ns/pair", &aside, true);
    bench_print("parity_store_bytes", "bytes/pair", &stored, true);
    bench_print("parity_pause_max", "ms", &pause, true);
    free(cells.hash);
    stream_release(&stream);
}

int main(int argc, char **argv)
{
    unsigned long events = argc > 1 ? strtoul(argv[1], NULL, 10) : 3000000, users = argc > 2 ? strtoul(argv[2], NULL, 10) : 60000;
    unsigned long rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 3;
    struct stream stream;
    uint64_t random = 1;

    if (events < 1000 || events > UINT32_MAX || users == 0 || users > UINT32_MAX || rounds == 0 || rounds > 12)
        die("usage: engine_bench [EVENTS [USERS [ROUNDS up to 12]]]");
    setvbuf(stdout, NULL, _IOLBF, 0);
    fr_log_setup(FR_WARN, FR_LOG_TEXT);
    stream_init(&stream, (uint32_t)events, (uint32_t)users, &random);
    bench_product(&stream, (unsigned)rounds, &random);
    stream_release(&stream);
    bench_parity((uint32_t)(events / 10), (uint32_t)(events / 10 / 120 + 1), (unsigned)rounds, &random);
    return 0;
}
