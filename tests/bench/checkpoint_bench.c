/*
 * checkpoint_bench.c -- what a checkpoint costs, and how fast a start reads it all back.
 *
 * A journal like the product's: 75,000 events (half a second at 150,000 a second), each with a slot, a header and a
 * star of 10 partners of the same user, over 100,000 users and 100,000 items (Zipf 1). Forty such journals one after
 * another on RocksDB, folds included. Then the store is closed, opened and read: bare iteration against loading, in
 * turns.
 *
 *     checkpoint_bench [journals] [folder]          0 journals: only read what the folder has
 */
#include <string.h>

#include "bench.h"
#include "checkpoint.h"
#include "compose.h"
#include "folder.h"
#include "freshet/format.h"
#include "freshet/journal.h"
#include "freshet/store.h"

enum { EVENTS = 75000, USERS = 100000, ITEMS = 100000, PARTNERS = 10, SLOT = 28, HEAD = 20, ROUNDS = 5 };

static uint64_t random_state = 42;
static struct bench_zipf items;

static void fill(struct journal *journal)
{
    static uint32_t recent[USERS][PARTNERS];
    char slot[SLOT], head[HEAD];

    for (int i = 0; i < EVENTS; i++) {
        uint32_t user = (uint32_t)(bench_random(&random_state) % USERS), item = bench_zipf_draw(&items, &random_state);
        uint64_t stamp = UINT64_C(1700000000000) + bench_random(&random_state) % 1000000;
        memset(slot, 0, sizeof(slot));
        memset(head, 0, sizeof(head));
        memcpy(slot, &stamp, sizeof(stamp));
        memcpy(slot + 12, &random_state, 8);
        memcpy(head, &random_state, 8);
        if (!recent[user][0])
            for (int k = 0; k < PARTNERS; k++)
                recent[user][k] = bench_zipf_draw(&items, &random_state);
        journal_star(journal, TABLE_PAIRS, item, recent[user], PARTNERS, 1);
        recent[user][bench_random(&random_state) % PARTNERS] = item;
        journal_put(journal, TABLE_HISTORY, user, item, slot, sizeof(slot));
        journal_put(journal, TABLE_HISTORY, user, COLUMN_HEAD, head, sizeof(head));
    }
}

static double seconds_since(uint64_t begin)
{
    return (double)(fr_mono_ns() - begin) / 1e9;
}

static struct store *open_at(const char *folder)
{
    struct store *store;
    struct fr_err err;

    if (store_rocks_open(&store, &(struct store_rocks_options){.path = folder}, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return store;
}

static void write_journals(struct store *store, int journals)
{
    struct composer *composer = composer_new(store);
    struct store_batch *batch = store->ops->batch_new(store);
    struct journal *journal = journal_new();
    struct bench_rounds composing = {0}, computing = {0}, writing = {0}, bytes = {0};
    struct fr_err err;
    double worst_compose = 0, worst_write = 0;

    for (int n = 0; n < journals; n++) {
        fill(journal);
        uint64_t begin = fr_mono_ns(), cpu = fr_thread_ns();
        if (compose(composer, journal, batch, &err))
            exit(1);
        double composed = seconds_since(begin), cpu_seconds = (double)(fr_thread_ns() - cpu) / 1e9;
        begin = fr_mono_ns();
        if (store->ops->write(store, batch, &err))
            exit(1);
        double written = seconds_since(begin);
        store->ops->sync(store, &err);
        bench_round(&composing, composed * 1e3, 0);
        bench_round(&computing, cpu_seconds * 1e3, 0);
        bench_round(&writing, written * 1e3, 0);
        bench_round(&bytes, (double)store->ops->batch_bytes(batch) / EVENTS, 0);
        worst_compose = fmax(worst_compose, composed * 1e3);
        worst_write = fmax(worst_write, written * 1e3);
        store->ops->batch_clear(batch);
        journal_reset(journal);
    }
    const struct composer_figures *figures = composer_figures(composer);
    double events = (double)EVENTS * journals;
    bench_print("checkpoint_compose", "ms", &composing, true);
    bench_print("checkpoint_compose_cpu", "ms", &computing, true);
    bench_print("checkpoint_write", "ms", &writing, true);
    printf("checkpoint_compose_worst %.4g ms - -\ncheckpoint_write_worst %.4g ms - -\n", worst_compose, worst_write);
    bench_print("checkpoint_bytes_per_event", "bytes", &bytes, true);
    printf("checkpoint_delta_bytes_per_event %.4g bytes - -\n", (double)figures->delta_bytes / events);
    printf("checkpoint_fold_bytes_per_event %.4g bytes - -\n", (double)figures->fold_bytes_written / events);
    printf("checkpoint_folds %llu count - -\n", (unsigned long long)figures->folds);
    composer_free(composer);
    store->ops->batch_free(batch);
    journal_free(journal);
}

/* ---- reading back ---- */

static uint64_t cells_seen, sum_seen;

static bool see_sums(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums, size_t len)
{
    (void)context, (void)row;
    cells_seen += len;
    for (size_t i = 0; i < len; i++)
        sum_seen += columns[i] + (uint64_t)sums[i];
    return true;
}

static bool see_cells(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells, size_t len)
{
    (void)context, (void)row;
    cells_seen += len;
    for (size_t i = 0; i < len; i++)
        sum_seen += columns[i] + (unsigned char)cells[i].at[0];
    return true;
}

static double iterate_mb(struct store *store, double *ret_mb)
{
    uint64_t begin = fr_mono_ns(), bytes = 0;
    struct store_iter *iter = store->ops->iterate(store, FR_BYTES("s"));
    struct fr_bytes key, value;

    while (store->ops->next(iter, &key, &value))
        bytes += key.len + value.len;
    store->ops->iter_close(iter, NULL);
    *ret_mb = (double)bytes / 1e6;
    return *ret_mb / seconds_since(begin);
}

static void read_back(struct store *store)
{
    const struct state_loader loaders[] = {{.table = TABLE_HISTORY, .cells = see_cells},
                                           {.table = TABLE_PAIRS, .sums = see_sums}};
    struct bench_rounds rounds = {0};
    struct fr_err err;
    double mb;

    iterate_mb(store, &mb);
    for (int i = 0; i < ROUNDS; i++) {
        double bare = iterate_mb(store, &mb);
        cells_seen = 0;
        uint64_t begin = fr_mono_ns();
        if (state_load(store, loaders, 2, &err)) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        bench_round(&rounds, mb / seconds_since(begin), bare);
    }
    printf("restart_state %.4g MB - -\n", mb);
    printf("restart_cells %llu count - -\n", (unsigned long long)cells_seen);
    bench_print("restart_load", "MB/s", &rounds, false);
}

int main(int argc, char **argv)
{
    int journals = argc > 1 ? atoi(argv[1]) : 40;
    char room[256];
    const char *folder = argc > 2 ? argv[2] : folder_make(room);
    struct store *store = open_at(folder);
    struct fr_err err;

    if (format_admit(store, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    bench_zipf_init(&items, ITEMS, &random_state);
    if (journals > 0)
        write_journals(store, journals);
    bench_zipf_release(&items);
    store->ops->close(store);
    store = open_at(folder);
    read_back(store);
    store->ops->close(store);
    if (argc <= 2)
        folder_remove(folder);
    return sum_seen == 0; /* it is used */
}
