/*
 * model_cells.h -- the cells that a store must hold of a factor model, made of the model's memory as it is: no debts, no journal,
 * nothing of how they are saved. Rows that nothing was learned of have none; blocks of the filter that are all zero are left out,
 * and so are the counters.
 */
#ifndef FR_TEST_MODEL_CELLS_H
#define FR_TEST_MODEL_CELLS_H

#include "freshet/journal.h"

struct model;
typedef void (*cell_fn)(void *context, enum journal_table table, uint32_t row, uint32_t column, const void *bytes, size_t len);
void fm_cells(const struct model *model, cell_fn cell, void *context);
void ncf_cells(const struct model *model, cell_fn cell, void *context);

/* Shared by the two. */
struct embedding;
void embedding_cells(const struct embedding *rows, cell_fn cell, void *context);

#endif
