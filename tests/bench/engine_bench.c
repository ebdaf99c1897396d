/*
 * engine_bench.c -- the whole engine in product mode: ingest, checkpoints, memory, in-process questions, restart.
 *
 *     engine_bench [EVENTS [USERS [ROUNDS]]]        default 3,000,000 60,000 3: a mean of 50 events per user
 *
 * Three rounds, each a whole life of an engine, since a round takes a quarter of a minute; restarts are done five times
 * in each.
 *
 *   product_ingest         events/s by the clock, from nothing to 4/5 of EVENTS, checkpoints every 500 ms going on;
 *                          baseline: the goal
 *   product_engine_cpu     us per event of the engine's thread
 *   product_checkpoint_cpu us per event of the checkpoint's and RocksDB's threads
 *   product_store_bytes    given to the store per event
 *   pause_max              ms the engine spent in the longest freeze; pause_max_cpu: in CPU time, which a busy machine
 *                          does not lengthen. Baseline of both: the goal
 *   bytes_per_*            baseline: the budget
 *   resident_of_state      MB the process has grown by; baseline: what state_bytes says
 *   recommend_idle_*       us per in-process Recommend of 10 for a known user
 *   recommend_ingest_*     the same while ingest runs; baseline: at rest
 *   restart                MB/s of keys and values turned into state, the files in the kernel's cache
 *   restart_cold           the same with none of them there. Baseline of both: iterating over that store likewise
 */
#include <fcntl.h>

#include "engine_world.h"
#include "histories_private.h"

enum { SHORT_ROUNDS = 5, IDLE_QUESTIONS = 5000 };

/* ---- questions --------------------------------------------------------------------------------------------- */

/* One Recommend for a random user; us by the clock, and of this thread's CPU. */
static void ask_once(struct world *world, struct reader *reader, uint64_t *random, struct samples *wall,
                     struct samples *cpu)
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
    struct asked asked = {samples_at(wall, .5), samples_at(wall, .99), samples_at(cpu, .5), samples_at(cpu, .99),
                          wall->len};

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

/* Asks while a thread feeds [begin, end), with pauses of 100 us, so that the asker leaves the engine its core. */
static struct asked ask_while_feeding(struct world *world, struct reader *reader, uint64_t *random)
{
    struct samples wall = {0}, cpu = {0};
    struct fr_thread *feeder = fr_thread_start("feeder", feed, world);

    while (!engine_reached(world->engine, FR_BYTES(WORLD_TOPIC), 0, world->end)) {
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

static int forget_file(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    int file = type == FTW_F ? open(path, O_RDONLY) : -1;

    (void)stat, (void)ftw;
    if (file >= 0) {
        posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        close(file);
    }
    return 0;
}

/* Takes the store's files from the kernel's cache. */
static void make_cold(const struct world *world)
{
    sync();
    nftw(world->folder, forget_file, 16, FTW_PHYS);
}

static void bench_restart(struct world *world, const struct engine_options *options, bool cold,
                          struct bench_rounds *restart)
{
    open_store(world);
    for (int round = 0; round < SHORT_ROUNDS; round++) {
        struct fr_err err;
        struct engine *engine;
        uint64_t bytes;
        if (cold)
            make_cold(world);
        double bare = iterate(world->store, &bytes);
        if (cold)
            make_cold(world);
        uint64_t begin = fr_mono_ns();
        if (engine_open(&engine, options, world->store, &err))
            die("%s", err.text);
        double loading = (double)(fr_mono_ns() - begin) / 1e9;
        engine_free(engine);
        bench_round(restart, (double)bytes / 1e6 / loading, (double)bytes / 1e6 / bare);
        if (round == 0 && !cold)
            printf("# restart: %.0f MB in %.2f s\n", (double)bytes / 1e6, loading);
    }
    world->store->ops->close(world->store);
}

/* ---- product ----------------------------------------------------------------------------------------------- */

struct product_figures {
    struct bench_rounds ingest, engine_cpu, checkpoint_cpu, store_bytes, pause, pause_cpu, restart, restart_cold;
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

    engine->learners[0].ops->stats(engine->learners[0].model, &stats); /* SAR's */
    size_t state = stats.bytes + histories_bytes(histories) + dict_bytes(engine->users) + dict_bytes(engine->items);
    bench_round(&figures->pair, (double)stats.bytes / (double)stats.pairs, 16);
    bench_round(&figures->slot, (double)blocks / (double)slots, 24);
    bench_round(&figures->user, (double)heads / dict_len(engine->users), 64);
    bench_round(&figures->user_id, ids_per(engine->users), 24);
    bench_round(&figures->item_id, ids_per(engine->items), 24);
    bench_round(&figures->resident, (double)(resident_bytes(getpid()) - resident_before) / 1e6, (double)state / 1e6);
    printf(
        "# product: %.1f slots per user, %.2f M pairs, %.0f rows pruned, state %.0f MB (pairs %.0f, histories %.0f)\n",
        (double)slots / dict_len(engine->users), (double)stats.pairs / 1e6, (double)stats.pruned, (double)state / 1e6,
        (double)stats.bytes / 1e6, (double)histories_bytes(histories) / 1e6);
}

static void measure_ingest(struct world *world, struct product_figures *figures)
{
    double events = world->end - world->begin, bytes = store_bytes();
    double engine = cpu_of_threads(getpid(), "engine"), aside = aside_cpu();
    uint64_t begin = fr_mono_ns();

    pauses_forget();
    feed(world);
    double seconds = (double)(world->done_ns - begin) / 1e9;
    engine = cpu_of_threads(getpid(), "engine") - engine;
    await_checkpoint(world);
    aside = aside_cpu() - aside;
    bench_round(&figures->ingest, events / seconds, 150000); /* the goal; the bare consume loop is daemon_bench's */
    bench_round(&figures->engine_cpu, engine * 1e6 / events, 0);
    bench_round(&figures->checkpoint_cpu, aside * 1e6 / events, 0);
    bench_round(&figures->store_bytes, (store_bytes() - bytes) / events, 0);
    bench_round(&figures->pause, (double)pauses.wall_ns / 1e6, 5);
    bench_round(&figures->pause_cpu, (double)pauses.cpu_ns / 1e6, 5);
    printf("# product: %.1f s, %llu freezes\n", seconds, (unsigned long long)pauses.count);
}

static void product_round(const struct stream *stream, struct product_figures *figures, uint64_t *random)
{
    struct engine_options options = product_options();
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
    bench_restart(&world, &options, false, &figures->restart);
    bench_restart(&world, &options, true, &figures->restart_cold);
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
    bench_print("restart_cold", "MB/s", &figures->restart_cold, false);
    free(figures);
}

int main(int argc, char **argv)
{
    unsigned long events = argc > 1 ? strtoul(argv[1], NULL, 10) : 3000000,
                  users = argc > 2 ? strtoul(argv[2], NULL, 10) : 60000;
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
    return 0;
}
