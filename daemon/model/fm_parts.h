/*
 * fm_parts.h -- what fm.c, fm_side.c, fm_items.c, fm_learn.c and fm_query.c share.
 */
#ifndef FR_FM_PARTS_H
#define FR_FM_PARTS_H

#include <stdalign.h>

#include "embedding.h"
#include "feature_rows.h"
#include "freshet/fm.h"
#include "freshet/model.h"
#include "history_terms.h"
#include "item_features.h"

enum { FM_ROW_NUMBERS = 0, FM_ROW_FILTER = 1, FM_TARGETS_MAX = FM_NEGATIVES_MAX + 1 };

/* The feature of those who have no history: an ordinary key, which no hash is likely to be. */
#define FM_KEY_NEWCOMER UINT64_C(0x6E6577636F6D6572)
enum { FM_FEATURES_MAX = FM_CONTEXT_MAX + 2 }; /* those that came along, the user's own, that of the newcomer */

/* Of the whole model: one cell. */
struct fm_numbers {
    uint32_t seen;          /* items [0, seen) may have been learned */
    float intercept, scale; /* logistic */
    double ratings;         /* squared: sum of the ratings, and how many */
    uint64_t rated;
};

/* One event as it is being learned. */
struct fm_event {
    struct history_terms terms;
    uint32_t feature[FM_FEATURES_MAX], features_len;
    uint32_t target[FM_TARGETS_MAX], targets_len; /* the first is the event's item */
    float score[FM_TARGETS_MAX], error[FM_TARGETS_MAX];
    uint32_t run[FM_TARGETS_MAX + 1]; /* where the places of its features begin (item_features.h), if any item has some */
    float constant, each; /* each: so many items each negative stands for */
    alignas(VECTOR_ALIGN) float user[FM_DIMENSIONS_MAX];
    alignas(VECTOR_ALIGN) float gradient[FM_DIMENSIONS_MAX], crossed[FM_DIMENSIONS_MAX];
};

/* How far askers are shown what items' features have become (fm_items.c). Publications are numbered. */
struct fm_view {
    uint64_t now, moved;    /* the last one; the last before which a row had changed */
    uint64_t came_and_went; /* features, as of then */
    bool moving, behind;    /* a row has changed since; not all is shown */
    uint32_t cursor;        /* chunk */
    struct fr_array made;   /* by chunk: the last one that has made it, u64 */
};

struct model {
    struct fr_slab *slab; /* of this struct */
    struct fm_options options;
    struct model_host host;
    const struct vector_kernels *kernels;
    const struct code_kernels *code_kernels;
    struct adagrad adagrad;
    struct embedding items, history; /* by item */
    struct features features;
    struct item_features said;
    struct fr_array learned; /* a bit for each item of which something has been learned: count > 0; */
    uint32_t learned_len;    /* and how many there are */
    struct fm_view view;
    struct fm_numbers numbers;
    struct features_hand loaded; /* of the features, until they are settled */
    bool settled;
    uint64_t saved; /* events, as of the numbers' cell */
    uint64_t forgotten; /* users, as the engine has told last (model.h) */
    bool own_rows;      /* some of the features may be users' own */
    bool first;         /* what was loaded is of version 1 (fm.c) */
    struct fm_event event;
    /* Written by the engine's thread, read by any. */
    _Atomic float constant; /* intercept or mean rating, as of the last publication */
    _Atomic uint64_t events, skipped, guarded, features_live, refused, expired, evicted;
};

static inline void fm_count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_release);
}

static inline void fm_learned(struct model *model, uint32_t item)
{
    uint64_t *word = (uint64_t *)(void *)model->learned.base + item / 64, bit = UINT64_C(1) << item % 64;

    model->learned_len += !(*word & bit);
    *word |= bit;
}

/* What was loaded becomes a state that can learn. */
void fm_settle(struct model *model);
void fm_tell(struct model *model); /* what there is of features, to whoever asks for the stats */
float fm_constant(const struct model *model);

uint64_t fm_user_key(struct fr_bytes user_id);
/* Keys of the features that came along, and the user's own where it has one. Returns how many. */
size_t fm_keys(const struct fm_options *options, const uint64_t *context, size_t context_len, struct fr_bytes user_id,
               uint64_t keys[FM_FEATURES_MAX]);

/* The newest items, seeds first, without `but` (UINT32_MAX: all). */
void fm_terms_init(struct history_terms *terms, const struct fm_options *options, const struct history *history,
                   const struct seed *seeds, size_t seeds_len, uint32_t but);
/* Squared loss: returns how much higher than others this user rates, and makes x of how far each rating is from what
 * was to be expected. `bias` of an item, NAN if it has none. */
float fm_terms_lean(struct history_terms *terms, const struct history *history, float mean,
                    float (*bias)(const void *context, uint32_t item), const void *context, uint32_t but);

/* What askers are told of the item's bias, as it is now; NAN: nothing has been learned of it. */
float fm_item_bias(const struct model *model, uint32_t item);
void fm_describe(struct model *model, uint32_t item, const uint64_t *keys, size_t len);
void fm_items_use(struct model *model, uint32_t item, uint32_t when); /* keys of the event's item; before rows are noted */
/* Where any item has features: adds their part to the targets' scores; then, once the errors are known, makes their steps.
 * `square`: |U|^2 / d. */
void fm_items_gather(struct model *model);
void fm_items_step(struct model *model, float square);
/* One step of a row of an item's side along the user's: c U, and of its bias. Adds c times what it was to the user's gradient. */
void fm_item_row_step(struct model *model, float *row, struct row_state *state, float c, float bias, float square);
void fm_compose(void *model, uint32_t c, struct shown_chunk *chunk); /* embedding.compose of the items */
void fm_items_publish(struct model *model); /* before the tables are published */
bool fm_behind(const struct model *model);

void fm_prepare(const struct model *model, const struct touch *touch, int stage);
void fm_learn(struct model *model, const struct touch *touch);

bool fm_knows(const struct model *model, const uint64_t *context, size_t len);
void fm_retrieve(const struct model *model, const struct query *query, struct scores *scores);
bool fm_estimates(const struct model *model, uint32_t items, uint32_t best);
void fm_score(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values);
size_t fm_explain(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                  struct reason_part *parts, size_t parts_max);
void fm_neighbours(const struct model *model, uint32_t item, struct scores *scores);

#endif
