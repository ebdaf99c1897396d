/*
 * weights.c -- see weights.h.
 */
#include "weights.h"

#include <stdlib.h>

#include "freshet/alloc.h"

static uint64_t name_of(enum journal_table table, uint32_t segment)
{
    return (uint64_t)table << 32 | segment;
}

static size_t home(const struct weights *weights, uint64_t name)
{
    return (size_t)(name * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (weights->cap - 1);
}

/* Where it is, or the free place where it would be. */
static size_t place_of(const struct weights *weights, uint64_t name)
{
    size_t at = home(weights, name);

    while (weights->at[at].segment && weights->at[at].segment != name)
        at = (at + 1) & (weights->cap - 1);
    return at;
}

void weights_release(struct weights *weights)
{
    free(weights->at);
    *weights = (struct weights){0};
}

struct weight *weights_find(struct weights *weights, enum journal_table table, uint32_t segment)
{
    uint64_t name = name_of(table, segment);

    if (!weights->cap)
        return NULL;
    struct weight *weight = &weights->at[place_of(weights, name)];
    return weight->segment ? weight : NULL;
}

static void grow(struct weights *weights)
{
    struct weights old = *weights;

    weights->cap = old.cap ? old.cap * 2 : 64;
    weights->at = fr_zalloc(weights->cap, sizeof(*weights->at));
    for (size_t i = 0; i < old.cap; i++)
        if (old.at[i].segment)
            weights->at[place_of(weights, old.at[i].segment)] = old.at[i];
    free(old.at);
}

struct weight *weights_set(struct weights *weights, enum journal_table table, uint32_t segment, uint64_t base,
                           uint64_t deltas)
{
    uint64_t name = name_of(table, segment);

    if (weights->len >= weights->cap - weights->cap / 4)
        grow(weights);
    struct weight *weight = &weights->at[place_of(weights, name)];
    weights->len += !weight->segment;
    *weight = (struct weight){name, base, deltas};
    return weight;
}

void weights_forget(struct weights *weights, enum journal_table table, uint32_t segment)
{
    struct weight *found = weights_find(weights, table, segment);

    if (!found)
        return;
    size_t hole = (size_t)(found - weights->at), mask = weights->cap - 1;
    for (size_t at = (hole + 1) & mask; weights->at[at].segment; at = (at + 1) & mask) {
        size_t from = home(weights, weights->at[at].segment);
        if (((at - from) & mask) < ((at - hole) & mask))
            continue; /* its home is behind the hole: it must stay */
        weights->at[hole] = weights->at[at];
        hole = at;
    }
    weights->at[hole] = (struct weight){0};
    weights->len--;
}
