/*
 * sar_bench.c -- learning and answering, without daemon: 100,000 items, Zipf.
 *
 *   sar_parity_fill     pairs/s of learn(), histories of 50, from nothing. A pair is both of its entries
 *   sar_parity_steady   the same events again, no entry is new
 *                       baseline of both: a bare loop over the same rows: no journal, no versions, fetched alike
 *   sar_product_learn   events/s of learn(): window 10, rows of 500
 *                       baseline: the bare loop with the same pairs, unbounded
 *   sar_retrieve        us per query on that product state, the newest 20 items
 *   sar_retrieve_quiet  the same for histories of items drawn evenly, whose rows are short
 *                       baseline of both: one sequential read of as many bytes as the rows of the query have
 */
#include <stdatomic.h>
#include <string.h>

#include "bench.h"
#include "freshet/model.h"
#include "freshet/rows.h"
#include "freshet/sar.h"

enum { ITEMS = 100000, LONG = 50, WINDOW = 10, LAST = 20, ROUNDS = 5, PARITY_EVENTS = 80000, PRODUCT_EVENTS = 600000 };
enum { JOURNAL_MOST = 64 << 20, QUERIES = 4000, HISTORIES = 512 };

/* Events as the engine would hand them over: an item, and the history before it. */
struct stream {
    uint32_t *item; /* [events] */
    uint32_t *past; /* [events][LONG], oldest first */
    uint32_t events;
    uint16_t step[LONG];
    uint64_t stamp[LONG];
    double affinity[LONG];
};

static void draw_distinct(const struct bench_zipf *zipf, uint32_t *items, uint32_t len, uint64_t *random)
{
    for (uint32_t k = 0; k < len;) {
        uint32_t item = zipf ? bench_zipf_draw(zipf, random) : (uint32_t)(bench_random(random) % ITEMS), at = 0;
        while (at < k && items[at] != item)
            at++;
        items[k] = item;
        k += at == k;
    }
}

static void stream_init(struct stream *stream, uint32_t events, const struct bench_zipf *zipf, uint64_t *random)
{
    uint32_t fresh[LONG + 1];

    stream->events = events;
    stream->item = fr_alloc(events * sizeof(*stream->item));
    stream->past = fr_alloc((size_t)events * LONG * sizeof(*stream->past));
    for (uint32_t k = 0; k < events; k++) {
        draw_distinct(zipf, fresh, LONG + 1, random);
        memcpy(stream->past + (size_t)k * LONG, fresh, LONG * sizeof(*fresh));
        stream->item[k] = fresh[LONG];
    }
    for (uint32_t k = 0; k < LONG; k++) {
        stream->step[k] = 1;
        stream->stamp[k] = stamp_of(1000 + k, 1);
        stream->affinity[k] = 1;
    }
}

static void stream_release(struct stream *stream)
{
    free(stream->item);
    free(stream->past);
}

static struct history history_of(const struct stream *stream, const uint32_t *past)
{
    return (struct history){past, stream->step, stream->stamp, stream->affinity, NULL, LONG};
}

static struct touch touch_of(const struct stream *stream, uint32_t k)
{
    return (struct touch){.item = stream->item[k],
                          .at = LONG,
                          .behind = 1,
                          .fresh = true,
                          .when = 2000,
                          .weight = 1,
                          .history = history_of(stream, stream->past + (size_t)k * LONG)};
}

struct bench {
    struct fr_epoch *epoch;
    struct journal *journal;
    struct model *model;
    struct rows *bare;
    _Atomic uint32_t *users_of_item, items_held;
};

static void bench_open(struct bench *bench, const struct sar_options *options)
{
    bench->epoch = fr_epoch_new();
    bench->journal = journal_new();
    bench->users_of_item = fr_zalloc(ITEMS, sizeof(*bench->users_of_item));
    bench->items_held = ITEMS;
    const struct model_host host = {bench->epoch, &bench->journal, bench->users_of_item, &bench->items_held, ITEMS, NULL, NULL, NULL, NULL};
    bench->model = sar_ops.open(options, &host);
    sar_ops.extend(bench->model, ITEMS);
    bench->bare = rows_new(ITEMS, bench->epoch);
    rows_extend(bench->bare, ITEMS);
}

static void bench_close(struct bench *bench)
{
    sar_ops.close(bench->model);
    rows_free(bench->bare);
    journal_free(bench->journal);
    free(bench->users_of_item);
    fr_epoch_free(bench->epoch);
}

/* Seconds. The engine hands its journal over long before it is that large. */
static double learn_all(struct bench *bench, const struct stream *stream)
{
    uint64_t begin = fr_mono_ns();

    for (uint32_t k = 0; k < stream->events; k++) {
        struct touch touch;
        if (k + 2 < stream->events) {
            touch = touch_of(stream, k + 2);
            sar_ops.prepare(bench->model, &touch, 0);
        }
        if (k + 1 < stream->events) {
            touch = touch_of(stream, k + 1);
            sar_ops.prepare(bench->model, &touch, 1);
        }
        touch = touch_of(stream, k);
        sar_ops.learn(bench->model, &touch);
        if (k % 256 == 0) {
            fr_epoch_reclaim(bench->epoch);
            if (journal_bytes(bench->journal) > JOURNAL_MOST)
                journal_reset(bench->journal);
        }
    }
    double seconds = (double)(fr_mono_ns() - begin) / 1e9;
    journal_reset(bench->journal);
    return seconds;
}

static double bare_all(struct bench *bench, const struct stream *stream, uint32_t window)
{
    struct rows *rows = bench->bare;
    uint64_t begin = fr_mono_ns();

    for (uint32_t k = 0; k < stream->events; k++) {
        const uint32_t *now = stream->past + (size_t)k * LONG, *soon = now + LONG, *later = soon + LONG;
        uint32_t item = stream->item[k];
        for (uint32_t p = LONG - window; k + 2 < stream->events && p < LONG; p++)
            rows_prefetch(rows, later[p]);
        if (k + 2 < stream->events)
            rows_prefetch(rows, stream->item[k + 2]);
        for (uint32_t p = LONG - window; k + 1 < stream->events && p < LONG; p++) {
            rows_prefetch_cell(rows, soon[p], stream->item[k + 1]);
            rows_prefetch_cell(rows, stream->item[k + 1], soon[p]);
        }
        for (uint32_t p = LONG - window; p < LONG; p++)
            rows_add(rows, now[p], item, 1);
        for (uint32_t p = LONG - window; p < LONG; p++)
            rows_add(rows, item, now[p], 1);
        if (k % 256 == 0)
            fr_epoch_reclaim(bench->epoch);
    }
    return (double)(fr_mono_ns() - begin) / 1e9;
}

static void bench_parity(const struct stream *stream)
{
    const struct sar_options options = {.parity = true, .similarity = SAR_JACCARD, .threshold = 1, .recency = 1};
    const double pairs = (double)stream->events * LONG;
    struct bench_rounds fill = {.len = 0}, steady = {.len = 0};

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct bench bench;
        bench_open(&bench, &options);
        double learned = learn_all(&bench, stream), bare = bare_all(&bench, stream, LONG);
        bench_round(&fill, pairs / learned, pairs / bare);
        learned = learn_all(&bench, stream);
        bare = bare_all(&bench, stream, LONG);
        bench_round(&steady, pairs / learned, pairs / bare);
        bench_close(&bench);
    }
    bench_print("sar_parity_fill", "pairs/s", &fill, false);
    bench_print("sar_parity_steady", "pairs/s", &steady, false);
}

/* ---- answering -------------------------------------------------------------------------------------------- */

struct asked {
    uint32_t past[HISTORIES][LONG];
    size_t bytes; /* of the rows a query reads, on average */
};

static double read_once(const uint64_t *memory, size_t words)
{
    volatile uint64_t sink = 0;
    uint64_t sum = 0, begin = fr_mono_ns();

    for (size_t k = 0; k < words; k++)
        sum += memory[k];
    sink = sum;
    (void)sink;
    return (double)(fr_mono_ns() - begin);
}

static void bench_retrieve(const char *name, struct bench *bench, const struct stream *stream,
                           const struct bench_zipf *zipf, uint64_t *random)
{
    struct asked *asked = fr_zalloc(1, sizeof(*asked));
    struct bench_rounds rounds = {.len = 0};
    struct scores scores;
    uint64_t entries = 0, candidates = 0;

    scores_init(&scores);
    for (uint32_t h = 0; h < HISTORIES; h++)
        draw_distinct(zipf, asked->past[h], LONG, random);
    for (uint32_t h = 0; h < HISTORIES; h++) {
        for (uint32_t p = LONG - LAST; p < LONG; p++) { /* neighbours() touches as many as the row has */
            scores_reset(&scores, ITEMS);
            sar_ops.neighbours(bench->model, asked->past[h][p], &scores);
            entries += scores.touched_len;
        }
    }
    asked->bytes = entries * 12 / HISTORIES; /* bytes per entry, see rows_bench */
    uint64_t *memory = fr_alloc(asked->bytes * QUERIES);
    memset(memory, 1, asked->bytes * QUERIES);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t begin = fr_mono_ns();
        for (uint32_t k = 0; k < QUERIES; k++) {
            struct query query = {.history = history_of(stream, asked->past[bench_random(random) % HISTORIES]),
                                  .now = 2000,
                                  .items = ITEMS};
            scores_reset(&scores, ITEMS);
            sar_ops.retrieve(bench->model, &query, &scores);
            candidates += scores.touched_len;
        }
        double spent = (double)(fr_mono_ns() - begin);
        double limit = read_once(memory, asked->bytes * QUERIES / sizeof(*memory));
        bench_round(&rounds, spent / 1e3 / QUERIES, limit / 1e3 / QUERIES);
    }
    bench_print(name, "us/query", &rounds, true);
    printf("# %s: %.0f entries in %d rows, %.0f candidates per query\n", name, (double)entries / HISTORIES, LAST,
           (double)candidates / QUERIES / ROUNDS);
    free(memory);
    scores_release(&scores);
    free(asked);
}

static void bench_product(const struct stream *stream, const struct bench_zipf *zipf, uint64_t *random)
{
    const struct sar_options options = {.similarity = SAR_SHRUNK_COSINE,
                                        .threshold = 1,
                                        .window = WINDOW,
                                        .score_last = LAST,
                                        .neighbours_max = 500,
                                        .recency = 0.8,
                                        .half_life = 30 * (span_ms)86400000};
    struct bench_rounds learn = {.len = 0};
    struct bench bench;

    bench_open(&bench, &options);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double learned = learn_all(&bench, stream), bare = bare_all(&bench, stream, WINDOW);
        bench_round(&learn, stream->events / learned, stream->events / bare);
    }
    bench_print("sar_product_learn", "events/s", &learn, false);
    struct model_stats stats;
    sar_ops.stats(bench.model, &stats);
    printf("# product state: %.2f million entries, %.1f bytes each, %.0f rows pruned\n", (double)stats.pairs / 1e6,
           (double)stats.bytes / (double)stats.pairs, (double)stats.pruned);
    for (uint32_t k = 0; k < stream->events; k++)
        bench.users_of_item[stream->item[k]] += ROUNDS;
    for (uint32_t k = 0; k < stream->events; k += 8) { /* what is only in a past is held too */
        for (uint32_t p = 0; p < LONG; p++)
            bench.users_of_item[stream->past[(size_t)k * LONG + p]] += ROUNDS;
    }
    bench_retrieve("sar_retrieve", &bench, stream, zipf, random);
    bench_retrieve("sar_retrieve_quiet", &bench, stream, NULL, random);
    bench_close(&bench);
}

/* `sar_bench parity` or `sar_bench product` runs one half. */
int main(int argc, char **argv)
{
    struct bench_zipf zipf;
    struct stream stream;
    uint64_t random = 1;

    bench_zipf_init(&zipf, ITEMS, &random);
    stream_init(&stream, PRODUCT_EVENTS, &zipf, &random);
    struct stream first = stream;
    first.events = PARITY_EVENTS;
    if (argc < 2 || strcmp(argv[1], "parity") == 0)
        bench_parity(&first);
    if (argc < 2 || strcmp(argv[1], "product") == 0)
        bench_product(&stream, &zipf, &random);
    stream_release(&stream);
    bench_zipf_release(&zipf);
    return 0;
}
