/*
 * ncf_view.c -- publication: items' rows and the item's half of the first layer, computed once for all who will ask.
 *
 *     view ->  weights  new, old         chunk 0       chunk 1       chunk 2       chunk 3
 *                                       of new        of new        of old        of old
 *                                                      cursor ^
 *
 * The halves of a chunk are made with one moment's weights, and only the user's half of that same moment may be added to them.
 * So a chunk names its weights, a view holds them, and an asker makes the user's half once for each that there are: every
 * score is the model's of some moment, never of a mixture.
 *
 * Each step of the layers makes all halves old, and those of 100,000 items take ten milliseconds and more, which the engine's
 * thread does not have. So a publication makes no more than PUBLISHED_AT_ONCE chunks, from the cursor on, and the next goes on
 * there; the others stay, with their weights. Only when no chunk is of the old weights are newer ones taken: there are never
 * more than two, at any size of the catalogue. What has changed is shown when the cursor has come round at the latest; in a
 * catalogue of up to PUBLISHED_AT_ONCE * SHOWN_ROWS items that is at once. The first publication, which nobody waits behind,
 * makes all. Until all is shown the model says that it is behind, and the engine publishes again, though no event comes.
 *
 * So in a larger catalogue what is shown, and ranked for evaluation, hangs on when there were publications, not on the log
 * alone; what is learned does not.
 *
 * What is replaced goes to the epoch. Thread: engine.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ncf_parts.h"

enum { PUBLISHED_AT_ONCE = 64 };

static size_t weights_bytes(const struct model *model)
{
    return sizeof(struct ncf_weights) + model->dense.shape.len * sizeof(float);
}

static size_t chunk_bytes(const struct model *model)
{
    return sizeof(struct ncf_chunk) + SHOWN_ROWS * (model->dense.shape.gmf + model->dense.shape.out[0]) * sizeof(float);
}

static size_t view_bytes(uint32_t chunks_len)
{
    return sizeof(struct ncf_view) + chunks_len * sizeof(struct ncf_chunk *);
}

void ncf_view_init(struct model *model)
{
    model->shelf = (struct ncf_shelf){.slab = fr_slab_new(VECTOR_ALIGN, FR_SLAB_COARSE)};
}

void ncf_view_release(struct model *model)
{
    struct ncf_shelf *shelf = &model->shelf;
    struct ncf_view *view = atomic_load(&shelf->view);

    fr_epoch_reclaim(model->host.epoch);
    assert(shelf->retired == 0); /* no asker may be present any more */
    for (uint32_t c = 0; view && c < view->chunks_len; c++) {
        if (view->chunks[c])
            fr_slab_give(shelf->slab, (void *)view->chunks[c], chunk_bytes(model));
    }
    for (int k = 0; k < 2; k++) {
        if (view && view->weights[k])
            fr_slab_give(shelf->slab, (void *)view->weights[k], weights_bytes(model));
    }
    free(view);
    fr_slab_free(shelf->slab);
}

/* ---- the parts ---- */

static void block_give(void *context, void *block, size_t size)
{
    struct ncf_shelf *shelf = context;

    fr_slab_give(shelf->slab, block, size);
    shelf->retired--;
}

static void view_free(void *context, void *block, size_t size)
{
    struct ncf_shelf *shelf = context;

    (void)size;
    free(block);
    shelf->retired--;
}

static void retire(struct model *model, void (*free_fn)(void *, void *, size_t), const void *block, size_t size)
{
    model->shelf.retired++;
    fr_epoch_retire(model->host.epoch, free_fn, &model->shelf, (void *)block, size);
}

static const struct ncf_weights *weights_copy(const struct model *model)
{
    struct ncf_weights *weights = fr_slab_take(model->shelf.slab, weights_bytes(model));

    weights->steps = model->dense.steps;
    memcpy(weights->numbers, model->dense.numbers, model->dense.shape.len * sizeof(float));
    return weights;
}

static const struct ncf_chunk *chunk_make(const struct model *model, uint32_t c, const struct ncf_weights *weights)
{
    const struct dense_shape *shape = &model->dense.shape;
    struct ncf_chunk *chunk = fr_slab_take(model->shelf.slab, chunk_bytes(model));
    uint32_t first = c * SHOWN_ROWS, left = model->gmf_items.len - first, len = left < SHOWN_ROWS ? left : SHOWN_ROWS;
    float *halves = chunk->rows + SHOWN_ROWS * shape->gmf;

    chunk->weights = weights;
    for (uint32_t k = 0; k < SHOWN_ROWS; k++)
        chunk->known[k] = k < len && embedding_state(&model->gmf_items, first + k)->count;
    memset(chunk->rows, 0, SHOWN_ROWS * (shape->gmf + shape->out[0]) * sizeof(float));
    memcpy(chunk->rows, embedding_vector(&model->gmf_items, first), len * shape->gmf * sizeof(float));
    dense_items(shape, model->kernels, weights->numbers, embedding_vector(&model->mlp_items, first), len, halves);
    return chunk;
}

/* ---- one publication ---- */

static uint64_t *changes_of(const struct model *model, uint32_t c)
{
    return (uint64_t *)(void *)model->gmf_items.unshown.base + c * (SHOWN_ROWS / 64);
}

static bool chunk_stale(const struct model *model, const struct ncf_chunk *chunk, uint32_t c,
                        const struct ncf_weights *weights)
{
    uint64_t bits = 0;

    for (size_t word = 0; word < SHOWN_ROWS / 64; word++)
        bits |= changes_of(model, c)[word];
    return bits || (chunk && chunk->weights != weights);
}

/* Makes what is stale, from the cursor on; returns how many. */
static uint32_t chunks_make(struct model *model, struct ncf_view *view, bool first)
{
    uint32_t made = 0, walked = 0, most = first ? view->chunks_len : PUBLISHED_AT_ONCE;

    for (; walked < view->chunks_len && made < most; walked++) {
        uint32_t c = (model->shelf.cursor + walked) % view->chunks_len;
        if (!first && !chunk_stale(model, view->chunks[c], c, view->weights[0]))
            continue;
        view->chunks[c] = chunk_make(model, c, view->weights[0]);
        memset(changes_of(model, c), 0, SHOWN_ROWS / 8);
        made++;
    }
    if (view->chunks_len)
        model->shelf.cursor = (model->shelf.cursor + walked) % view->chunks_len;
    return made;
}

/* The old list and its weights, and the same for a longer catalogue, with newer weights if it is time for them. */
static struct ncf_view *view_begin(const struct model *model, const struct ncf_view *old)
{
    uint32_t chunks_len = (model->gmf_items.len + SHOWN_ROWS - 1) / SHOWN_ROWS;
    struct ncf_view *view = fr_zalloc(1, view_bytes(chunks_len));

    view->chunks_len = chunks_len;
    if (!old) {
        view->weights[0] = weights_copy(model);
        return view;
    }
    memcpy(view->chunks, old->chunks, old->chunks_len * sizeof(*old->chunks));
    memcpy(view->weights, old->weights, sizeof(view->weights));
    if (!old->weights[1] && old->weights[0]->steps != model->dense.steps) {
        view->weights[1] = old->weights[0];
        view->weights[0] = weights_copy(model);
    }
    return view;
}

static void view_replace(struct model *model, const struct ncf_view *old, const struct ncf_view *view)
{
    for (uint32_t c = 0; c < old->chunks_len; c++) {
        if (old->chunks[c] && view->chunks[c] != old->chunks[c])
            retire(model, block_give, old->chunks[c], chunk_bytes(model));
    }
    for (int k = 0; k < 2; k++) {
        if (old->weights[k] && old->weights[k] != view->weights[0] && old->weights[k] != view->weights[1])
            retire(model, block_give, old->weights[k], weights_bytes(model));
    }
    retire(model, view_free, old, view_bytes(old->chunks_len));
}

void ncf_view_publish(struct model *model)
{
    const struct ncf_view *old = atomic_load(&model->shelf.view);
    struct ncf_view *view = view_begin(model, old);
    bool changed = !old || old->chunks_len != view->chunks_len || old->weights[0] != view->weights[0], older = false;

    if (!chunks_make(model, view, !old) && !changed) {
        free(view); /* nothing has changed */
        return;
    }
    for (uint32_t c = 0; c < view->chunks_len && !older; c++)
        older = view->chunks[c] && view->chunks[c]->weights != view->weights[0];
    if (!older)
        view->weights[1] = NULL;
    model->shelf.behind = older || view->weights[0]->steps != model->dense.steps;
    for (uint32_t c = 0; c < view->chunks_len && !model->shelf.behind; c++)
        model->shelf.behind = chunk_stale(model, view->chunks[c], c, view->weights[0]);
    atomic_store(&model->shelf.view, view);
    if (old)
        view_replace(model, old, view);
    atomic_store_explicit(&model->shelf.bytes, fr_slab_bytes(model->shelf.slab), memory_order_relaxed);
}
