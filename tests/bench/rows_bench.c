/*
 * rows_bench.c -- one sparse matrix of 100,000 rows, Zipf both ways.
 *
 *   rows_fill     directed updates/s into an empty table, fetched two stages ahead
 *   rows_steady   the same updates again: no entry is new
 *                 baseline of both: random increments/s, fetched ahead, in a flat table as large as the rows are
 *   rows_bytes    bytes per entry, headers left out; baseline: 8, a column and a count
 *   rows_copy     ns per entry of copying rows of some 500; baseline: one sequential read of their bytes
 */
#include <string.h>

#include "bench.h"
#include "freshet/rows.h"

enum { ROWS = 100000, UPDATES = 4000000, ROUNDS = 5, FAR = 16, NEAR = 8 };

struct update {
    uint32_t row, column;
};

static double updates_per_second(struct rows *rows, const struct update *updates)
{
    uint64_t begin = fr_mono_ns();

    for (uint32_t k = 0; k < UPDATES; k++) {
        if (k + FAR < UPDATES)
            rows_prefetch(rows, updates[k + FAR].row);
        if (k + NEAR < UPDATES)
            rows_prefetch_cell(rows, updates[k + NEAR].row, updates[k + NEAR].column);
        rows_add(rows, updates[k].row, updates[k].column, 1);
    }
    return UPDATES * 1e9 / (double)(fr_mono_ns() - begin);
}

/* One increment at a pseudo-random line per update, known FAR steps ahead. */
static double increments_per_second(uint32_t *table, size_t len, const struct update *updates)
{
    uint64_t begin = fr_mono_ns();

    for (uint32_t k = 0; k < UPDATES; k++) {
        const struct update *soon = &updates[k + FAR < UPDATES ? k + FAR : k];
        __builtin_prefetch(&table[(soon->row * 0x9E3779B1ULL + soon->column) * 0x9E3779B97F4A7C15ULL % len]);
        table[(updates[k].row * 0x9E3779B1ULL + updates[k].column) * 0x9E3779B97F4A7C15ULL % len]++;
    }
    return UPDATES * 1e9 / (double)(fr_mono_ns() - begin);
}

static void bench_updates(const struct update *updates)
{
    struct bench_rounds fill = {.len = 0}, steady = {.len = 0}, bytes = {.len = 0};

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct fr_epoch *epoch = fr_epoch_new();
        struct rows *rows = rows_new(ROWS, epoch);
        rows_extend(rows, ROWS);
        size_t headers = rows_bytes(rows);
        double filling = updates_per_second(rows, updates);
        fr_epoch_reclaim(epoch);
        struct fr_array table;
        fr_array_init(&table, sizeof(uint32_t), rows_bytes(rows) / sizeof(uint32_t));
        fr_array_grow(&table, table.max);
        memset(table.base, 1, table.max * sizeof(uint32_t));
        double limit = increments_per_second((uint32_t *)(void *)table.base, table.max, updates);
        bench_round(&fill, filling, limit);
        bench_round(&steady, updates_per_second(rows, updates), limit);
        bench_round(&bytes, (double)(rows_bytes(rows) - headers) / (double)rows_entries(rows), 8);
        fr_array_release(&table);
        rows_free(rows);
        fr_epoch_free(epoch);
    }
    bench_print("rows_fill", "updates/s", &fill, false);
    bench_print("rows_steady", "updates/s", &steady, false);
    bench_print("rows_bytes_per_entry", "bytes", &bytes, true);
}

static void bench_copies(uint64_t *random)
{
    enum { MANY = 20000, LEN = 500, COPIES = 20000, ROOM = 2048 };
    struct bench_rounds copy = {.len = 0};
    struct fr_epoch *epoch = fr_epoch_new();
    struct rows *rows = rows_new(MANY, epoch);
    uint32_t columns[ROOM], counts[ROOM];
    volatile uint64_t sink = 0;

    rows_extend(rows, MANY);
    for (uint32_t k = 0; k < MANY * LEN; k++)
        rows_add(rows, k % MANY, (uint32_t)(bench_random(random) % ROWS), 1);
    fr_epoch_reclaim(epoch);
    size_t bytes = rows_room(rows, 0) * 8, len = bytes * COPIES / 8;
    uint64_t *plain = fr_alloc(bytes * COPIES);
    memset(plain, 1, bytes * COPIES);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t entries = 0, sum = 0, begin = fr_mono_ns();
        for (uint32_t k = 0; k < COPIES; k++)
            entries += rows_copy(rows, (uint32_t)(bench_random(random) % MANY), columns, counts, ROOM);
        uint64_t middle = fr_mono_ns();
        for (size_t k = 0; k < len; k++)
            sum += plain[k];
        sink = sink + sum;
        uint64_t end = fr_mono_ns();
        bench_round(&copy, (double)(middle - begin) / (double)entries, (double)(end - middle) / (double)entries);
    }
    bench_print("rows_copy", "ns/entry", &copy, true);
    free(plain);
    rows_free(rows);
    fr_epoch_free(epoch);
}

int main(void)
{
    struct update *updates = fr_alloc(UPDATES * sizeof(*updates));
    struct bench_zipf zipf;
    uint64_t random = 1;

    bench_zipf_init(&zipf, ROWS, &random);
    for (uint32_t k = 0; k < UPDATES; k++)
        updates[k] = (struct update){bench_zipf_draw(&zipf, &random), bench_zipf_draw(&zipf, &random)};
    bench_updates(updates);
    bench_copies(&random);
    bench_zipf_release(&zipf);
    free(updates);
    return 0;
}
