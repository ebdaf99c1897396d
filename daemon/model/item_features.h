/*
 * item_features.h -- which features each item has, and which of them take part in an event.
 *
 *     items      by handle  [ . | * | * | . ... ]      . nothing is said of it
 *                               |
 *                               '--> { n, (key, row) (key, row) ... }      row: where the key's row was when last looked for
 *
 *     an event   targets    j0        j1     j2            each a run of places
 *                places     0 1 2     1      1 3
 *                features   f0 f1 f2 f3                    each once: its row, <U, V_f>, b_f, and the sums of what it is given
 *
 * Rows are feature_rows.h's, among those of contexts, under keys of their own: what a feature says of an item is not what it says of a
 * user. What is kept here is said again at each start, and no part of the state.
 *
 * Thread: engine, unless said otherwise.
 */
#ifndef FR_ITEM_FEATURES_H
#define FR_ITEM_FEATURES_H

#include "feature_rows.h"

enum { ITEM_FEATURES_MAX = 64 }; /* of one item */

struct item_feature {
    uint64_t key;
    uint32_t row;    /* FEATURE_NONE: it had none */
    uint32_t looked; /* when so many had been admitted */
};
struct item_said_of {
    uint32_t len; /* > 0 */
    float vector; /* what each counts: 1 / sqrt(len); */
    float bias;   /* 1 / len */
    struct item_feature at[];
};

/* Of an event. */
struct item_sum {
    float bias;           /* b_f */
    float error, leaning; /* d loss / d <U, V_f>, d loss / d b_f */
};

struct item_features {
    struct fr_array items;  /* struct item_said_of *, by item */
    struct fr_array chunks; /* by SHOWN_ROWS items: how many have features, u32 */
    uint32_t items_len;
    _Atomic uint32_t len; /* items that have features. Thread of both: any */
    _Atomic size_t bytes;
    uint32_t *place; /* by row: where it stands in `sums`, if it does */
    struct item_sum *sums;
    uint32_t *rows; /* of each sum, */
    float *dots;    /* and its <U, V_f> */
    uint32_t sums_len;
    size_t sums_room, rows_room, dots_room;
    uint32_t *run; /* places of all targets, one after the other */
    size_t run_len, run_room;
};

void item_features_init(struct item_features *of, size_t items_max, uint32_t features_max);
void item_features_release(struct item_features *of);
void item_features_extend(struct item_features *of, uint32_t items);

/* The first ITEM_FEATURES_MAX of the keys, instead of those before. Thread: while loading any, for different items. */
void item_features_say(struct item_features *of, uint32_t item, const uint64_t *keys, size_t len);

/* NULL: it has none. */
static inline struct item_said_of *item_features_of(const struct item_features *of, uint32_t item)
{
    return ((struct item_said_of **)(void *)of->items.base)[item];
}
static inline bool item_features_any(const struct item_features *of)
{
    return atomic_load_explicit(&of->len, memory_order_relaxed) != 0;
}
/* How many of the SHOWN_ROWS items from there on have features. */
static inline uint32_t item_features_in(const struct item_features *of, uint32_t chunk)
{
    return *(_Atomic uint32_t *)fr_array_at(&of->chunks, chunk);
}

/* The feature's row, FEATURE_NONE if it has none. */
uint32_t item_feature_row(const struct features *features, struct item_feature *feature);

/* The key of what is said of an item, apart from that of a context. */
static inline uint64_t item_feature_key(uint64_t key)
{
    return key ^ UINT64_C(0x6974656D2D736964);
}

#endif
