/*
 * model_cells_ncf.c -- of ncf.
 */
#include "model_cells.h"
#include "ncf_parts.h"

enum { BLOCK_FLOATS = 1024 };

void ncf_cells(const struct model *model, cell_fn cell, void *context)
{
    const struct embedding *rows[] = {&model->gmf_items, &model->mlp_items, &model->gmf_history, &model->mlp_history};
    size_t len = 4 * model->dense.shape.len;

    for (int k = 0; k < 4; k++)
        embedding_cells(rows[k], cell, context);
    for (size_t at = 0; at < len; at += BLOCK_FLOATS)
        cell(context, TABLE_NCF_DENSE, NCF_ROW_DENSE, (uint32_t)(at / BLOCK_FLOATS), model->dense.numbers + at,
             (len - at < BLOCK_FLOATS ? len - at : BLOCK_FLOATS) * sizeof(float));
}
