/*
 * ease.c -- EASE (ease.h): the model as the engine sees it, and how one solution takes the place of another.
 *
 *     refresh's thread   offered = S2                                        spent ? free it
 *     engine's thread               shown: S1 -> S2, retire S1       spent = S1
 *     asking threads     S1 S1 S1 S1 S1 | S2 S2 S2 ...             ^ nobody is in S1 any more
 *
 * A question loads `shown` once and stays with that solution. Giving back so much memory takes the system milliseconds, so the
 * engine's thread, on which epochs reclaim, only lays the old one aside.
 *
 * Learning is counting: how much of G has changed since the last solution says when the next is due.
 *
 * Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data (WWW 2019).
 */
#include <stdlib.h>

#include "ease_parts.h"

void solution_free(struct solution *solution)
{
    if (!solution)
        return;
    free(solution->item);
    free(solution->weight);
    free(solution);
}

static size_t bytes_of(uint64_t items)
{
    return sizeof(struct solution) + items * sizeof(uint32_t) + items * items * sizeof(float);
}

uint32_t solution_column(const struct solution *solution, uint32_t item)
{
    uint32_t low = 0, high = solution->items;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (solution->item[middle] < item)
            low = middle + 1;
        else
            high = middle;
    }
    return low < solution->items && solution->item[low] == item ? low : UINT32_MAX;
}

static struct model *ease_open(const void *options, const struct model_host *host)
{
    struct model *model = fr_zalloc(1, sizeof(*model));

    model->options = *(const struct ease_options *)options;
    model->host = *host;
    return model;
}

static void ease_close(struct model *model)
{
    if (!model)
        return;
    solution_free(atomic_load(&model->offered));
    solution_free(atomic_load(&model->shown));
    solution_free(atomic_load(&model->spent));
    free(model);
}

static void ease_extend(struct model *model, uint32_t items)
{
    (void)model, (void)items; /* each solution knows its own */
}

static void count_change(struct model *model)
{
    uint64_t changes = atomic_load_explicit(&model->changes, memory_order_relaxed);

    atomic_store_explicit(&model->changes, changes + 1, memory_order_relaxed);
}

static void ease_learn(struct model *model, const struct touch *touch)
{
    if (touch->fresh)
        count_change(model);
}

static void ease_forget(struct model *model, const struct touch *touch)
{
    (void)touch;
    count_change(model);
}

/* Thread: engine. */
static void lay_aside(void *context, void *block, size_t size)
{
    struct model *model = context;

    (void)size;
    solution_free(atomic_exchange(&model->spent, block)); /* one that nobody has swept; rare */
}

static void ease_publish(struct model *model)
{
    struct solution *next = atomic_exchange(&model->offered, NULL), *old;

    if (!next)
        return;
    atomic_store_explicit(&model->items, next->items, memory_order_relaxed);
    atomic_store_explicit(&model->users, next->users, memory_order_relaxed);
    atomic_store_explicit(&model->slots, next->slots, memory_order_relaxed);
    old = atomic_exchange(&model->shown, next);
    atomic_fetch_add_explicit(&model->solutions, 1, memory_order_release);
    if (old)
        fr_epoch_retire(model->host.epoch, lay_aside, model, old, bytes_of(old->items));
}

void ease_sweep(struct model *model)
{
    solution_free(atomic_exchange(&model->spent, NULL));
}

const struct ease_options *ease_options_of(const struct model *model)
{
    return &model->options;
}

uint64_t ease_changes(const struct model *model)
{
    return atomic_load_explicit(&model->changes, memory_order_relaxed);
}

void ease_shown(const struct model *model, struct ease_shown *ret_shown)
{
    ret_shown->solutions = atomic_load_explicit(&model->solutions, memory_order_acquire);
    ret_shown->items = (uint32_t)atomic_load_explicit(&model->items, memory_order_relaxed);
    ret_shown->users = atomic_load_explicit(&model->users, memory_order_relaxed);
    ret_shown->slots = atomic_load_explicit(&model->slots, memory_order_relaxed);
}

static void ease_stats(const struct model *model, struct model_stats *ret_stats)
{
    uint64_t items = atomic_load_explicit(&model->items, memory_order_relaxed);

    *ret_stats = (struct model_stats){
        .events = ease_changes(model),
        .pairs = items ? items * (items - 1) : 0,
        .bytes = items ? bytes_of(items) : 0,
    };
}

const struct model_ops ease_ops = {
    .name = "ease",
    .remains = "the present solution still stands for them; the next one does not",
    .open = ease_open,
    .close = ease_close,
    .extend = ease_extend,
    .learn = ease_learn,
    .forget = ease_forget,
    .publish = ease_publish,
    .retrieve = ease_retrieve,
    .score = ease_score,
    .explain = ease_explain,
    .neighbours = ease_neighbours,
    .stats = ease_stats,
};
