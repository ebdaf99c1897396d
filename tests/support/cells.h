/*
 * cells.h -- an oracle for the tables: a plain array of cells to which operations are applied as journal.h describes
 * them, one at a time, without sorting, encoding or folding. And a source of random journals, the n-th of which depends
 * on n and the seed alone.
 *
 * Rows and columns are a few dozen numbers around every edge there is: ends of segments, of varints, of 32 bits.
 */
#ifndef FR_TEST_CELLS_H
#define FR_TEST_CELLS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkpoint.h"
#include "freshet/journal.h"
#include "freshet/store.h"

/* A freeze at one stroke: the journal to go on with, for the full one. */
static inline struct journal *give_whole(struct checkpoint *checkpoint, struct journal *full, uint64_t number)
{
    struct journal *empty = checkpoint_take(checkpoint);

    checkpoint_give(checkpoint, full, number);
    return empty;
}

enum { CELLS_IDS = 32, CELLS_KEYS = 8, CELLS_BYTES_MAX = 6000 };

// clang-format off
static const uint32_t cells_ids[CELLS_IDS] = {
    0, 1, 2, 3, 62, 63, 64, 65, 126, 127, 128, 129, 255, 256, 257, 511, 1000, 1023, 1024, 1025, 5000, 16383, 16384,
    70000, 1 << 20, 2097151, 2097152, 268435455, 268435456, UINT32_MAX - 64, UINT32_MAX - 1, UINT32_MAX,
};
// clang-format on

struct cells_cell {
    bool there;
    int64_t sum;
    uint32_t seed, len;
};
struct cells {
    struct cells_cell at[TABLES][CELLS_IDS][CELLS_IDS];
    struct cells_cell keys[CELLS_KEYS]; /* even ones sort before segments, odd ones after */
    uint64_t number;                    /* of the newest journal; stands for the positions */
};

/* ---- random numbers (splitmix64) ---- */

static inline uint64_t cells_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static inline const char *cells_bytes(uint32_t seed, uint32_t len)
{
    static _Thread_local char room[CELLS_BYTES_MAX + 8];
    uint64_t state = seed;

    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t word = cells_random(&state);
        memcpy(room + i, &word, 8);
    }
    return room;
}

static inline bool cells_sums(enum journal_table table)
{
    return table == TABLE_PAIRS;
}

/* ---- operations, on journal and oracle alike; either may be NULL ---- */

static inline void cells_add(struct cells *cells, size_t row, size_t column, int32_t by)
{
    struct cells_cell *cell = &cells->at[TABLE_PAIRS][row][column];

    cell->sum += by;
    cell->there = cell->sum != 0;
}

static inline void cells_star(struct journal *journal, struct cells *cells, uint64_t *random)
{
    size_t center = cells_random(random) % CELLS_IDS, len = cells_random(random) % 12, others[12];
    int32_t by = (int32_t)(cells_random(random) % 5) - 2;
    uint32_t ids[12];

    for (size_t i = 0; i < len; i++) {
        others[i] = cells_random(random) % CELLS_IDS;
        ids[i] = cells_ids[others[i]];
    }
    if (journal)
        journal_star(journal, TABLE_PAIRS, cells_ids[center], ids, len, by);
    for (size_t i = 0; cells && i < len; i++) {
        cells_add(cells, center, others[i], by);
        cells_add(cells, others[i], center, by);
    }
}

static inline void cells_adds(struct journal *journal, struct cells *cells, uint64_t *random)
{
    size_t row = cells_random(random) % CELLS_IDS, columns[CELLS_IDS], len = cells_random(random) % CELLS_IDS;
    uint32_t ids[CELLS_IDS];
    int32_t by[CELLS_IDS];

    for (size_t i = 0; i < len; i++) {
        columns[i] = cells_random(random) % CELLS_IDS;
        ids[i] = cells_ids[columns[i]];
        by[i] = (int32_t)(cells_random(random) % 7) - 3;
        if (cells)
            cells_add(cells, row, columns[i], by[i]);
    }
    if (journal)
        journal_adds(journal, TABLE_PAIRS, cells_ids[row], ids, by, len);
}

static inline void cells_put(struct journal *journal, struct cells *cells, enum journal_table table, size_t row,
                             size_t column, uint64_t *random)
{
    uint32_t seed = (uint32_t)cells_random(random), kind = (uint32_t)cells_random(random) % 64;
    uint32_t len = kind == 0 ? (uint32_t)(cells_random(random) % CELLS_BYTES_MAX) : kind < 8 ? 0 : seed % 300;

    if (journal)
        journal_put(journal, table, cells_ids[row], cells_ids[column], cells_bytes(seed, len), len);
    if (cells)
        cells->at[table][row][column] = (struct cells_cell){.there = true, .seed = seed, .len = len};
}

static inline void cells_key(struct journal *journal, struct cells *cells, uint64_t *random)
{
    size_t which = cells_random(random) % CELLS_KEYS;
    uint32_t seed = (uint32_t)cells_random(random), len = seed % 100;
    char name[3] = {which % 2 ? 'z' : 'a', (char)('0' + which)};
    bool deleted = cells_random(random) % 3 == 0;

    if (journal && deleted)
        journal_key_delete(journal, fr_bytes_of(name));
    else if (journal)
        journal_key_put(journal, fr_bytes_of(name), (struct fr_bytes){cells_bytes(seed, len), len});
    if (cells)
        cells->keys[which] = (struct cells_cell){.there = !deleted, .seed = seed, .len = len};
}

static inline void cells_operation(struct journal *journal, struct cells *cells, uint64_t *random)
{
    enum journal_table table = (enum journal_table)(1 + cells_random(random) % (TABLES - 1));
    size_t row = cells_random(random) % CELLS_IDS, column = cells_random(random) % CELLS_IDS;
    uint64_t kind = cells_random(random) % 100;

    if (kind < 2) {
        if (journal)
            journal_clear(journal, table, cells_ids[row]);
        if (cells)
            memset(cells->at[table][row], 0, sizeof(cells->at[table][row]));
    } else if (kind < 6) {
        cells_key(journal, cells, random);
    } else if (cells_sums(table) && kind < 50) {
        cells_star(journal, cells, random);
    } else if (cells_sums(table) && kind < 60) {
        cells_adds(journal, cells, random);
    } else if (cells_sums(table)) {
        int32_t by = kind == 99 ? INT32_MIN : kind == 98 ? INT32_MAX : (int32_t)(cells_random(random) % 7) - 3;
        if (journal)
            journal_add(journal, table, cells_ids[row], cells_ids[column], by);
        if (cells)
            cells_add(cells, row, column, by);
    } else if (kind < 80) {
        cells_put(journal, cells, table, row, column, random);
    } else {
        if (journal)
            journal_delete(journal, table, cells_ids[row], cells_ids[column]);
        if (cells)
            cells->at[table][row][column] = (struct cells_cell){0};
    }
}

/* The n-th journal; its last operation puts "onumber" = n. */
static inline void cells_journal(struct journal *journal, struct cells *cells, uint64_t seed, uint64_t n, size_t ops)
{
    uint64_t random = seed * 1000003 + n;

    for (ops = cells_random(&random) % (ops + 1); ops > 0; ops--)
        cells_operation(journal, cells, &random);
    if (journal)
        journal_key_put(journal, FR_BYTES("onumber"), (struct fr_bytes){(const char *)&n, sizeof(n)});
    if (cells)
        cells->number = n;
}

/* ---- what a store holds ---- */

struct cells_loading {
    struct cells *cells;
    enum journal_table table;
    int64_t last_row;
};

static inline size_t cells_index(uint32_t id)
{
    for (size_t i = 0; i < CELLS_IDS; i++)
        if (cells_ids[i] == id)
            return i;
    fail_msg("%u is no id of ours", id);
    return 0;
}

static inline struct cells_cell *cells_loaded_row(struct cells_loading *loading, uint32_t row, const uint32_t *columns,
                                                  size_t len)
{
    assert_true((int64_t)row > loading->last_row);
    assert_true(len > 0);
    loading->last_row = row;
    for (size_t i = 1; i < len; i++)
        assert_true(columns[i] > columns[i - 1]);
    return loading->cells->at[loading->table][cells_index(row)];
}

static inline bool cells_load_sums(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums,
                                   size_t len)
{
    struct cells_cell *to = cells_loaded_row(context, row, columns, len);

    for (size_t i = 0; i < len; i++) {
        assert_true(sums[i] != 0);
        to[cells_index(columns[i])] = (struct cells_cell){.there = true, .sum = sums[i]};
    }
    return true;
}

/* Seeds cannot be seen in bytes, so the oracle's are taken if their bytes are the same. */
static inline bool cells_load_bytes(void *context, uint32_t row, const uint32_t *columns, const struct fr_bytes *cells,
                                    size_t len)
{
    struct cells_loading *loading = context;
    struct cells_cell *to = cells_loaded_row(loading, row, columns, len);

    for (size_t i = 0; i < len; i++) {
        struct cells_cell *cell = &to[cells_index(columns[i])];
        cell->there = true;
        cell->len = (uint32_t)cells[i].len;
        cell->seed = 0;
        for (size_t k = 0; k < cells[i].len; k++)
            cell->seed = cell->seed * 31 + (unsigned char)cells[i].at[k];
    }
    return true;
}

static inline uint32_t cells_hash(uint32_t seed, uint32_t len)
{
    const char *bytes = cells_bytes(seed, len);
    uint32_t hash = 0;

    for (uint32_t i = 0; i < len; i++)
        hash = hash * 31 + (unsigned char)bytes[i];
    return hash;
}

/* Number of the newest journal in the store. */
static inline uint64_t cells_number(struct store *store)
{
    uint64_t number = 0;
    char *value;
    size_t len;

    if (store->ops->get(store, FR_BYTES("onumber"), &value, &len, NULL) == FR_OK) {
        assert_int_equal(len, sizeof(number));
        memcpy(&number, value, sizeof(number));
        free(value);
    }
    return number;
}

static inline void cells_assert_keys(struct store *store, const struct cells *want)
{
    for (size_t i = 0; i < CELLS_KEYS; i++) {
        char name[3] = {i % 2 ? 'z' : 'a', (char)('0' + i)}, *value;
        size_t len;
        int status = store->ops->get(store, fr_bytes_of(name), &value, &len, NULL);
        assert_int_equal(status, want->keys[i].there ? FR_OK : FR_NOT_FOUND);
        if (status)
            continue;
        assert_int_equal(len, want->keys[i].len);
        assert_memory_equal(value, cells_bytes(want->keys[i].seed, want->keys[i].len), len);
        free(value);
    }
}

/* Loads the store and fails the test if it holds anything else than `want`. */
static inline void cells_assert_stored(struct store *store, const struct cells *want)
{
    static const enum journal_table order[] = {
        TABLE_HISTORY,     TABLE_USERS,    TABLE_PAIRS,   TABLE_DEDUP,     TABLE_ITEMS,         TABLE_FM_DENSE,
        TABLE_FM_ITEMS,    TABLE_FM_HISTORY, TABLE_FM_FEATURES, TABLE_TRENDING, TABLE_QUALITY, TABLE_NCF_DENSE,
        TABLE_NCF_GMF_ITEMS, TABLE_NCF_MLP_ITEMS, TABLE_NCF_MLP_HISTORY, TABLE_NCF_GMF_HISTORY,
        TABLE_CATALOGUE_USERS, TABLE_CATALOGUE_ITEMS};
    enum { LANES = sizeof(order) / sizeof(*order) };
    _Static_assert(LANES == TABLES - 1, "each table");
    struct cells *got = calloc(1, sizeof(*got));
    struct cells_loading loading[LANES];
    struct state_loader loaders[LANES];
    struct fr_err err = {0};

    for (size_t i = 0; i < LANES; i++) {
        loading[i] = (struct cells_loading){.cells = got, .table = order[i], .last_row = -1};
        loaders[i] = (struct state_loader){.table = order[i], .context = &loading[i]};
        loaders[i].sums = cells_sums(order[i]) ? cells_load_sums : NULL;
        loaders[i].cells = cells_sums(order[i]) ? NULL : cells_load_bytes;
    }
    if (state_load(store, loaders, LANES, &err))
        fail_msg("%s", err.text);
    for (int table = 1; table < TABLES; table++)
        for (size_t row = 0; row < CELLS_IDS; row++)
            for (size_t column = 0; column < CELLS_IDS; column++) {
                const struct cells_cell *a = &got->at[table][row][column], *b = &want->at[table][row][column];
                if (a->there == b->there &&
                    (!a->there || (a->sum == b->sum && a->len == b->len &&
                                   (cells_sums((enum journal_table)table) || a->seed == cells_hash(b->seed, b->len)))))
                    continue;
                fail_msg("table %d, row %u, column %u: %s %lld (%u bytes) instead of %s %lld (%u bytes)", table,
                         cells_ids[row], cells_ids[column], a->there ? "there" : "absent", (long long)a->sum, a->len,
                         b->there ? "there" : "absent", (long long)b->sum, b->len);
            }
    assert_int_equal(cells_number(store), want->number);
    cells_assert_keys(store, want);
    free(got);
}

#endif
