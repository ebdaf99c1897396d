/*
 * sar_parts.h -- what sar.c, sar_learn.c, sar_query.c and sar_best.c share.
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
    uint32_t *columns; /* scratch: what a row loses by being pruned */
    int32_t *changes;
    size_t columns_room, changes_room;
    /* Written by the engine's thread, read by any. */
    _Atomic uint64_t events, pruned;
};

static inline void counter_add(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_release);
}

/* An item that a question is asked by; the newest stands first. */
struct term {
    uint32_t item;
    double weight;
};
enum { TERMS_NEAR = 256, SAR_BLOCK = 128 }; /* cells weighed at a time */
struct terms {
    struct term *at;
    size_t len, most;
    struct term near[TERMS_NEAR]; /* `at`, unless there are more */
};

static inline uint32_t sar_users(const struct model *model, uint32_t item)
{
    return atomic_load_explicit(&model->host.users_of_item[item], memory_order_acquire);
}

/* Room in the scratch of `scores` for so many entries; what is there may be lost. */
void sar_row_reserve(struct scores *scores, size_t len);
/* Copies a row into that scratch, its entries with a count of at least `least`; returns how many there are. */
size_t sar_row_copy(const struct model *model, uint32_t row, uint32_t least, struct scores *scores);
/* Adds weight * similarity(item, j) for those of the first `len` columns of the scratch that have evidence. */
void sar_cells_score(const struct model *model, uint32_t item, double weight, uint32_t held, struct scores *scores, size_t len);
/* sar_best.c: adds up the scores of items among which the `best` highest are, and of no others. False: it is not worth the trouble, or
 * cannot be done; nothing has been added. */
bool sar_best(const struct model *model, const struct terms *terms, size_t best, uint32_t held, struct scores *scores);

void sar_prepare(const struct model *model, const struct touch *touch, int stage);
void sar_learn(struct model *model, const struct touch *touch);
void sar_forget(struct model *model, const struct touch *touch);
void sar_retrieve(const struct model *model, const struct query *query, struct scores *scores);
size_t sar_explain(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                   struct reason_part *parts, size_t parts_max);
void sar_neighbours(const struct model *model, uint32_t item, struct scores *scores);

#endif
