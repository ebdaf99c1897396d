/*
 * cell_store.h -- a store for the tests of factor models: takes what is journaled, cell by cell, and gives it to a model's
 * loaders, rows in an order of its own. Reading a journal twice would show, so it is emptied.
 */
#ifndef FR_TEST_CELL_STORE_H
#define FR_TEST_CELL_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freshet/model.h"

enum { STORE_ROWS = 4096, STORE_COLUMNS = 64 };

struct stored {
    char *at;
    size_t len;
};
struct cell_store {
    struct stored first[TABLES][STORE_ROWS];        /* column 0 */
    struct stored rest[TABLES][2][STORE_COLUMNS];   /* other columns, of rows 0 and 1 */
    size_t puts;
};

static inline struct stored *cell_store_at(struct cell_store *store, enum journal_table table, uint32_t row,
                                           uint32_t column)
{
    assert_true(row < STORE_ROWS && column < STORE_COLUMNS && (column == 0 || row < 2));
    return column ? &store->rest[table][row][column] : &store->first[table][row];
}

static inline void cell_store_take_table(struct cell_store *store, const struct journal *journal, enum journal_table table)
{
    struct journal_cursor cursor;
    struct journal_op op;

    journal_begin(journal, table, &cursor);
    while (journal_next(&cursor, &op)) {
        assert_int_equal(op.kind, JOURNAL_PUT);
        struct stored *cell = cell_store_at(store, op.table, op.row, op.column);
        free(cell->at);
        *cell = (struct stored){fr_alloc(op.bytes.len), op.bytes.len};
        memcpy(cell->at, op.bytes.at, op.bytes.len);
        store->puts++;
    }
}

static inline void cell_store_take(struct cell_store *store, struct journal *journal)
{
    for (int table = 0; table < TABLES; table++)
        cell_store_take_table(store, journal, (enum journal_table)table);
    journal_reset(journal);
}

static inline void cell_store_row(struct cell_store *store, const struct model_table *table, struct model *model,
                                  uint32_t row)
{
    uint32_t columns[STORE_COLUMNS];
    struct fr_bytes cells[STORE_COLUMNS];
    size_t len = 0;

    for (uint32_t column = 0; column < (row < 2 ? STORE_COLUMNS : 1); column++) {
        const struct stored *cell = cell_store_at(store, table->table, row, column);
        if (!cell->at)
            continue;
        columns[len] = column;
        cells[len++] = (struct fr_bytes){cell->at, cell->len};
    }
    if (len)
        assert_true(table->load(model, row, columns, NULL, cells, len));
}

static inline void cell_store_load(struct cell_store *store, const struct model_ops *ops, struct model *model)
{
    for (size_t t = ops->tables_len; t-- > 0;) {
        for (uint32_t k = 0; k < STORE_ROWS; k++)
            cell_store_row(store, &ops->tables[t], model, k * 1365 % STORE_ROWS);
    }
}

static inline void cells_assert_same(const struct stored *a, const struct stored *b, size_t len)
{
    for (size_t k = 0; k < len; k++) {
        assert_int_equal(a[k].len, b[k].len);
        if (a[k].len)
            assert_memory_equal(a[k].at, b[k].at, a[k].len);
    }
}

static inline void cell_store_assert_same(const struct cell_store *a, const struct cell_store *b)
{
    for (size_t table = 0; table < TABLES; table++) {
        cells_assert_same(a->first[table], b->first[table], STORE_ROWS);
        for (size_t row = 0; row < 2; row++)
            cells_assert_same(a->rest[table][row], b->rest[table][row], STORE_COLUMNS);
    }
}

/* `cell` is that row's, whole: at any other place, or cut, or deleted, it is refused. */
static inline void cell_assert_refused(const struct model_table *table, struct model *model, uint32_t row, const struct stored *cell)
{
    const uint32_t columns[] = {0, 1};
    struct fr_bytes cells[] = {{cell->at, cell->len}, {NULL, 0}};

    assert_false(table->load(model, row, columns + 1, NULL, cells, 1)); /* another column */
    assert_false(table->load(model, row, columns, NULL, cells, 2));     /* more than one */
    assert_false(table->load(model, row, columns, NULL, cells + 1, 1)); /* deleted */
    assert_false(table->load(model, 1U << 30, columns, NULL, cells, 1));
    cells[0].len--;
    assert_false(table->load(model, row, columns, NULL, cells, 1));
}

static inline void cell_store_free(struct cell_store *store)
{
    for (size_t table = 0; table < TABLES; table++) {
        for (size_t k = 0; k < STORE_ROWS; k++)
            free(store->first[table][k].at);
        for (size_t k = 0; k < 2 * STORE_COLUMNS; k++)
            free(store->rest[table][k / STORE_COLUMNS][k % STORE_COLUMNS].at);
    }
    free(store);
}

#endif
