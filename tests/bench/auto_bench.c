/*
 * auto_bench.c -- what the blend costs in a whole engine: per question, and per event that is ranked before it is learned.
 *
 *     auto_bench [EVENTS [USERS]]        default 350,000 7,000; 100,000 items, Zipf, each met at least once; sar, popular, trending, fm
 *
 * First come all but the last 52,500 of the events, and then in each of five rounds 10,500 of them.
 *
 *   auto_ask_32, auto_ask_64     us of CPU per Recommend of 10 for a known user, the median, FM with so many numbers an item.
 *                                Baseline: one read of the items' vectors
 *   auto_ask_*_p99               the same, 99 of 100
 *   auto_ask_ncf, auto_evaluate_ncf, auto_learn_ncf
 *                                with NCF beside the others, and 32 numbers: the same; then us of the engine's CPU per event that is
 *                                ranked, on top of what one costs that is not, which is the last
 *   auto_evaluate_*, auto_learn_* the same without NCF
 */
#include "engine_world.h"
#include "freshet/fm.h"
#include "freshet/ncf.h"
#include "freshet/trending.h"

enum { ROUNDS = 5, QUESTIONS = 400, RANKED = 50, PLAIN = 10000 };

static const struct trending_options trending = {7 * (span_ms)86400000};

static double read_us(const uint64_t *words, size_t len)
{
    uint64_t begin = fr_thread_ns(), sum = 0;

    for (uint32_t k = 0; k < 20; k++) {
        for (size_t at = 0; at < len; at++)
            sum += words[at];
        __asm__ volatile("" : "+r"(sum) : : "memory");
    }
    return (double)(fr_thread_ns() - begin) / 1e3 / 20;
}

static void ask_all(struct world *world, uint64_t *random, struct samples *samples)
{
    struct reader *reader = reader_new(world->engine);
    struct recommendation_list list;

    for (int q = 0; q < QUESTIONS; q++) {
        struct ask ask = {.user = fr_bytes_of(world->stream->user_id[bench_random(random) % world->stream->users]), .k = 10, .model = ENGINE_BLEND};
        uint64_t begin = fr_thread_ns();
        reader_begin(reader);
        reader_recommend(reader, &ask, &list);
        reader_end(reader);
        samples_add(samples, (double)(fr_thread_ns() - begin) / 1e3);
    }
    reader_free(reader);
}

/* us of the engine's thread for each of some events; evaluate_every is read by that thread alone, and it is idle. */
static double learn_us(struct world *world, uint32_t len, uint32_t every)
{
    double before = cpu_of_threads(getpid(), "engine");

    world->engine->options.evaluate_every = every;
    world->begin = world->end;
    world->end += len;
    feed(world);
    await_checkpoint(world);
    return (cpu_of_threads(getpid(), "engine") - before) / len * 1e6;
}

static void bench_auto(const struct stream *stream, const char *name, uint32_t d, bool ncf, uint64_t *random)
{
    struct bench_rounds p50 = {.len = 0}, p99 = {.len = 0}, learned = {.len = 0}, ranked = {.len = 0};
    struct fm_options fm = fm_defaults;
    const struct engine_model models[] = {{"popular", NULL}, {"trending", &trending}, {"fm", &fm}, {ENGINE_BLEND, NULL}, {"ncf", &ncf_defaults}};
    struct engine_options options = product_options();
    size_t words = (size_t)WORLD_ITEMS * d / 2;
    uint64_t *matrix = fr_zalloc(words, sizeof(*matrix));
    struct world world;
    char line[64];

    memset(matrix, 1, words * sizeof(*matrix));
    fm.dimensions = d;
    options.models = models;
    options.models_len = ncf ? 5 : 4;
    world_begin(&world, stream, &options);
    uint32_t rest = ROUNDS * (PLAIN + 10 * RANKED);
    world.end = stream->len - rest;
    feed(&world);
    await_checkpoint(&world);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct samples samples = {0};
        while (models_unpublished(world.engine))
            usleep(1000);
        double reading = read_us(matrix, words);
        ask_all(&world, random, &samples);
        bench_round(&p50, samples_at(&samples, .5), reading);
        bench_round(&p99, samples_at(&samples, .99), reading);
        samples_release(&samples);
        double plain = learn_us(&world, PLAIN, 0), every = learn_us(&world, 10 * RANKED, 10);
        bench_round(&learned, plain, 0);
        bench_round(&ranked, (every - plain) * 10, 0);
    }
    snprintf(line, sizeof(line), "auto_ask_%s", name);
    bench_print(line, "us", &p50, true);
    snprintf(line, sizeof(line), "auto_ask_%s_p99", name);
    bench_print(line, "us", &p99, true);
    snprintf(line, sizeof(line), "auto_evaluate_%s", name);
    bench_print(line, "us", &ranked, true);
    snprintf(line, sizeof(line), "auto_learn_%s", name);
    bench_print(line, "us", &learned, true);
    world_stop(&world);
    folder_remove(world.folder);
    free(matrix);
}

int main(int argc, char **argv)
{
    uint32_t events = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 350000;
    uint32_t users = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 7000;
    uint64_t random = 1;
    struct stream stream;

    fr_log_setup(FR_ERROR, FR_LOG_TEXT);
    stream_init(&stream, events, users, &random);
    for (uint32_t item = 0; item < WORLD_ITEMS && 2 * item < events; item++)
        stream.item[2 * item] = item; /* so that there are so many */
    bench_auto(&stream, "32", 32, false, &random);
    bench_auto(&stream, "64", 64, false, &random);
    bench_auto(&stream, "ncf", 32, true, &random);
    stream_release(&stream);
    return 0;
}
