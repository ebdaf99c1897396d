/*
 * ease_build.c -- one solution in the making: which items, G counted, G solved.
 *
 *     items most users hold       n columns, ascending by handle
 *     each user's history         columns a < b < c: G[a][a..] G[b][b..] G[c][c..] += 1, right of the diagonal only
 *     all users                   + lambda on the diagonal, counts become floats in place, ease_solve
 *
 * Counts are integers, so the order of users, and a restart, change no bit of B. Each history is read whole, but one after the other:
 * G is what everybody holds at some moment of the pass.
 */
#include <assert.h>
#include <stdlib.h>

#include "ease_parts.h"
#include "ease_solve.h"
#include "freshet/topk.h"

struct ease_build {
    struct model *model;
    struct solution *solution;
    uint32_t *count; /* G, where `weight` will be */
    uint32_t *column; /* scratch: of one history */
    size_t column_room;
    bool solved;
};

static bool known_longer(void *context, uint32_t a, uint32_t b)
{
    (void)context;
    return a < b;
}

static int by_item(const void *left, const void *right)
{
    const uint32_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static void choose_items(const struct model *model, uint32_t items, struct solution *solution)
{
    size_t most = model->options.items_max < items ? model->options.items_max : items;
    struct fr_ranked *room = fr_alloc((most + 1) * sizeof(*room));
    struct fr_topk top;

    fr_topk_init(&top, room, most, known_longer, NULL);
    for (uint32_t item = 0; item < items; item++) {
        uint32_t users = atomic_load_explicit(&model->host.users_of_item[item], memory_order_acquire);
        if (users)
            fr_topk_offer(&top, item, users);
    }
    solution->items = (uint32_t)top.len;
    solution->item = fr_alloc((top.len + 1) * sizeof(*solution->item));
    for (size_t k = 0; k < top.len; k++)
        solution->item[k] = room[k].id;
    qsort(solution->item, top.len, sizeof(*solution->item), by_item);
    free(room);
}

struct ease_build *ease_build_new(struct model *model, uint32_t items)
{
    struct solution *solution = fr_zalloc(1, sizeof(*solution));
    struct ease_build *build;

    choose_items(model, items, solution);
    if (!solution->items) {
        solution_free(solution);
        return NULL;
    }
    build = fr_zalloc(1, sizeof(*build));
    build->model = model;
    build->solution = solution;
    build->count = fr_zalloc((size_t)solution->items * solution->items, sizeof(*build->count));
    return build;
}

void ease_build_free(struct ease_build *build)
{
    if (!build)
        return;
    if (build->solution && !build->solution->weight)
        free(build->count);
    solution_free(build->solution);
    free(build->column);
    free(build);
}

void ease_build_add(struct ease_build *build, const struct history *history)
{
    struct solution *solution = build->solution;
    size_t len = 0;

    if (!history->len)
        return;
    fr_reserve((void **)&build->column, &build->column_room, history->len, sizeof(*build->column));
    for (uint32_t slot = 0; slot < history->len; slot++) {
        uint32_t column = solution_column(solution, history->item[slot]);
        build->column[len] = column;
        len += column != UINT32_MAX;
    }
    qsort(build->column, len, sizeof(*build->column), by_item);
    for (size_t a = 0; a < len; a++) {
        uint32_t *row = build->count + (size_t)build->column[a] * solution->items;
        for (size_t b = a; b < len; b++)
            row[build->column[b]]++;
    }
    solution->users += len > 0;
    solution->slots += len;
}

/* In place: a float is as long as a count. */
static float *to_floats(uint32_t *count, size_t n, double lambda)
{
    float *matrix = (void *)count;

    for (size_t i = 0; i < n; i++) {
        double diagonal = (double)count[i * n + i] + lambda;
        for (size_t j = i; j < n; j++)
            matrix[i * n + j] = (float)count[i * n + j];
        matrix[i * n + i] = (float)diagonal;
    }
    return matrix;
}

int ease_build_solve(struct ease_build *build, const _Atomic bool *stop, struct fr_err *err)
{
    struct solution *solution = build->solution;

    solution->weight = to_floats(build->count, solution->items, build->model->options.lambda);
    build->count = NULL;
    int status = ease_solve(solution->weight, solution->items, stop, err);
    build->solved = !status;
    return status;
}

void ease_build_offer(struct ease_build *build)
{
    assert(build->solved);
    solution_free(atomic_exchange(&build->model->offered, build->solution));
    build->solution = NULL;
    ease_build_free(build);
}
