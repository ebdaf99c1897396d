/*
 * ncf_parts.h -- what ncf.c, ncf_learn.c, ncf_dense.c, ncf_view.c and ncf_query.c share.
 */
#ifndef FR_NCF_PARTS_H
#define FR_NCF_PARTS_H

#include <stdalign.h>

#include "embedding.h"
#include "freshet/model.h"
#include "freshet/ncf.h"
#include "history_terms.h"

enum { NCF_ROW_NUMBERS = 0, NCF_ROW_DENSE = 1, NCF_TARGETS_MAX = NCF_NEGATIVES_MAX + 1, NCF_ASKED_AT_ONCE = 16 };

/* ---- ncf_dense.c: the layers ---- */

/* Where in the dense numbers everything is. All offsets and lengths are multiples of VECTOR_WIDTH. */
struct dense_shape {
    size_t gmf, mlp;
    size_t in[NCF_LAYERS], out[NCF_LAYERS];
    size_t weights[NCF_LAYERS]; /* [in][out]; of the first layer: the user's rows, then the item's */
    size_t bias[NCF_LAYERS];    /* [out] */
    size_t product;             /* w [gmf] */
    size_t output;              /* v [out of the last layer] */
    size_t intercept;           /* b; the rest of its place stays 0 */
    size_t len;
};

struct dense {
    struct dense_shape shape;
    struct fr_slab *slab;
    float *numbers;  /* four times shape.len in one block: these, */
    float *mean;     /* Adam's moments, */
    float *square;
    float *gradient; /* and the sum of the batch's so far */
    uint32_t examples;
    uint64_t steps;
};

/* `rows` examples on their way through the layers: value[l] is what layer l says, slope[l] the loss's slope before its ReLU. */
struct dense_pass {
    size_t rows;
    float *value[NCF_LAYERS], *slope[NCF_LAYERS]; /* [rows][out] */
};

void dense_init(struct dense *dense, const struct ncf_options *options);
void dense_release(struct dense *dense);
/* The user's half of the first layer: ret_half[out] = bias + rows' sum. */
void dense_user(const struct dense_shape *shape, const struct vector_kernels *kernels, const float *numbers,
                const float *user, float *ret_half);
/* Adds the item's half of `rows` items. */
void dense_items(const struct dense_shape *shape, const struct vector_kernels *kernels, const float *numbers,
                 const float *items, size_t rows, float *halves);
/* value[0] holds the sums of both halves. Adds to scores[rows] what the layers say, and the intercept. */
void dense_forward(const struct dense_shape *shape, const struct vector_kernels *kernels, const float *numbers,
                   struct dense_pass *pass, float *scores);
/* errors: d loss / d score. Adds to dense->gradient all but the first layer's weights and the product's; fills slope[]. */
void dense_backward(struct dense *dense, const struct vector_kernels *kernels, struct dense_pass *pass,
                    const float *errors);
/* The first layer: its gradients, and those of the user's vector [mlp] and the items' [rows][mlp]. */
void dense_backward_first(struct dense *dense, const struct vector_kernels *kernels, const struct dense_pass *pass,
                          const float *user, const float *items, float *ret_user, float *ret_items);
/* One step of Adam with the mean gradient of the examples so far. False, and nothing is changed but that they are dropped, if
 * that is no number. */
bool dense_step(struct dense *dense, const struct ncf_options *options);

/* ---- ncf_view.c: what askers see ---- */

/* The dense numbers as of a moment. */
struct ncf_weights {
    uint64_t steps;
    alignas(VECTOR_ALIGN) float numbers[];
};
struct ncf_chunk {
    const struct ncf_weights *weights; /* the halves are of these */
    uint8_t known[SHOWN_ROWS];         /* something has been learned of the item */
    alignas(VECTOR_ALIGN) float rows[]; /* [SHOWN_ROWS][gmf], then halves: [SHOWN_ROWS][first layer] */
};
struct ncf_view {
    uint32_t chunks_len;
    const struct ncf_weights *weights[2]; /* the newest; those of chunks that have not come to that, or NULL */
    const struct ncf_chunk *chunks[];     /* NULL: nothing to be shown */
};
struct ncf_shelf {
    struct fr_slab *slab; /* chunks and weights */
    size_t retired;       /* blocks that wait for the epoch */
    uint32_t cursor;      /* the chunk at which the next publication goes on */
    bool behind;          /* what the last publication has shown is not all there is */
    _Atomic(struct ncf_view *) view;
    _Atomic size_t bytes;
};

/* ---- the model ---- */

/* One event as it is being learned. */
struct ncf_event {
    struct history_terms terms;
    uint32_t target[NCF_TARGETS_MAX], targets_len; /* the first is the event's item */
    float score[NCF_TARGETS_MAX], error[NCF_TARGETS_MAX];
    struct dense_pass pass;
    alignas(VECTOR_ALIGN) float gmf[NCF_WIDTH_MAX];      /* a */
    alignas(VECTOR_ALIGN) float mlp[NCF_WIDTH_MAX];      /* p */
    alignas(VECTOR_ALIGN) float weighted[NCF_WIDTH_MAX]; /* w a */
    alignas(VECTOR_ALIGN) float half[NCF_WIDTH_MAX];     /* of the first layer, the user's */
    alignas(VECTOR_ALIGN) float gmf_gradient[NCF_WIDTH_MAX], mlp_gradient[NCF_WIDTH_MAX];
    alignas(VECTOR_ALIGN) float items[NCF_TARGETS_MAX * NCF_WIDTH_MAX];           /* q, [targets][mlp] */
    alignas(VECTOR_ALIGN) float items_gradient[NCF_TARGETS_MAX * NCF_WIDTH_MAX];
    alignas(VECTOR_ALIGN) float value[NCF_LAYERS][NCF_TARGETS_MAX * NCF_WIDTH_MAX];
    alignas(VECTOR_ALIGN) float slope[NCF_LAYERS][NCF_TARGETS_MAX * NCF_WIDTH_MAX];
};

struct model {
    struct fr_slab *slab; /* of this struct */
    struct ncf_options options;
    struct model_host host;
    const struct vector_kernels *kernels;
    struct adagrad adagrad;
    struct embedding gmf_items, mlp_items;     /* c, q; by item. Both change together */
    struct embedding gmf_history, mlp_history; /* what a, p are sums of; by item. Both change together */
    struct dense dense;
    struct ncf_shelf shelf;
    uint32_t seen;  /* items [0, seen) may have been learned */
    uint64_t saved; /* events, as of the last cells */
    struct ncf_event event;
    _Atomic uint64_t events, skipped, guarded; /* written by the engine's thread, read by any */
};

static inline void ncf_count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_release);
}

static inline void ncf_terms_init(struct history_terms *terms, const struct ncf_options *options,
                                  const struct history *history, const struct seed *seeds, size_t seeds_len,
                                  uint32_t but)
{
    const struct history_terms_options of = {options->history, options->recency, false};
    history_terms_init(terms, &of, history, seeds, seeds_len, but);
}

void ncf_view_init(struct model *model);
void ncf_view_release(struct model *model); /* no asker may be present */
void ncf_view_publish(struct model *model);

void ncf_prepare(const struct model *model, const struct touch *touch, int stage);
void ncf_learn(struct model *model, const struct touch *touch);

void ncf_retrieve(const struct model *model, const struct query *query, struct scores *scores);
void ncf_score(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values);
size_t ncf_explain(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                   struct reason_part *parts, size_t parts_max);
void ncf_neighbours(const struct model *model, uint32_t item, struct scores *scores);

#endif
