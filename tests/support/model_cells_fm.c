/*
 * model_cells_fm.c -- of fm, and of rows.
 */
#include "model_cells.h"

#include <string.h>

#include "fm_parts.h"

enum { FILTER_BLOCK = 1024 };

void embedding_cells(const struct embedding *rows, cell_fn cell, void *context)
{
    for (uint32_t row = 0; row < rows->len; row++) {
        char bytes[EMBEDDING_CELL_MAX];
        size_t at = 0;
        if (!rows->keyed && !embedding_state(rows, row)->count)
            continue;
        if (rows->keyed) {
            memcpy(bytes, embedding_key(rows, row), 8);
            at = 8;
        }
        memcpy(bytes + at, embedding_state(rows, row), 20);
        memcpy(bytes + at + 20, embedding_vector(rows, row), rows->d * 4);
        cell(context, rows->table, row, 0, bytes, at + 20 + rows->d * 4);
    }
}

void fm_cells(const struct model *model, cell_fn cell, void *context)
{
    static const char zero[FILTER_BLOCK];

    embedding_cells(&model->items, cell, context);
    embedding_cells(&model->history, cell, context);
    embedding_cells(&model->features.rows, cell, context);
    for (uint32_t block = 0; block < model->features.buckets * 16 / FILTER_BLOCK; block++) {
        const char *bytes = (const char *)model->features.cells + (size_t)block * FILTER_BLOCK;
        if (memcmp(bytes, zero, FILTER_BLOCK) != 0)
            cell(context, TABLE_FM_DENSE, FM_ROW_FILTER, block, bytes, FILTER_BLOCK);
    }
}
