/*
 * sar_parts.h -- what sar.c, sar_learn.c and sar_query.c share.
 */
#ifndef FR_SAR_PARTS_H
#define FR_SAR_PARTS_H

#include "freshet/model.h"
#include "freshet/rows.h"
#include "freshet/sar.h"

struct model {
    struct sar_options options;
    struct model_host host;
    struct rows *rows; /* C without its diagonal, symmetric but for what pruning dropped */
    /* Engine's thread. */
    uint32_t items;
    uint32_t *columns, *counts; /* scratch: a row being pruned or loaded */
    size_t columns_room, counts_room;
    /* Written by the engine's thread, read by any. */
    _Atomic uint64_t events, pruned;
};

static inline void counter_add(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_release);
}

void sar_prepare(const struct model *model, const struct touch *touch, int stage);
void sar_learn(struct model *model, const struct touch *touch);
void sar_forget(struct model *model, const struct touch *touch);
void sar_retrieve(const struct model *model, const struct query *query, struct scores *scores);
size_t sar_explain(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                   struct reason_part *parts, size_t parts_max);
void sar_neighbours(const struct model *model, uint32_t item, struct scores *scores);

#endif
