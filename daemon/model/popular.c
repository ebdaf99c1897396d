/*
 * popular.c -- the simplest model there is: whoever asks, what most users hold.
 *
 *     score(u, j) = n_j
 *
 * What the others must beat. It learns nothing: n_j is the host's, and kept with the histories it counts.
 *
 * Threads: asking is anybody's.
 */
#include <stdlib.h>

#include "freshet/model.h"
#include "sieve.h"

struct model {
    struct model_host host;
};

static struct model *popular_open(const void *options, const struct model_host *host)
{
    (void)options;
    struct model *model = fr_zalloc(1, sizeof(*model));

    model->host = *host;
    return model;
}

static void popular_close(struct model *model)
{
    free(model);
}

static void popular_extend(struct model *model, uint32_t items)
{
    (void)model, (void)items;
}

static void popular_learn(struct model *model, const struct touch *touch)
{
    (void)model, (void)touch;
}

/* Of an item that nobody holds there is nothing to say. */
static double users_value(uint32_t users)
{
    return users ? users : -0.0;
}

static void look(const struct model *model, const struct query *query, uint32_t first, uint32_t len, double *values)
{
    (void)query;
    for (uint32_t k = 0; k < len; k++)
        values[k] = users_value(atomic_load_explicit(&model->host.users_of_item[first + k], memory_order_relaxed));
}

static void popular_retrieve(const struct model *model, const struct query *query, struct scores *scores)
{
    if (sieve_best(model, query, look, scores))
        return;
    scores->dense = true;
    look(model, query, 0, query->items, scores->value);
}

static void popular_score(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values)
{
    (void)query;
    for (size_t i = 0; i < len; i++)
        values[i] = users_value(atomic_load_explicit(&model->host.users_of_item[items[i]], memory_order_relaxed));
}

static void popular_stats(const struct model *model, struct model_stats *ret_stats)
{
    (void)model;
    *ret_stats = (struct model_stats){0};
}

const struct model_ops popular_ops = {
    .name = "popular",
    .anybody = true,
    .open = popular_open,
    .close = popular_close,
    .extend = popular_extend,
    .learn = popular_learn,
    .forget = popular_learn,
    .retrieve = popular_retrieve,
    .score = popular_score,
    .rest = "many hold it",
    .stats = popular_stats,
};
