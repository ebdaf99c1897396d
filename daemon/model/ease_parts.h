/*
 * ease_parts.h -- what ease.c, ease_build.c and ease_query.c share.
 */
#ifndef FR_EASE_PARTS_H
#define FR_EASE_PARTS_H

#include "freshet/ease.h"
#include "freshet/model.h"

/* Never changes once it is offered. */
struct solution {
    uint32_t items;  /* n */
    uint32_t *item;  /* by column, ascending */
    float *weight;   /* n rows of n, B: row i is what holding i says of each j */
    uint64_t users, slots;
};
void solution_free(struct solution *solution); /* NULL is fine */
/* UINT32_MAX: not in it. */
uint32_t solution_column(const struct solution *solution, uint32_t item);

struct model {
    struct ease_options options;
    struct model_host host;
    _Atomic(struct solution *) shown, offered, spent; /* askers'; the next; one that askers have left */
    /* The engine's thread writes, any reads. Of `shown`, for those who are in no epoch. */
    _Atomic uint64_t changes, solutions, items, users, slots;
};

static inline const struct solution *model_shown(const struct model *model)
{
    return atomic_load_explicit(&model->shown, memory_order_acquire);
}

/* ease_query.c */
void ease_retrieve(const struct model *model, const struct query *query, struct scores *scores);
void ease_score(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values);
size_t ease_explain(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                    struct reason_part *parts, size_t parts_max);
void ease_neighbours(const struct model *model, uint32_t item, struct scores *scores);

#endif
