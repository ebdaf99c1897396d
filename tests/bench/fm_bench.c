/*
 * fm_bench.c -- the factorization machine, without daemon: 100,000 items, Zipf, histories of 50. Seconds are the thread's own.
 *
 *   fm_learn            events/s, d = 32, 32 negatives, softmax, 2 features of context
 *   fm_learn_logistic   the same with the logistic loss and 16 negatives
 *   fm_learn_hot        as fm_learn, 2,000 items: all rows in the nearest caches
 *                       baseline of these: 33 rows of that table, drawn alike and fetched ahead, read and written once, and
 *                       the history's 20 rows
 *   fm_sar_learn        events/s of SAR product and FM on one thread, each event to both
 *   fm_publish, fm_save ms, when every row has changed: how long the engine stands still at most
 *   fm_retrieve_32, fm_retrieve_64
 *                       us per query over all items. Baseline: one read of as many bytes as vectors and biases have
 */
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "freshet/fm.h"
#include "freshet/model.h"
#include "freshet/sar.h"

enum { ITEMS = 100000, FEW = 2000, LONG = 50, ROUNDS = 5, EVENTS = 300000, AHEAD = 2, QUERIES = 200 };
enum { JOURNAL_MOST = 64 << 20, KEYS = 50, CONTEXT = 2 };

/* Events as the engine would hand them over. */
struct stream {
    uint32_t *item;    /* [events] */
    uint32_t *past;    /* [events][LONG], oldest first */
    uint64_t *context; /* [events][CONTEXT] */
    uint16_t step[LONG];
    uint64_t stamp[LONG];
    double affinity[LONG];
};

static void stream_init(struct stream *stream, uint32_t items, uint64_t *random)
{
    struct bench_zipf zipf;

    bench_zipf_init(&zipf, items, random);
    stream->item = fr_alloc(EVENTS * sizeof(*stream->item));
    stream->past = fr_alloc((size_t)EVENTS * LONG * sizeof(*stream->past));
    stream->context = fr_alloc((size_t)EVENTS * CONTEXT * sizeof(*stream->context));
    for (size_t k = 0; k < EVENTS; k++)
        stream->item[k] = bench_zipf_draw(&zipf, random);
    for (size_t k = 0; k < (size_t)EVENTS * LONG; k++)
        stream->past[k] = bench_zipf_draw(&zipf, random);
    for (size_t k = 0; k < (size_t)EVENTS * CONTEXT; k++)
        stream->context[k] = 1 + (k % CONTEXT) * 1000 + bench_random(random) % KEYS;
    for (uint32_t k = 0; k < LONG; k++) {
        stream->step[k] = 1;
        stream->stamp[k] = stamp_of(1000 + k, 1);
        stream->affinity[k] = 1;
    }
    bench_zipf_release(&zipf);
}

static void stream_release(struct stream *stream)
{
    free(stream->item);
    free(stream->past);
    free(stream->context);
}

static struct touch touch_of(const struct stream *stream, uint32_t k)
{
    return (struct touch){
        .item = stream->item[k],
        .at = LONG,
        .behind = 1,
        .fresh = true,
        .when = 2000,
        .weight = 1,
        .draw = k,
        .context = stream->context + (size_t)k * CONTEXT,
        .context_len = CONTEXT,
        .history = {stream->past + (size_t)k * LONG, stream->step, stream->stamp, stream->affinity, NULL, LONG}};
}

/* Of this thread: others on the machine do not count. */
static uint64_t cpu_ns(void)
{
    struct timespec spent;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * 1000000000 + (uint64_t)spent.tv_nsec;
}

struct learner {
    const struct model_ops *ops;
    struct model *model;
};

struct bench {
    struct fr_epoch *epoch;
    struct journal *journal;
    struct learner learners[2];
    unsigned learners_len;
    uint32_t items;
    _Atomic uint32_t *users_of_item, items_held;
    float *bare; /* [items][2][32] */
};

static void bench_open(struct bench *bench, uint32_t items)
{
    *bench = (struct bench){.epoch = fr_epoch_new(), .journal = journal_new(), .items = items, .items_held = items};
    bench->users_of_item = fr_zalloc(items, sizeof(*bench->users_of_item));
    bench->bare = fr_zalloc((size_t)items * 64, sizeof(float));
}

static void bench_learner(struct bench *bench, const struct model_ops *ops, const void *options)
{
    const struct model_host host = {bench->epoch, &bench->journal, bench->users_of_item, &bench->items_held,
                                    bench->items};
    struct model *model = ops->open(options, &host);

    ops->extend(model, bench->items);
    bench->learners[bench->learners_len++] = (struct learner){ops, model};
}

static void bench_close(struct bench *bench)
{
    for (unsigned l = 0; l < bench->learners_len; l++)
        bench->learners[l].ops->close(bench->learners[l].model);
    fr_epoch_free(bench->epoch);
    journal_free(bench->journal);
    free(bench->users_of_item);
    free(bench->bare);
}

/* Events per second. */
static double learn_all(struct bench *bench, const struct stream *stream)
{
    uint64_t begin = cpu_ns();

    for (uint32_t k = 0; k < EVENTS; k++) {
        for (uint32_t ahead = AHEAD; ahead > 0; ahead--) {
            struct touch soon = touch_of(stream, (k + ahead) % EVENTS);
            for (unsigned l = 0; l < bench->learners_len; l++)
                bench->learners[l].ops->prepare(bench->learners[l].model, &soon, (int)(AHEAD - ahead));
        }
        struct touch touch = touch_of(stream, k);
        for (unsigned l = 0; l < bench->learners_len; l++)
            bench->learners[l].ops->learn(bench->learners[l].model, &touch);
        if (k % 256 == 0) {
            fr_epoch_reclaim(bench->epoch);
            if (journal_bytes(bench->journal) > JOURNAL_MOST)
                journal_reset(bench->journal);
        }
    }
    return EVENTS / ((double)(cpu_ns() - begin) / 1e9);
}

static void touch_rows(struct bench *bench, const struct stream *stream, uint32_t k, bool fetch)
{
    uint64_t random = k;

    for (uint32_t row = 0; row < 33 + 20; row++) {
        size_t of = row < 33 ? bench_random(&random) % bench->items * 64
                             : stream->past[(size_t)k * LONG + LONG - 1 - (row - 33)] * (size_t)64 + 32;
        float *at = bench->bare + of;
        if (fetch) {
            __builtin_prefetch(at, 1);
            __builtin_prefetch(at + 16, 1);
        } else {
            for (uint32_t i = 0; i < 32; i++)
                at[i] = at[i] * 0.5F + 1;
        }
    }
}

static double bare_all(struct bench *bench, const struct stream *stream)
{
    uint64_t begin = cpu_ns();

    for (uint32_t k = 0; k < EVENTS; k++) {
        touch_rows(bench, stream, (k + 1) % EVENTS, true);
        touch_rows(bench, stream, k, false);
    }
    return EVENTS / ((double)(cpu_ns() - begin) / 1e9);
}

static void bench_learn(const char *name, const struct fm_options *options, uint32_t items, bool with_sar)
{
    const struct sar_options sar = {.similarity = SAR_SHRUNK_COSINE, .threshold = 1, .window = 10, .score_last = 20,
                                    .neighbours_max = 500, .recency = 0.8};
    struct bench_rounds rounds = {.len = 0};
    uint64_t random = 1;
    struct stream stream;
    struct bench bench;

    stream_init(&stream, items, &random);
    bench_open(&bench, items);
    if (with_sar)
        bench_learner(&bench, &sar_ops, &sar);
    bench_learner(&bench, &fm_ops, options);
    learn_all(&bench, &stream); /* until there are rows */
    for (unsigned round = 0; round < ROUNDS; round++) {
        double learned = learn_all(&bench, &stream);
        bench_round(&rounds, learned, with_sar ? 0 : bare_all(&bench, &stream));
    }
    bench_print(name, "events/s", &rounds, false);
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
        bench_round(&saved, (double)(cpu_ns() - begin) / 1e6, 0);
        journal_reset(bench->journal);
        fr_epoch_reclaim(bench->epoch);
    }
    bench_print(publish, "ms", &published, true);
    bench_print(save, "ms", &saved, true);
}

static void bench_retrieve(const char *name, uint32_t d)
{
    struct fm_options options = fm_defaults;
    struct bench_rounds rounds = {.len = 0};
    uint64_t random = 1;
    struct stream stream;
    struct bench bench;
    struct scores scores;

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
    uint64_t *sequential = fr_zalloc(bytes, 1), sum = 0;
    memset(sequential, 1, bytes);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t begin = cpu_ns();
        for (uint32_t k = 0; k < QUERIES; k++) {
            struct touch touch = touch_of(&stream, k);
            struct query query = {.history = touch.history, .now = 2000, .items = ITEMS};
            scores_reset(&scores, ITEMS);
            fm_ops.retrieve(bench.learners[0].model, &query, &scores);
        }
        double us = (double)(cpu_ns() - begin) / 1e3 / QUERIES;
        begin = cpu_ns();
        for (uint32_t k = 0; k < QUERIES; k++) {
            for (size_t at = 0; at < bytes / 8; at++)
                sum += sequential[at];
            __asm__ volatile("" : "+r"(sum) : : "memory");
        }
        bench_round(&rounds, us, (double)(cpu_ns() - begin) / 1e3 / QUERIES);
    }
    bench_print(name, "us", &rounds, true);
    free(sequential);
    scores_release(&scores);
    bench_close(&bench);
    stream_release(&stream);
}

/* `fm_bench learn` or `fm_bench retrieve` runs one half. */
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
    if (argc < 2 || strcmp(argv[1], "retrieve") == 0) {
        bench_retrieve("fm_retrieve_32", 32);
        bench_retrieve("fm_retrieve_64", 64);
    }
    return 0;
}
