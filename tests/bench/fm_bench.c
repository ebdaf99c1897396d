/*
 * fm_bench.c -- the factorization machine, without daemon: 100,000 items, Zipf, histories of 50. Seconds are the thread's own.
 *
 *   fm_learn            events/s, d = 32, 32 negatives, softmax, 2 features of context
 *   fm_learn_logistic   the same with the logistic loss and 16 negatives
 *   fm_learn_hot        as fm_learn, 2,000 items: all rows in the nearest caches
 *                       baseline of these: 33 rows of that table, drawn alike and fetched ahead, read and written once, and
 *                       the history's 20 rows
 *   fm_learn_said       as fm_learn, each item with 3 features of 1,000 in all
 *   fm_publish_said     ms of the longest publication then, when every feature has moved; fm_publish_parts: how many until all is shown
 *   fm_sar_learn        events/s of SAR product and FM on one thread, each event to both
 *   fm_publish, fm_save ms, when every row has changed: how long the engine stands still at most
 *   fm_retrieve_32, fm_retrieve_64
 *                       us per query over all items. Baseline: one read of as many bytes as vectors and biases have
 *   fm_best_32, fm_best_64
 *                       the same for the 10 best, found by bytes and ranked exactly; fm_best_*_300 for the 300 best
 *   fm_break_even_N     us per query for the 10 best of N items by bytes, d = 32; baseline: scoring them all
 */
#include "freshet/fm.h"
#include "freshet/sar.h"
#include "learners.h"

enum { ITEMS = 100000, FEW = 2000, ROUNDS = 5, QUERIES = 200 };

static void touch_rows(float *bare, uint32_t items, const struct stream *stream, uint32_t k, bool fetch)
{
    uint64_t random = k;

    for (uint32_t row = 0; row < 33 + 20; row++) {
        size_t of = row < 33 ? bench_random(&random) % items * 64
                             : stream->past[(size_t)k * LONG + LONG - 1 - (row - 33)] * (size_t)64 + 32;
        float *at = bare + of;
        if (fetch) {
            __builtin_prefetch(at, 1);
            __builtin_prefetch(at + 16, 1);
        } else {
            for (uint32_t i = 0; i < 32; i++)
                at[i] = at[i] * 0.5F + 1;
        }
    }
}

/* `bare`: [items][2][32] */
static double bare_all(float *bare, uint32_t items, const struct stream *stream)
{
    uint64_t begin = cpu_ns();

    for (uint32_t k = 0; k < EVENTS; k++) {
        touch_rows(bare, items, stream, (k + 1) % EVENTS, true);
        touch_rows(bare, items, stream, k, false);
    }
    return EVENTS / ((double)(cpu_ns() - begin) / 1e9);
}

/* Each item once: so all are there to be drawn beside others, and as many are as are wanted. */
static void learn_each(struct bench *bench, const struct stream *stream)
{
    for (uint32_t item = 0; item < bench->items; item++) {
        struct touch touch = touch_of(stream, item % EVENTS);
        touch.item = item;
        for (unsigned m = 0; m < bench->learners_len; m++)
            bench->learners[m].ops->learn(bench->learners[m].model, &touch);
    }
    journal_reset(bench->journal);
}

/* Items' features, as a catalogue has them. */
static void say_items(struct bench *bench)
{
    uint64_t random = 11;

    for (uint32_t item = 0; item < bench->items; item++) {
        const uint64_t keys[] = {1 + bench_random(&random) % 10, 100 + bench_random(&random) % 100, 1000 + bench_random(&random) % 890};
        fm_ops.describe(bench->learners[0].model, item, keys, 3);
    }
}

static void bench_said(void)
{
    struct bench_rounds learned = {.len = 0}, longest = {.len = 0}, parts = {.len = 0};
    uint64_t random = 1;
    struct stream stream;
    struct bench bench;

    stream_init(&stream, ITEMS, &random);
    bench_open(&bench, ITEMS);
    bench_learner(&bench, &fm_ops, &fm_defaults);
    say_items(&bench);
    learn_each(&bench, &stream);
    fm_ops.publish(bench.learners[0].model);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double most = 0, times = 0;
        bench_round(&learned, learn_all(&bench, &stream), 0);
        fm_ops.publish(bench.learners[0].model);
        const struct touch touch = touch_of(&stream, round); /* one event moves features of most chunks */
        fm_ops.learn(bench.learners[0].model, &touch);
        do {
            uint64_t begin = cpu_ns();
            fm_ops.publish(bench.learners[0].model);
            double took = (double)(cpu_ns() - begin) / 1e6;
            most = took > most ? took : most;
            times++;
            fr_epoch_reclaim(bench.epoch);
        } while (fm_ops.behind(bench.learners[0].model));
        bench_round(&longest, most, 0);
        bench_round(&parts, times, 0);
    }
    bench_print("fm_learn_said", "events/s", &learned, false);
    bench_print("fm_publish_said", "ms", &longest, true);
    bench_print("fm_publish_parts", "publications", &parts, true);
    bench_close(&bench);
    stream_release(&stream);
}

static void bench_learn(const char *name, const struct fm_options *options, uint32_t items, bool with_sar)
{
    const struct sar_options sar = {.similarity = SAR_SHRUNK_COSINE, .threshold = 1, .window = 10, .score_last = 20,
                                    .neighbours_max = 500, .recency = 0.8};
    struct bench_rounds rounds = {.len = 0};
    uint64_t random = 1;
    struct stream stream;
    struct bench bench;
    float *bare = fr_zalloc((size_t)items * 64, sizeof(*bare));

    stream_init(&stream, items, &random);
    bench_open(&bench, items);
    if (with_sar)
        bench_learner(&bench, &sar_ops, &sar);
    bench_learner(&bench, &fm_ops, options);
    learn_each(&bench, &stream);
    learn_all(&bench, &stream); /* until there are rows */
    for (unsigned round = 0; round < ROUNDS; round++) {
        double learned = learn_all(&bench, &stream);
        bench_round(&rounds, learned, with_sar ? 0 : bare_all(bare, items, &stream));
    }
    bench_print(name, "events/s", &rounds, false);
    free(bare);
    bench_close(&bench);
    stream_release(&stream);
}

static void journal_and_publish(struct bench *bench, const struct stream *stream, const char *publish, const char *save)
{
    const struct learner *learner = &bench->learners[0];
    struct bench_rounds published = {.len = 0}, saved = {.len = 0};

    for (unsigned round = 0; round < ROUNDS; round++) {
        learn_all(bench, stream);
        uint64_t begin = cpu_ns();
        learner->ops->publish(learner->model);
        bench_round(&published, (double)(cpu_ns() - begin) / 1e6, 0);
        begin = cpu_ns();
        learner->ops->save(learner->model);
        learner->ops->pay(learner->model, SIZE_MAX);
        bench_round(&saved, (double)(cpu_ns() - begin) / 1e6, 0);
        journal_reset(bench->journal);
        fr_epoch_reclaim(bench->epoch);
    }
    bench_print(publish, "ms", &published, true);
    bench_print(save, "ms", &saved, true);
}

static double ask_us(const struct bench *bench, const struct stream *stream, struct scores *scores, uint32_t best)
{
    uint64_t begin = cpu_ns();

    for (uint32_t k = 0; k < QUERIES; k++) {
        struct touch touch = touch_of(stream, k);
        struct query query = {.history = touch.history, .now = 2000, .items = bench->items, .best = best};
        scores_reset(scores, bench->items);
        fm_ops.retrieve(bench->learners[0].model, &query, scores);
    }
    return (double)(cpu_ns() - begin) / 1e3 / QUERIES;
}

static double read_us(const uint64_t *words, size_t len)
{
    uint64_t begin = cpu_ns(), sum = 0;

    for (uint32_t k = 0; k < QUERIES; k++) {
        for (size_t at = 0; at < len; at++)
            sum += words[at];
        __asm__ volatile("" : "+r"(sum) : : "memory");
    }
    return (double)(cpu_ns() - begin) / 1e3 / QUERIES;
}

static void bench_retrieve(uint32_t d)
{
    struct fm_options options = fm_defaults;
    struct bench_rounds rounds[3] = {{.len = 0}};
    uint64_t random = 1;
    struct stream stream;
    struct bench bench;
    struct scores scores;
    char name[32];

    options.dimensions = d;
    stream_init(&stream, ITEMS, &random);
    bench_open(&bench, ITEMS);
    bench_learner(&bench, &fm_ops, &options);
    scores_init(&scores);
    if (d == 32)
        journal_and_publish(&bench, &stream, "fm_publish", "fm_save");
    learn_all(&bench, &stream);
    fm_ops.publish(bench.learners[0].model);
    size_t bytes = (size_t)ITEMS * (d + 1) * sizeof(float);
    uint64_t *sequential = fr_zalloc(bytes, 1);
    memset(sequential, 1, bytes);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double reading = read_us(sequential, bytes / 8);
        bench_round(&rounds[0], ask_us(&bench, &stream, &scores, 0), reading);
        bench_round(&rounds[1], ask_us(&bench, &stream, &scores, 10), reading);
        bench_round(&rounds[2], ask_us(&bench, &stream, &scores, 300), reading);
    }
    for (size_t what = 0; what < 3; what++) {
        snprintf(name, sizeof(name), what == 0 ? "fm_retrieve_%u" : what == 1 ? "fm_best_%u" : "fm_best_%u_300", d);
        bench_print(name, "us", &rounds[what], true);
    }
    free(sequential);
    scores_release(&scores);
    bench_close(&bench);
    stream_release(&stream);
}

static void bench_break_even(uint32_t items)
{
    struct fm_options options = fm_defaults;
    struct bench_rounds rounds = {.len = 0};
    uint64_t random = 1;
    struct stream stream;
    struct bench bench;
    struct scores scores;
    char name[32];

    options.int8_above = 1;
    stream_init(&stream, items, &random);
    bench_open(&bench, items);
    bench_learner(&bench, &fm_ops, &options);
    scores_init(&scores);
    learn_all(&bench, &stream);
    fm_ops.publish(bench.learners[0].model);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double all = ask_us(&bench, &stream, &scores, 0);
        bench_round(&rounds, ask_us(&bench, &stream, &scores, 10), all);
    }
    snprintf(name, sizeof(name), "fm_break_even_%u", items);
    bench_print(name, "us", &rounds, true);
    scores_release(&scores);
    bench_close(&bench);
    stream_release(&stream);
}

/* `fm_bench learn`, `fm_bench said`, `fm_bench retrieve` or `fm_bench break_even` runs a part. */
int main(int argc, char **argv)
{
    struct fm_options logistic = fm_defaults;

    logistic.loss = FM_LOGISTIC;
    logistic.negatives = 16;
    if (argc < 2 || strcmp(argv[1], "learn") == 0) {
        bench_learn("fm_learn", &fm_defaults, ITEMS, false);
        bench_learn("fm_learn_logistic", &logistic, ITEMS, false);
        bench_learn("fm_learn_hot", &fm_defaults, FEW, false);
        bench_learn("fm_sar_learn", &fm_defaults, ITEMS, true);
    }
    if (argc < 2 || strcmp(argv[1], "said") == 0)
        bench_said();
    if (argc < 2 || strcmp(argv[1], "retrieve") == 0) {
        bench_retrieve(32);
        bench_retrieve(64);
    }
    if (argc < 2 || strcmp(argv[1], "break_even") == 0) {
        bench_break_even(5000);
        bench_break_even(10000);
        bench_break_even(20000);
        bench_break_even(50000);
    }
    return 0;
}
