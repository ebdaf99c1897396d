/*
 * ncf_bench.c -- the neural model, without daemon: 100,000 items, Zipf, histories of 50, options as by default.
 *
 *   ncf_learn             events/s
 *   ncf_learn_hot         the same with 2,000 items: all rows in the nearest caches
 *   ncf_sar_fm_learn      events/s of SAR product, FM and NCF on one thread, each event to all, all published after each 10,000
 *   ncf_publish_first     ms, of all items: at start-up
 *   ncf_publish           ms, when every row and the layers have changed: how long the engine stands still at most; and
 *   ncf_publish_turn      ms, of as many as it takes to show all of that
 *   ncf_save              ms, of every row
 *   ncf_retrieve_best     us per query for the 10 best: 1,000 candidates by the product, ranked by the layers. Baseline: one read
 *                         of as many bytes as the product's vectors have
 *   ncf_retrieve_all      us per query for a score of every item
 *   ncf_score             us per 1,000 named items
 */
#include "freshet/fm.h"
#include "freshet/ncf.h"
#include "freshet/sar.h"
#include "learners.h"

enum { ITEMS = 100000, FEW = 2000, ROUNDS = 5, QUERIES = 100, NAMED = 1000, PUBLISHED_EACH = 10000 };

static double ms_since(uint64_t begin)
{
    return (double)(cpu_ns() - begin) / 1e6;
}

static void bench_learn(const char *name, uint32_t items)
{
    struct bench_rounds rounds = {.len = 0};
    uint64_t random = 1;
    struct stream stream;
    struct bench bench;

    stream_init(&stream, items, &random);
    bench_open(&bench, items);
    bench_learner(&bench, &ncf_ops, &ncf_defaults);
    learn_all(&bench, &stream); /* until there are rows */
    for (unsigned round = 0; round < ROUNDS; round++)
        bench_round(&rounds, learn_all(&bench, &stream), 0);
    bench_print(name, "events/s", &rounds, false);
    bench_close(&bench);
    stream_release(&stream);
}

static void bench_together(const char *name)
{
    const struct sar_options sar = {.similarity = SAR_SHRUNK_COSINE, .threshold = 1, .window = 10, .score_last = 20,
                                    .neighbours_max = 500, .recency = 0.8};
    struct bench_rounds rounds = {.len = 0};
    uint64_t random = 1;
    struct stream stream;
    struct bench bench;

    stream_init(&stream, ITEMS, &random);
    bench_open(&bench, ITEMS);
    bench_learner(&bench, &sar_ops, &sar);
    bench_learner(&bench, &fm_ops, &fm_defaults);
    bench_learner(&bench, &ncf_ops, &ncf_defaults);
    learn_all(&bench, &stream);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double seconds = EVENTS / learn_all(&bench, &stream);
        uint64_t begin = cpu_ns(); /* rows are all changed, as they are after 10,000 events, near enough */
        bench.learners[1].ops->publish(bench.learners[1].model);
        bench.learners[2].ops->publish(bench.learners[2].model);
        fr_epoch_reclaim(bench.epoch);
        seconds += ms_since(begin) / 1e3 * EVENTS / PUBLISHED_EACH;
        bench_round(&rounds, EVENTS / seconds, 0);
    }
    bench_print(name, "events/s", &rounds, false);
    bench_close(&bench);
    stream_release(&stream);
}

static void bench_publish(struct bench *bench, const struct stream *stream)
{
    struct model *model = bench->learners[0].model;
    struct bench_rounds first = {.len = 0}, one = {.len = 0}, turn = {.len = 0}, saved = {.len = 0};

    learn_all(bench, stream);
    uint64_t begin = cpu_ns();
    ncf_ops.publish(model);
    bench_round(&first, ms_since(begin), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double whole = 0, longest = 0;
        learn_all(bench, stream);
        do {
            begin = cpu_ns();
            ncf_ops.publish(model);
            double ms = ms_since(begin);
            whole += ms;
            longest = ms > longest ? ms : longest;
            fr_epoch_reclaim(bench->epoch);
        } while (ncf_ops.behind(model));
        bench_round(&one, longest, 0);
        bench_round(&turn, whole, 0);
        begin = cpu_ns();
        ncf_ops.save(model);
        ncf_ops.pay(model, SIZE_MAX);
        bench_round(&saved, ms_since(begin), 0);
        journal_reset(bench->journal);
    }
    bench_print("ncf_publish_first", "ms", &first, true);
    bench_print("ncf_publish", "ms", &one, true);
    bench_print("ncf_publish_turn", "ms", &turn, true);
    bench_print("ncf_save", "ms", &saved, true);
}

static double retrieve_us(const struct bench *bench, const struct stream *stream, struct scores *scores, uint32_t best)
{
    uint64_t begin = cpu_ns();

    for (uint32_t k = 0; k < QUERIES; k++) {
        struct touch touch = touch_of(stream, k);
        struct query query = {.history = touch.history, .now = 2000, .items = ITEMS, .best = best};
        scores_reset(scores, ITEMS);
        ncf_ops.retrieve(bench->learners[0].model, &query, scores);
    }
    return ms_since(begin) * 1e3 / QUERIES;
}

static double score_us(const struct bench *bench, const struct stream *stream)
{
    static double values[NAMED];
    uint64_t begin = cpu_ns();

    for (uint32_t k = 0; k < QUERIES; k++) {
        struct touch touch = touch_of(stream, k);
        struct query query = {.history = touch.history, .now = 2000, .items = ITEMS};
        ncf_ops.score(bench->learners[0].model, &query, stream->past + k * 17, NAMED, values);
    }
    return ms_since(begin) * 1e3 / QUERIES;
}

static double read_us(const uint64_t *words, size_t len)
{
    uint64_t begin = cpu_ns(), sum = 0;

    for (uint32_t k = 0; k < QUERIES; k++) {
        for (size_t at = 0; at < len; at++)
            sum += words[at];
        __asm__ volatile("" : "+r"(sum) : : "memory");
    }
    return ms_since(begin) * 1e3 / QUERIES;
}

static void bench_ask(void)
{
    struct bench_rounds best = {.len = 0}, all = {.len = 0}, named = {.len = 0};
    size_t words = (size_t)ITEMS * ncf_defaults.gmf / 2;
    uint64_t random = 1, *sequential = fr_zalloc(words, sizeof(*sequential));
    struct stream stream;
    struct bench bench;
    struct scores scores;

    memset(sequential, 1, words * sizeof(*sequential));
    stream_init(&stream, ITEMS, &random);
    bench_open(&bench, ITEMS);
    bench_learner(&bench, &ncf_ops, &ncf_defaults);
    scores_init(&scores);
    bench_publish(&bench, &stream);
    for (unsigned round = 0; round < ROUNDS; round++) {
        bench_round(&best, retrieve_us(&bench, &stream, &scores, 10), read_us(sequential, words));
        bench_round(&all, retrieve_us(&bench, &stream, &scores, 0), 0);
        bench_round(&named, score_us(&bench, &stream), 0);
    }
    bench_print("ncf_retrieve_best", "us", &best, true);
    bench_print("ncf_retrieve_all", "us", &all, true);
    bench_print("ncf_score", "us", &named, true);
    free(sequential);
    scores_release(&scores);
    bench_close(&bench);
    stream_release(&stream);
}

/* `ncf_bench learn` or `ncf_bench ask` runs one half. */
int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "learn") == 0) {
        bench_learn("ncf_learn", ITEMS);
        bench_learn("ncf_learn_hot", FEW);
        bench_together("ncf_sar_fm_learn");
    }
    if (argc < 2 || strcmp(argv[1], "ask") == 0)
        bench_ask();
    return 0;
}
