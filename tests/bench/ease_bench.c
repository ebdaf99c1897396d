/*
 * ease_bench.c -- what a solution costs to make and to ask, and what recency is worth.
 *
 *     ease_bench [solve [ROUNDS]]     default 3 rounds; n = 1000, 2000, 4000, 8000 items, 20,000 users with 50 events each
 *     ease_bench beside [ROUNDS]      default 5; a whole engine takes events and answers while EASE is off, on, or solved without a pause
 *     ease_bench recency              MovieLens-100K's train rows: validation at random, and the last fifth of each user's
 *
 *   ease_count_N       ns per pair of a history counted, CPU
 *   ease_solve_N       s to solve, CPU of one thread; baseline: BLAS's product of two of that size
 *   ease_ask_N_H       us for a question with H items of history; baseline: reading its rows of B once
 *
 *   ease_on_*          4,000 of 100,000 items, refreshes when they are due; ease_always_*: one after the other. Baseline: EASE off
 *     ingest           events/s; two threads of the benchmark ask and feed beside the engine's
 *     cpu              us per event of the engine's thread, which a busy machine does not lengthen
 *     p50, p99         us of a question to SAR meanwhile
 */
#include <cblas.h>

#include "ease_driver.h"
#include "engine_world.h"
#include "ml100k_split.h"

static double cpu_seconds(void)
{
    return (double)fr_thread_ns() / 1e9;
}

/* ---- solve ---- */

enum { USERS = 20000, EVENTS = 50, ASKED = 200, STREAM = 1000000 };

static struct driver *crowd(uint32_t items, uint64_t *random)
{
    struct driver *driver =
        driver_new(&(struct ease_options){.lambda = 300, .recency = 1, .items_max = items}, USERS, items);
    bool *held = fr_zalloc(items, sizeof(*held));
    struct bench_zipf zipf;

    bench_zipf_init(&zipf, items, random);
    for (uint32_t u = 0; u < USERS; u++) {
        for (int k = 0; k < EVENTS; k++) {
            uint32_t item = bench_zipf_draw(&zipf, random);
            if (!held[item])
                driver_event(driver, u, item, 1000 + k, 1);
            held[item] = true;
        }
        for (uint32_t k = 0; k < driver->people[u].len; k++)
            held[driver->people[u].item[k]] = false;
    }
    for (uint32_t item = 0; item < items; item++) /* each is held by somebody, so that n is what it says */
        if (!driver->users_of_item[item])
            driver_event(driver, bench_random(random) % USERS, item, 2000, 1);
    bench_zipf_release(&zipf);
    free(held);
    return driver;
}

/* As many multiplications and additions as an inverse takes. */
static double one_product(uint32_t n)
{
    float *left = fr_alloc((size_t)n * n * sizeof(*left)), *product = fr_zalloc((size_t)n * n, sizeof(*product));
    int size = (int)n;

    for (size_t i = 0; i < (size_t)n * n; i++)
        left[i] = 1.0F / (float)(1 + i % 1000);
    double begin = cpu_seconds();
    cblas_sgemm(CblasColMajor, CblasNoTrans, CblasTrans, size, size, size, 1, left, size, left, size, 0, product, size);
    double spent = cpu_seconds() - begin;
    free(left);
    free(product);
    return spent;
}

static double counted(struct driver *driver, struct ease_build *build)
{
    double pairs = 0, begin = cpu_seconds();

    for (uint32_t u = 0; u < USERS; u++) {
        struct history history = driver_history(driver, u);
        ease_build_add(build, &history);
        pairs += (double)history.len * (history.len + 1) / 2;
    }
    return (cpu_seconds() - begin) / pairs * 1e9;
}

/* us per question; *ret_reading: of reading as many rows as it has. */
static double asked(struct driver *driver, uint32_t history_len, uint64_t *random, double *ret_reading)
{
    uint32_t n = driver->items;
    float *rows = fr_zalloc((size_t)n * n, sizeof(*rows));
    uint32_t *item = fr_alloc(history_len * sizeof(*item));
    uint64_t *stamp = fr_alloc(history_len * sizeof(*stamp));
    double *affinity = fr_alloc(history_len * sizeof(*affinity)), begin, took = 0, reading = 0;
    volatile float sink = 0;

    for (int q = 0; q < ASKED; q++) {
        for (uint32_t k = 0; k < history_len; k++) {
            item[k] = (uint32_t)(bench_random(random) % n);
            stamp[k] = stamp_of(1000 + k, 1);
            affinity[k] = 1;
        }
        struct query query = {.history = {.item = item, .stamp = stamp, .affinity = affinity, .len = history_len}, .items = n};
        begin = cpu_seconds();
        driver_ask(driver, &query);
        took += cpu_seconds() - begin;
        begin = cpu_seconds();
        for (uint32_t k = 0; k < history_len; k++)
            sink += cblas_sasum((int)n, rows + (size_t)item[k] * n, 1);
        reading += cpu_seconds() - begin;
    }
    free(rows);
    free(item);
    free(stamp);
    free(affinity);
    *ret_reading = reading / ASKED * 1e6;
    return took / ASKED * 1e6;
}

static void bench_solve(uint32_t n, unsigned rounds, uint64_t *random)
{
    static const uint32_t histories[] = {20, 200};
    struct bench_rounds count = {.len = 0}, solve = {.len = 0}, ask[2] = {{.len = 0}};
    struct driver *driver = crowd(n, random);
    char name[64];

    for (unsigned round = 0; round < rounds; round++) {
        struct ease_build *build = ease_build_new(driver->model, n);
        struct fr_err err;
        bench_round(&count, counted(driver, build), 0);
        double begin = cpu_seconds();
        if (ease_build_solve(build, NULL, &err))
            die("%s", err.text);
        double spent = cpu_seconds() - begin;
        bench_round(&solve, spent, one_product(n));
        ease_build_offer(build);
        ease_ops.publish(driver->model);
        fr_epoch_reclaim(driver->epoch);
        for (int h = 0; h < 2; h++) {
            double reading, took = asked(driver, histories[h], random, &reading);
            bench_round(&ask[h], took, reading);
        }
    }
    snprintf(name, sizeof(name), "ease_count_%u", n);
    bench_print(name, "ns/pair", &count, true);
    snprintf(name, sizeof(name), "ease_solve_%u", n);
    bench_print(name, "s", &solve, true);
    for (int h = 0; h < 2; h++) {
        snprintf(name, sizeof(name), "ease_ask_%u_%u", n, histories[h]);
        bench_print(name, "us", &ask[h], true);
    }
    driver_free(driver);
}

/* ---- beside ---- */

enum beside { OFF, ON, ALWAYS, BESIDES };

struct beside_figures {
    double ingest, cpu, p50, p99, refreshes, seconds;
};

struct refreshing {
    struct world *world;
    _Atomic bool stop;
};

static void refresh_on(void *arg)
{
    struct refreshing *refreshing = arg;

    while (!atomic_load(&refreshing->stop))
        engine_refresh(refreshing->world->engine, 60000);
}

static void ask_meanwhile(struct world *world, uint64_t *random, const _Atomic uint64_t *applied, uint64_t until,
                          struct samples *samples)
{
    struct reader *reader = reader_new(world->engine);
    struct recommendation_list list;

    while (atomic_load(applied) < until) {
        struct ask ask = {.user = fr_bytes_of(world->stream->user_id[bench_random(random) % world->stream->users]), .k = 10};
        uint64_t begin = fr_mono_ns();
        reader_begin(reader);
        reader_recommend(reader, &ask, &list);
        reader_end(reader);
        samples_add(samples, (double)(fr_mono_ns() - begin) / 1e3);
        usleep(500);
    }
    reader_free(reader);
}

/* A quarter of the stream first, then the rest while questions are asked. */
static struct beside_figures beside_round(const struct stream *stream, enum beside how, uint64_t *random)
{
    static const struct ease_options ease = {
        .lambda = 300, .recency = 0.8, .items_max = 4000, .refresh_percent = 5, .refresh_interval = 600000};
    struct engine_options options = product_options();
    struct fr_series *good = fr_series(FR_M_REFRESHES, "ease", "good", "");
    struct samples samples = {0};
    struct world world;
    double before = fr_series_value(good);

    options.models = &(struct engine_model){"ease", &ease};
    options.models_len = how != OFF;
    world_begin(&world, stream, &options);
    world.end = stream->len / 4;
    feed(&world);
    struct refreshing refreshing = {.world = &world};
    struct fr_thread *refresher = how == ALWAYS ? fr_thread_start("always", refresh_on, &refreshing) : NULL;
    world.begin = world.end;
    world.end = stream->len;
    uint64_t begin = fr_mono_ns();
    double cpu = cpu_of_threads(getpid(), "engine");
    struct fr_thread *feeder = fr_thread_start_nice("feeder", FR_NICE_INGEST, feed, &world);
    ask_meanwhile(&world, random, &world.engine->events, world.end, &samples);
    fr_thread_join(feeder);
    double seconds = (double)(world.done_ns - begin) / 1e9, events = world.end - world.begin;
    cpu = cpu_of_threads(getpid(), "engine") - cpu;
    atomic_store(&refreshing.stop, true);
    fr_thread_join(refresher);
    struct beside_figures figures = {events / seconds, cpu / events * 1e6, samples_at(&samples, .5), samples_at(&samples, .99),
                                     fr_series_value(good) - before,
                                     fr_series_value(fr_series(FR_M_REFRESH_SECONDS, "ease", "", ""))};
    samples_release(&samples);
    world_stop(&world);
    folder_remove(world.folder);
    return figures;
}

static void bench_beside(unsigned rounds, uint64_t *random)
{
    static const char *const names[BESIDES] = {[ON] = "on", [ALWAYS] = "always"};
    struct bench_rounds ingest[BESIDES] = {{.len = 0}}, cpu[BESIDES] = {{.len = 0}}, p50[BESIDES] = {{.len = 0}}, p99[BESIDES] = {{.len = 0}};
    struct stream stream;
    char name[64];

    stream_init(&stream, STREAM, USERS, random);
    for (unsigned round = 0; round < rounds; round++) {
        struct beside_figures off = {.ingest = 0};
        for (enum beside how = OFF; how < BESIDES; how++) {
            struct beside_figures found = beside_round(&stream, how, random);
            if (how == OFF)
                off = found;
            bench_round(&ingest[how], found.ingest, off.ingest);
            bench_round(&cpu[how], found.cpu, off.cpu);
            bench_round(&p50[how], found.p50, off.p50);
            bench_round(&p99[how], found.p99, off.p99);
            printf("# %s: %.0f events/s, %.2f us of CPU each, p50 %.0f us, p99 %.0f us, %.0f refreshes, the last in %.2f s\n",
                   how ? names[how] : "off", found.ingest, found.cpu, found.p50, found.p99, found.refreshes, found.seconds);
        }
    }
    for (enum beside how = ON; how < BESIDES; how++) {
        snprintf(name, sizeof(name), "ease_%s_ingest", names[how]);
        bench_print(name, "events/s", &ingest[how], false);
        snprintf(name, sizeof(name), "ease_%s_cpu", names[how]);
        bench_print(name, "us", &cpu[how], true);
        snprintf(name, sizeof(name), "ease_%s_p50", names[how]);
        bench_print(name, "us", &p50[how], true);
        snprintf(name, sizeof(name), "ease_%s_p99", names[how]);
        bench_print(name, "us", &p99[how], true);
    }
    stream_release(&stream);
}

/* ---- recency ---- */

static int by_user_and_time(const void *left, const void *right)
{
    const struct ml_row *a = left, *b = right;

    if (a->user != b->user)
        return a->user > b->user ? 1 : -1;
    if (a->seconds != b->seconds)
        return a->seconds > b->seconds ? 1 : -1;
    return (a->item > b->item) - (a->item < b->item);
}

/* Of each user's rows, in order: a fifth at random for validation, or the last fifth. */
static void divide(const struct ml_rows *rows, bool by_time, uint64_t *random, struct ml_rows *fit, struct ml_rows *validation)
{
    for (size_t begin = 0, end; begin < rows->len; begin = end) {
        for (end = begin; end < rows->len && rows->at[end].user == rows->at[begin].user;)
            end++;
        for (size_t i = begin; i < end; i++) {
            bool last = by_time ? i >= end - (end - begin) / 5 : bench_random(random) % 5 == 0;
            ml_add(last ? validation : fit, rows->at[i]);
        }
    }
}

static void score(void *context, uint32_t user, double *scores)
{
    struct driver *driver = context;
    struct query query = driver_query(driver, user);
    const struct scores *answer = driver_ask(driver, &query);

    for (uint32_t item = 0; item < ML_ITEMS; item++)
        scores[item] = scores_touched(answer, item) ? answer->value[item] : (double)NAN;
    for (uint32_t k = 0; k < query.history.len; k++)
        scores[query.history.item[k]] = (double)NAN;
}

static void bench_recency(bool by_time, uint64_t *random)
{
    static const double lambdas[] = {100, 300, 500}, recencies[] = {1, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8};
    struct ml_rows rows, fit = {0}, validation = {0};

    if (!ml_read("train", &rows))
        die("golden/benchmark-ml100k is not there; FRESHET_SHARED names the folder that holds golden/");
    qsort(rows.at, rows.len, sizeof(*rows.at), by_user_and_time);
    divide(&rows, by_time, random, &fit, &validation);
    for (size_t l = 0; l < sizeof(lambdas) / sizeof(*lambdas); l++)
        for (size_t r = 0; r < sizeof(recencies) / sizeof(*recencies); r++) {
            struct driver *driver = driver_new(
                &(struct ease_options){.lambda = lambdas[l], .recency = recencies[r], .items_max = ML_ITEMS}, ML_USERS, ML_ITEMS);
            for (size_t i = 0; i < fit.len; i++)
                driver_event(driver, fit.at[i].user, fit.at[i].item, fit.at[i].seconds * 1000, 1);
            if (driver_refresh(driver, false, NULL))
                die("not solved");
            struct ml_quality found = ml_evaluate(&validation, score, driver);
            printf("# %s lambda %g recency %g: MAP %.4f nDCG@10 %.4f P@10 %.4f R@10 %.4f\n", by_time ? "last fifth" : "at random",
                   lambdas[l], recencies[r], found.map, found.ndcg, found.precision, found.recall);
            driver_free(driver);
        }
    free(rows.at);
    free(fit.at);
    free(validation.at);
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = {1000, 2000, 4000, 8000};
    const char *what = argc > 1 ? argv[1] : "solve";
    bool beside = strcmp(what, "beside") == 0, recency = strcmp(what, "recency") == 0;
    unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : beside ? 5 : 3;
    uint64_t random = 1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    fr_log_setup(FR_WARN, FR_LOG_TEXT);
    if ((!beside && !recency && strcmp(what, "solve") != 0) || rounds == 0 || rounds > BENCH_ROUNDS_MAX)
        die("usage: ease_bench [solve [ROUNDS] | beside [ROUNDS] | recency]");
    if (recency) {
        bench_recency(false, &random);
        bench_recency(true, &random);
    } else if (beside) {
        bench_beside((unsigned)rounds, &random);
    } else {
        for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++)
            bench_solve(sizes[k], (unsigned)rounds, &random);
    }
    return 0;
}
