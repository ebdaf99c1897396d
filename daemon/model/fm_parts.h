/*
 * fm_parts.h -- what fm.c, fm_side.c, fm_learn.c and fm_query.c share.
 */
#ifndef FR_FM_PARTS_H
#define FR_FM_PARTS_H

#include <stdalign.h>

#include "embedding.h"
#include "feature_rows.h"
#include "freshet/fm.h"
#include "freshet/model.h"
#include "history_terms.h"

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
    float constant;
    alignas(VECTOR_ALIGN) float user[FM_DIMENSIONS_MAX];
    alignas(VECTOR_ALIGN) float gradient[FM_DIMENSIONS_MAX], crossed[FM_DIMENSIONS_MAX];
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
    struct fm_numbers numbers;
    struct features_hand loaded; /* of the features, until they are settled */
    bool settled;
    uint64_t saved; /* events, as of the numbers' cell */
    struct fm_event event;
    /* Written by the engine's thread, read by any. */
    _Atomic float constant; /* intercept or mean rating, as of the last publication */
    _Atomic uint64_t events, skipped, guarded, features_live, refused, expired, evicted;
};

static inline void fm_count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_release);
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

void fm_prepare(const struct model *model, const struct touch *touch, int stage);
void fm_learn(struct model *model, const struct touch *touch);

void fm_retrieve(const struct model *model, const struct query *query, struct scores *scores);
bool fm_estimates(const struct model *model, uint32_t items, uint32_t best);
void fm_score(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values);
size_t fm_explain(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                  struct reason_part *parts, size_t parts_max);
void fm_neighbours(const struct model *model, uint32_t item, struct scores *scores);

#endif
