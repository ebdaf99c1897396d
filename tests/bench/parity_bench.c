/*
 * parity_bench.c -- the whole engine in parity mode: whole histories, all pairs, filling empty rows.
 *
 *     parity_bench [EVENTS [USERS [ROUNDS]]]        default 300,000 2,500 5
 *
 * A history has about 50 items when an event meets it. An update is one directed pair.
 *
 *   parity_pairs           updates/s of the engine's thread, in CPU time; baseline: the same updates by a bare loop
 *                          over rows of the same kind, fetched ahead, no journal, no versions
 *   parity_pairs_of_limit  the same; baseline: bare increments in a flat table of as many bytes, fetched ahead
 *   parity_pairs_wall      updates/s by the clock; baseline: the bare loop over rows
 *   parity_checkpoint_cpu  ns per update of the checkpoint's and RocksDB's threads
 *   parity_store_bytes     given to the store per update
 *   parity_pause_max       ms the engine spent in the longest freeze; baseline: the goal
 */
#include "engine_world.h"

static struct engine_options parity_options(void)
{
    struct engine_options options = product_options();

    options.history_max = 0;
    options.user_postings = true;
    options.sar = (struct sar_options){.parity = true, .similarity = SAR_JACCARD, .threshold = 1, .recency = 1};
    options.shape = "sar.mode=parity\n";
    return options;
}

/* The updates the stream's pairs make, in order, as an independent replay finds them. */
struct cell {
    uint32_t row, column;
};
struct cells {
    struct cell *at;
    size_t len, cap;
    uint64_t fresh; /* events that met a new item */
};

static void cells_put(struct cells *cells, uint32_t row, uint32_t column)
{
    fr_reserve((void **)&cells->at, &cells->cap, cells->len + 1, sizeof(*cells->at));
    cells->at[cells->len++] = (struct cell){row, column};
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

static size_t place_of(const struct cell *cell, size_t len)
{
    return (size_t)(((cell->row * 0x9E3779B1ULL + cell->column) * 0x9E3779B97F4A7C15ULL >> 32) * len >> 32);
}

/* Per second of CPU time, in a flat table of `bytes`. */
static double bare_increments(const struct cells *cells, size_t bytes)
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
        __builtin_prefetch(&count[place_of(&cells->at[k + AHEAD < cells->len ? k + AHEAD : k], len)], 1);
        count[place_of(&cells->at[k], len)]++;
    }
    double rate = (double)cells->len * 1e9 / (double)(fr_thread_ns() - begin);
    fr_array_release(&table);
    return rate;
}

/* Per second of CPU time, into rows that are empty at first. */
static double bare_rows(const struct cells *cells)
{
    enum { FAR = 100, NEAR = 50 };
    struct fr_epoch *epoch = fr_epoch_new();
    struct rows *rows = rows_new(WORLD_ITEMS, epoch);

    rows_extend(rows, WORLD_ITEMS);
    uint64_t begin = fr_thread_ns();
    for (size_t k = 0; k < cells->len; k++) {
        if (k + FAR < cells->len)
            rows_prefetch(rows, cells->at[k + FAR].row);
        if (k + NEAR < cells->len)
            rows_prefetch_cell(rows, cells->at[k + NEAR].row, cells->at[k + NEAR].column);
        rows_add(rows, cells->at[k].row, cells->at[k].column, 1);
        if (k % 4096 == 0)
            fr_epoch_reclaim(epoch);
    }
    double rate = (double)cells->len * 1e9 / (double)(fr_thread_ns() - begin);
    rows_free(rows);
    fr_epoch_free(epoch);
    return rate;
}

struct parity_figures {
    struct bench_rounds of_rows, of_limit, wall, checkpoint_cpu, stored, pause;
};

static void parity_round(const struct stream *stream, const struct cells *cells, struct parity_figures *figures)
{
    struct engine_options options = parity_options();
    struct engine_status *status = fr_alloc(sizeof(*status));
    struct world world;
    double bytes = store_bytes(), updates = (double)cells->len;

    world_begin(&world, stream, &options);
    world.end = stream->len;
    pauses_forget();
    uint64_t begin = fr_mono_ns();
    feed(&world);
    double seconds = (double)(world.done_ns - begin) / 1e9, spent = cpu_of_threads(getpid(), "engine");
    await_checkpoint(&world);
    double aside = aside_cpu();
    engine_status(world.engine, status);
    world_stop(&world);
    folder_remove(world.folder);
    double rows = bare_rows(cells), limit = bare_increments(cells, status->model_bytes);
    bench_round(&figures->of_rows, updates / spent, rows);
    bench_round(&figures->of_limit, updates / spent, limit);
    bench_round(&figures->wall, updates / seconds, rows);
    bench_round(&figures->checkpoint_cpu, aside * 1e9 / updates, 0);
    bench_round(&figures->stored, (store_bytes() - bytes) / updates, 0);
    bench_round(&figures->pause, (double)pauses.wall_ns / 1e6, 5);
    printf("# parity: %.1f s, %.1f items in a history when met, %.2f M pairs of %.1f bytes, engine %.2f s of CPU\n",
           seconds, updates / 2 / (double)cells->fresh, (double)status->pairs / 1e6,
           (double)status->model_bytes / (double)status->pairs, spent);
    free(status);
}

static void bench_parity(uint32_t events, uint32_t users, unsigned rounds, uint64_t *random)
{
    struct parity_figures *figures = fr_zalloc(1, sizeof(*figures));
    struct stream stream;
    struct cells cells;

    stream_init(&stream, events, users, random);
    cells_init(&cells, &stream);
    for (unsigned round = 0; round < rounds; round++)
        parity_round(&stream, &cells, figures);
    bench_print("parity_pairs", "pairs/s", &figures->of_rows, false);
    bench_print("parity_pairs_of_limit", "pairs/s", &figures->of_limit, false);
    bench_print("parity_pairs_wall", "pairs/s", &figures->wall, false);
    bench_print("parity_checkpoint_cpu", "ns/pair", &figures->checkpoint_cpu, true);
    bench_print("parity_store_bytes", "bytes/pair", &figures->stored, true);
    bench_print("parity_pause_max", "ms", &figures->pause, true);
    free(cells.at);
    stream_release(&stream);
    free(figures);
}

int main(int argc, char **argv)
{
    unsigned long events = argc > 1 ? strtoul(argv[1], NULL, 10) : 300000,
                  users = argc > 2 ? strtoul(argv[2], NULL, 10) : 2500;
    unsigned long rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 5;
    uint64_t random = 1;

    if (events < 1000 || events > UINT32_MAX || users == 0 || users > UINT32_MAX || rounds == 0 || rounds > 12)
        die("usage: parity_bench [EVENTS [USERS [ROUNDS up to 12]]]");
    setvbuf(stdout, NULL, _IOLBF, 0);
    fr_log_setup(FR_WARN, FR_LOG_TEXT);
    bench_parity((uint32_t)events, (uint32_t)users, (unsigned)rounds, &random);
    return 0;
}
