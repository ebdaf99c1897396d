/*
 * ncf_query.c -- answering from what is shown.
 *
 *     history, seeds  --shown rows-->  a, p  --each weights of the view-->  w a, b1 + p W1u
 *
 *     all items       16 rows of a chunk at a time: <w a, c_j>, user's half + item's half, the other layers
 *     the best only   <w a, c_j> of all items, then the whole of it for the `candidates` best of them: the product finds, the
 *                     layers rank (algorithms.md 4.2). What is not among them has no score. In a small catalogue not worth it
 *
 * Scores are log odds, as the share of negatives makes them. An item of which nothing has been learned has none, nor has one
 * of whose rows a number is none.
 *
 * An asker takes the view and the two lists of the history one after the other, so a publication may come between; each is
 * whole by itself, and all moments are true ones.
 *
 * Thread: any, inside an epoch.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ncf_parts.h"
#include "sieve.h"

enum { AT_ONCE = NCF_ASKED_AT_ONCE, SMALL_CATALOGUE = 4 }; /* times the candidates */
_Static_assert((int)SHOWN_ROWS % (int)AT_ONCE == 0, "a chunk is scored in whole blocks");

/* What a question is made into, for each of the view's weights. */
struct side {
    const struct ncf_view *view;
    const struct shown *gmf, *mlp;
    struct {
        alignas(VECTOR_ALIGN) float weighted[NCF_WIDTH_MAX]; /* w a */
        alignas(VECTOR_ALIGN) float half[NCF_WIDTH_MAX];
    } of[2];
};

/* A few items on their way through the layers. */
struct block {
    size_t rows, at[AT_ONCE]; /* at: whose score each row is, where they come one by one */
    float score[AT_ONCE];
    alignas(VECTOR_ALIGN) float gmf[AT_ONCE * NCF_WIDTH_MAX];
    alignas(VECTOR_ALIGN) float value[NCF_LAYERS][AT_ONCE * NCF_WIDTH_MAX];
};

static void rows_sum(const struct model *model, const struct shown *shown, const struct history_terms *terms, size_t d,
                     float *ret_sum)
{
    memset(ret_sum, 0, d * sizeof(float));
    for (uint32_t k = 0; k < terms->len; k++) {
        const float *row = shown_vector(shown, d, terms->item[k]);
        if (row)
            model->kernels->step(ret_sum, terms->x[k], row, d);
    }
}

static void side_fill(const struct model *model, const struct history_terms *terms, struct side *side)
{
    const struct dense_shape *shape = &model->dense.shape;
    alignas(VECTOR_ALIGN) float gmf[NCF_WIDTH_MAX], mlp[NCF_WIDTH_MAX];

    rows_sum(model, side->gmf, terms, shape->gmf, gmf);
    rows_sum(model, side->mlp, terms, shape->mlp, mlp);
    for (int which = 0; which < 2 && side->view->weights[which]; which++) {
        const float *numbers = side->view->weights[which]->numbers;
        for (size_t f = 0; f < shape->gmf; f++)
            side->of[which].weighted[f] = numbers[shape->product + f] * gmf[f];
        dense_user(shape, model->kernels, numbers, mlp, side->of[which].half);
    }
}

/* False: nothing has been shown yet. */
static bool side_init(const struct model *model, const struct query *query, struct side *side)
{
    struct history_terms terms;

    side->view = atomic_load(&model->shelf.view);
    side->gmf = embedding_shown(&model->gmf_history);
    side->mlp = embedding_shown(&model->mlp_history);
    if (!side->view || !side->gmf || !side->mlp)
        return false;
    ncf_terms_init(&terms, &model->options, &query->history, query->seeds, query->seeds_len, UINT32_MAX);
    side_fill(model, &terms, side);
    return true;
}

static int which_of(const struct side *side, const struct ncf_chunk *chunk)
{
    return chunk->weights != side->view->weights[0];
}

/* NULL: it has no score. */
static const struct ncf_chunk *chunk_of(const struct ncf_view *view, uint32_t item)
{
    uint32_t c = item / SHOWN_ROWS;

    if (c >= view->chunks_len || !view->chunks[c] || !view->chunks[c]->known[item % SHOWN_ROWS])
        return NULL;
    return view->chunks[c];
}

static const float *half_of(const struct model *model, const struct ncf_chunk *chunk, size_t row)
{
    return chunk->rows + SHOWN_ROWS * model->dense.shape.gmf + row * model->dense.shape.out[0];
}

/* ---- through the layers ---- */

static void block_put_half(const struct model *model, const struct side *side, int which, const float *item_half,
                           struct block *block, size_t row)
{
    size_t out = model->dense.shape.out[0];
    float *restrict sum = block->value[0] + row * out;
    const float *user_half = side->of[which].half;

    for (size_t k = 0; k < out; k++)
        sum[k] = user_half[k] + item_half[k];
}

/* `gmf`: the block's items' rows, one after another. */
static void block_score(const struct model *model, const struct side *side, int which, const float *gmf,
                        struct block *block)
{
    const struct dense_shape *shape = &model->dense.shape;
    struct dense_pass pass = {.rows = block->rows, .value = {block->value[0], block->value[1], block->value[2]}};

    model->kernels->dots(gmf, NULL, block->rows, shape->gmf, side->of[which].weighted, block->score);
    dense_forward(shape, model->kernels, side->view->weights[which]->numbers, &pass, block->score);
}

static void block_flush(const struct model *model, const struct side *side, int which, struct block *block,
                        double *values)
{
    block_score(model, side, which, block->gmf, block);
    for (size_t row = 0; row < block->rows; row++)
        values[block->at[row]] = isfinite(block->score[row]) ? (double)block->score[row] + 0.0 : -0.0;
    block->rows = 0;
}

/* values[k] = score + 0.0, -0.0 without one. */
static void items_score(const struct model *model, const struct side *side, const uint32_t *items, size_t len,
                        double *values)
{
    size_t gmf = model->dense.shape.gmf;
    struct block block;

    for (size_t k = 0; k < len; k++)
        values[k] = -0.0;
    for (int which = 0; which < 2 && side->view->weights[which]; which++) {
        block.rows = 0;
        for (size_t k = 0; k < len; k++) {
            const struct ncf_chunk *chunk = chunk_of(side->view, items[k]);
            size_t row = items[k] % SHOWN_ROWS;
            if (!chunk || which_of(side, chunk) != which)
                continue;
            memcpy(block.gmf + block.rows * gmf, chunk->rows + row * gmf, gmf * sizeof(float));
            block_put_half(model, side, which, half_of(model, chunk, row), &block, block.rows);
            block.at[block.rows++] = k;
            if (block.rows == AT_ONCE)
                block_flush(model, side, which, &block, values);
        }
        if (block.rows)
            block_flush(model, side, which, &block, values);
    }
}

static void chunk_score(const struct model *model, const struct side *side, const struct ncf_chunk *chunk,
                        uint32_t first, uint32_t len, double *value)
{
    int which = which_of(side, chunk);
    struct block block;

    for (uint32_t k = 0; k < len; k += AT_ONCE) {
        block.rows = len - k < AT_ONCE ? len - k : AT_ONCE;
        for (size_t row = 0; row < block.rows; row++)
            block_put_half(model, side, which, half_of(model, chunk, k + row), &block, row);
        block_score(model, side, which, chunk->rows + k * model->dense.shape.gmf, &block);
        for (size_t row = 0; row < block.rows; row++) {
            bool scored = chunk->known[k + row] && isfinite(block.score[row]);
            value[first + k + row] = scored ? (double)block.score[row] + 0.0 : -0.0;
        }
    }
}

/* ---- retrieving ---- */

static void retrieve_all(const struct model *model, const struct side *side, struct scores *scores)
{
    scores->dense = true;
    for (uint32_t first = 0; first < scores->items; first += SHOWN_ROWS) {
        uint32_t c = first / SHOWN_ROWS, left = scores->items - first, len = left < SHOWN_ROWS ? left : SHOWN_ROWS;
        if (side && c < side->view->chunks_len && side->view->chunks[c]) {
            chunk_score(model, side, side->view->chunks[c], first, len, scores->value);
            continue;
        }
        for (uint32_t k = 0; k < len; k++)
            scores->value[first + k] = -0.0;
    }
}

/* Rows of a chunk from `at` on. Meanwhile the same rows of the `next` chunk are fetched: where that lies no processor can guess. */
static void rows_offer(const struct model *model, const struct side *side, const struct ncf_chunk *chunk,
                       const struct ncf_chunk *next, uint32_t first, uint32_t at, uint32_t len, const struct scores *scores,
                       struct sieve *sieve)
{
    size_t gmf = model->dense.shape.gmf;
    float dots[AT_ONCE];

    for (size_t byte = 0; next && byte < len * gmf * sizeof(float); byte += 64)
        __builtin_prefetch((const char *)(next->rows + at * gmf) + byte);
    model->kernels->dots(chunk->rows + at * gmf, NULL, len, gmf, side->of[which_of(side, chunk)].weighted, dots);
    for (uint32_t k = 0; k < len; k++) {
        uint32_t item = first + at + k;
        if (!((double)dots[k] >= sieve->floor) || !chunk->known[at + k] || !isfinite(dots[k]))
            continue;
        if (model_host_offers(&model->host, item) && !scores_excluded(scores, item))
            sieve_take(sieve, item, (double)dots[k]);
    }
}

/* What the product alone ranks first, of what may be listed. */
static void candidates_find(const struct model *model, const struct side *side, const struct scores *scores,
                            struct sieve *sieve)
{
    const struct ncf_view *view = side->view;
    uint32_t chunks = view->chunks_len, stride = chunks ? sieve_stride(chunks) : 0;

    for (uint32_t i = 0, c = 0, to; i < chunks; i++, c = to) {
        uint32_t first = c * SHOWN_ROWS, left = scores->items - first, len = left < SHOWN_ROWS ? left : SHOWN_ROWS;
        const struct ncf_chunk *chunk = view->chunks[c], *next = view->chunks[to = (c + stride) % chunks];
        for (uint32_t at = 0; chunk && first < scores->items && at < len; at += AT_ONCE) {
            uint32_t rows = len - at < AT_ONCE ? len - at : AT_ONCE;
            rows_offer(model, side, chunk, next, first, at, rows, scores, sieve);
        }
    }
    sieve_cut(sieve);
}

static void retrieve_best(const struct model *model, const struct side *side, size_t candidates, struct scores *scores)
{
    struct sieve sieve = sieve_in(scores, candidates);
    uint32_t items[AT_ONCE];
    double values[AT_ONCE];

    candidates_find(model, side, scores, &sieve);
    for (size_t first = 0; first < sieve.len; first += AT_ONCE) {
        size_t len = sieve.len - first < AT_ONCE ? sieve.len - first : AT_ONCE;
        for (size_t k = 0; k < len; k++)
            items[k] = sieve.room[first + k].id;
        items_score(model, side, items, len, values);
        for (size_t k = 0; k < len; k++) {
            if (!scores_untouched(values[k]))
                scores_add(scores, items[k], values[k]);
        }
    }
}

void ncf_retrieve(const struct model *model, const struct query *query, struct scores *scores)
{
    size_t candidates = model->options.candidates > query->best ? model->options.candidates : query->best;
    bool all = !query->best || !model->options.candidates || scores->items <= SMALL_CATALOGUE * candidates;
    struct side side;

    if (!side_init(model, query, &side))
        retrieve_all(model, NULL, scores);
    else if (all)
        retrieve_all(model, &side, scores);
    else
        retrieve_best(model, &side, candidates, scores);
}

void ncf_score(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values)
{
    struct side side;

    for (size_t k = 0; k < len; k++)
        values[k] = -0.0;
    if (side_init(model, query, &side))
        items_score(model, &side, items, len, values);
}

/* ---- reasons ---- */

/*
 * What each item of the user's side adds: the score minus what it would be had the item never been met. The layers are not a
 * sum, so these do not add up to the score.
 */
size_t ncf_explain(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                   struct reason_part *parts, size_t parts_max)
{
    struct history_terms terms, others;
    struct side side;
    double score, without;
    size_t len = 0;

    (void)scratch;
    if (!parts_max || !side_init(model, query, &side) || !chunk_of(side.view, item))
        return 0;
    items_score(model, &side, &item, 1, &score);
    ncf_terms_init(&terms, &model->options, &query->history, query->seeds, query->seeds_len, UINT32_MAX);
    for (uint32_t k = 0; k < terms.len; k++) {
        ncf_terms_init(&others, &model->options, &query->history, query->seeds, query->seeds_len, terms.item[k]);
        side_fill(model, &others, &side);
        items_score(model, &side, &item, 1, &without);
        double contribution = score - without;
        if (contribution != 0)
            reason_offer(parts, &len, parts_max, terms.item[k], contribution);
    }
    return len;
}

/* The cosine of two items' vectors in the product, where it is above 0. */
void ncf_neighbours(const struct model *model, uint32_t item, struct scores *scores)
{
    const struct ncf_view *view = atomic_load(&model->shelf.view);
    const struct ncf_chunk *of = view ? chunk_of(view, item) : NULL;
    size_t gmf = model->dense.shape.gmf;
    float dots[SHOWN_ROWS];

    if (!of)
        return;
    const float *vector = of->rows + item % SHOWN_ROWS * gmf;
    float norm = model->kernels->norm(vector, gmf);
    for (uint32_t c = 0; c < view->chunks_len; c++) {
        const struct ncf_chunk *chunk = view->chunks[c];
        if (!chunk)
            continue;
        model->kernels->dots(chunk->rows, NULL, SHOWN_ROWS, gmf, vector, dots);
        for (uint32_t k = 0; k < SHOWN_ROWS; k++) {
            if (!chunk->known[k] || !(dots[k] > 0) || c * SHOWN_ROWS + k == item)
                continue;
            float other = model->kernels->norm(chunk->rows + k * gmf, gmf);
            scores_add(scores, c * SHOWN_ROWS + k, (double)dots[k] / sqrt((double)norm * (double)other));
        }
    }
}
