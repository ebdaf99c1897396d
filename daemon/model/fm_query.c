/*
 * fm_query.c -- answering from what is shown: a scan over all items, or some of them.
 *
 *     history, seeds, context  --shown rows-->  U, constant
 *     chunk by chunk           constant + b_j + <U, I_j>
 *     the best only, of many   b_j + <U, I_j> by the bytes of I_j (codes.h), then the score itself for the `candidates` best of
 *                              them. What is not among them has no score. Marked items, and those nobody holds, are passed over
 *
 * An item of which nothing has been learned has no score: its bias is shown as -INFINITY, and what comes of that is turned
 * into -0.0, which says "no evidence" (model.h), as is what comes of a row of which a number is none. Those with a score never have -0.0.
 *
 * An asker takes the three lists one after the other, so a publication may come between; each is whole by itself, and
 * both moments are true ones.
 *
 * Thread: any, inside an epoch.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fm_parts.h"
#include "sieve.h"

enum { SCORED_AT_ONCE = 16, SIFTED_AT_ONCE = 64, AHEAD = 8 }; /* rows; SHOWN_ROWS is a multiple of the first two */
enum { BEST_TIMES = 2, SMALL_CATALOGUE = 4 };                /* candidates: at least so many times the best; a catalogue of no more
                                                              * than so many times the candidates is scored whole */
_Static_assert(SIFTED_AT_ONCE == 4 * CODE_ROWS && (int)FM_DIMENSIONS_MAX <= (int)CODE_DIMENSIONS_MAX, "four blocks, of any d");

/* What a question is made into. */
struct side {
    const struct shown *items, *history;
    struct history_terms terms;
    float constant;
    alignas(VECTOR_ALIGN) float user[FM_DIMENSIONS_MAX];
};

static float shown_bias(const void *context, uint32_t item)
{
    const struct shown *items = context;
    float bias = item < items->rows ? items->chunks[item / SHOWN_ROWS]->biases[item % SHOWN_ROWS] : -INFINITY;
    return isinf(bias) ? NAN : bias;
}

/* Adds a shown row; returns its squared norm where that is asked for. */
static float side_add(const struct model *model, struct side *side, const struct shown *shown, uint32_t row, float x)
{
    size_t d = model->options.dimensions;
    const float *vector = shown_vector(shown, d, row);

    if (!vector)
        return 0;
    model->kernels->step(side->user, x, vector, d);
    return model->options.second_order ? x * x * model->kernels->norm(vector, d) : 0;
}

static float side_add_feature(const struct model *model, struct side *side, const struct shown *features, uint64_t key)
{
    uint32_t row = features_shown(&model->features, features, key);

    if (row == FEATURE_NONE)
        return 0;
    side->constant += features->chunks[row / SHOWN_ROWS]->biases[row % SHOWN_ROWS];
    return side_add(model, side, features, row, 1);
}

/* False: nothing has been shown yet. */
static bool side_init(const struct model *model, const struct query *query, struct side *side)
{
    const struct shown *features = embedding_shown(&model->features.rows);
    float mean = atomic_load_explicit(&model->constant, memory_order_relaxed), alone = 0;
    size_t d = model->options.dimensions;

    side->items = embedding_shown(&model->items);
    side->history = embedding_shown(&model->history);
    if (!side->items || !side->history || !features)
        return false;
    side->constant = mean;
    memset(side->user, 0, d * sizeof(float));
    fm_terms_init(&side->terms, &model->options, &query->history, query->seeds, query->seeds_len, UINT32_MAX);
    if (model->options.loss == FM_SQUARED)
        side->constant += fm_terms_lean(&side->terms, &query->history, mean, shown_bias, side->items, UINT32_MAX);
    for (uint32_t k = 0; k < side->terms.len; k++)
        alone += side_add(model, side, side->history, side->terms.item[k], side->terms.x[k]);
    uint64_t keys[FM_FEATURES_MAX];
    size_t keys_len = fm_keys(&model->options, query->context, query->context_len, query->user_id, keys);
    for (size_t k = 0; k < keys_len; k++)
        alone += side_add_feature(model, side, features, keys[k]);
    if (!side->terms.len)
        alone += side_add_feature(model, side, features, FM_KEY_NEWCOMER);
    if (model->options.second_order)
        side->constant += (model->kernels->norm(side->user, d) - alone) / 2;
    return true;
}

/* constant + b_j + <U, I_j> for `len` rows of a chunk from `at` on. Meanwhile the same rows of the `next` chunk are fetched: where
 * that lies no processor can guess. */
static void rows_score(const struct model *model, const struct side *side, const struct shown_chunk *chunk,
                       const struct shown_chunk *next, uint32_t at, uint32_t len, double *restrict value)
{
    size_t d = model->options.dimensions;
    const char *ahead = (const char *)(next->vectors + at * d);
    float dots[SCORED_AT_ONCE];

    for (size_t byte = 0; byte < len * d * sizeof(float); byte += 64)
        __builtin_prefetch(ahead + byte);
    model->kernels->dots(chunk->vectors + at * d, NULL, len, d, side->user, dots);
    for (uint32_t k = 0; k < len; k++) {
        float score = side->constant + (chunk->biases[at + k] + dots[k]);
        value[k] = isfinite(score) ? (double)score + 0.0 : -0.0;
    }
}

static void retrieve_all(const struct model *model, const struct side *side, struct scores *scores)
{
    uint32_t items = 0;

    scores->dense = true;
    if (side)
        items = side->items->rows < scores->items ? side->items->rows : scores->items;
    for (uint32_t first = 0; first < items; first += SCORED_AT_ONCE) {
        uint32_t c = first / SHOWN_ROWS, next = c + 1 < side->items->chunks_len ? c + 1 : c;
        uint32_t len = items - first < SCORED_AT_ONCE ? items - first : SCORED_AT_ONCE;
        rows_score(model, side, side->items->chunks[c], side->items->chunks[next], first % SHOWN_ROWS, len,
                   scores->value + first);
    }
    for (uint32_t item = items; item < scores->items; item++)
        scores->value[item] = -0.0;
}

/* values[k] = score + 0.0, -0.0 without one. */
static void items_score(const struct model *model, const struct side *side, const uint32_t *items, size_t len, double *values)
{
    size_t d = model->options.dimensions;

    for (size_t k = 0; k < len; k++) {
        float bias = shown_bias(side->items, items[k]), dot;
        const float *ahead = k + AHEAD < len ? shown_vector(side->items, d, items[k + AHEAD]) : NULL;
        for (size_t i = 0; ahead && i < d; i += VECTOR_WIDTH)
            __builtin_prefetch(ahead + i);
        values[k] = -0.0;
        if (isnan(bias))
            continue;
        model->kernels->dots(shown_vector(side->items, d, items[k]), NULL, 1, d, side->user, &dot);
        float score = side->constant + (bias + dot);
        if (isfinite(score))
            values[k] = (double)score + 0.0;
    }
}

/* ---- the best of many ---- */

/* Those that have passed the floor, from the item `first` on. */
static void passed_take(const struct model *model, const struct scores *scores, uint32_t first, const float *estimates,
                        const uint16_t *above, struct sieve *sieve)
{
    for (uint32_t block = 0; block < SIFTED_AT_ONCE / CODE_ROWS; block++) {
        for (unsigned bits = above[block]; bits; bits &= bits - 1) {
            uint32_t k = block * CODE_ROWS + (uint32_t)__builtin_ctz(bits), item = first + k;
            if (item >= scores->items || isinf(estimates[k]) || (double)estimates[k] < sieve->floor)
                continue;
            if (model_host_offers(&model->host, item) && !scores_excluded(scores, item))
                sieve_take(sieve, item, (double)estimates[k]);
        }
    }
}

/* A chunk's rows into the sieve. Meanwhile the same rows of the `next` chunk are fetched. */
static void chunk_sift(const struct model *model, const struct side *side, uint32_t c, uint32_t next, const struct code_user *user,
                       const struct scores *scores, struct sieve *sieve)
{
    const struct shown_chunk *chunk = side->items->chunks[c];
    const uint8_t *ahead = side->items->chunks[next]->codes.code;
    size_t d = model->options.dimensions;
    float estimates[SIFTED_AT_ONCE];
    uint16_t above[SIFTED_AT_ONCE / CODE_ROWS];

    for (uint32_t at = 0; at < SHOWN_ROWS; at += SIFTED_AT_ONCE) {
        for (size_t byte = 0; byte < SIFTED_AT_ONCE * d; byte += 64)
            __builtin_prefetch(ahead + at * d + byte);
        model->code_kernels->sift(chunk->codes.code + at * d, SIFTED_AT_ONCE / CODE_ROWS, d, user, chunk->biases + at,
                                  chunk->codes.scale + at, (float)sieve->floor, estimates, above);
        passed_take(model, scores, c * SHOWN_ROWS + at, estimates, above, sieve);
    }
}

/* The candidates: what by its bytes ranks first. */
static void candidates_find(const struct model *model, const struct side *side, const struct scores *scores, struct sieve *sieve)
{
    uint32_t chunks = side->items->chunks_len, stride = sieve_stride(chunks);
    struct code_user user;

    code_user_init(&user, model->code_kernels, side->user, model->options.dimensions);
    for (uint32_t i = 0, c = 0, next; i < chunks; i++, c = next) {
        next = (c + stride) % chunks;
        if (c * SHOWN_ROWS < scores->items)
            chunk_sift(model, side, c, next, &user, scores, sieve);
    }
    sieve_cut(sieve);
}

static void retrieve_best(const struct model *model, const struct side *side, size_t candidates, struct scores *scores)
{
    double values[SCORED_AT_ONCE];
    uint32_t items[SCORED_AT_ONCE];

    struct sieve sieve = sieve_in(scores, candidates);

    candidates_find(model, side, scores, &sieve);
    for (size_t first = 0; first < sieve.len; first += SCORED_AT_ONCE) {
        size_t len = sieve.len - first < SCORED_AT_ONCE ? sieve.len - first : SCORED_AT_ONCE;
        for (size_t k = 0; k < len; k++)
            items[k] = sieve.room[first + k].id;
        items_score(model, side, items, len, values);
        for (size_t k = 0; k < len; k++) {
            if (!scores_untouched(values[k]))
                scores_add(scores, items[k], values[k]);
        }
    }
}

static size_t candidates_of(const struct model *model, uint32_t best)
{
    size_t most = (size_t)best * BEST_TIMES;
    return most > model->options.candidates ? most : model->options.candidates;
}

bool fm_estimates(const struct model *model, uint32_t items, uint32_t best)
{
    const struct fm_options *options = &model->options;

    return best && options->int8_above && items > options->int8_above && items / SMALL_CATALOGUE > candidates_of(model, best);
}

/* Of the features that a question is made of one that is shown. */
bool fm_knows(const struct model *model, const uint64_t *context, size_t len)
{
    const struct shown *features = embedding_shown(&model->features.rows);
    uint64_t keys[FM_FEATURES_MAX];
    size_t keys_len = fm_keys(&model->options, context, len, (struct fr_bytes){0}, keys);

    for (size_t k = 0; features && k < keys_len; k++)
        if (features_shown(&model->features, features, keys[k]) != FEATURE_NONE)
            return true;
    return false;
}

void fm_retrieve(const struct model *model, const struct query *query, struct scores *scores)
{
    struct side side;

    if (!side_init(model, query, &side))
        retrieve_all(model, NULL, scores);
    else if (fm_estimates(model, scores->items, query->best) && side.items->rows && side.items->chunks[0]->codes.code)
        retrieve_best(model, &side, candidates_of(model, query->best), scores);
    else
        retrieve_all(model, &side, scores);
}

void fm_score(const struct model *model, const struct query *query, const uint32_t *items, size_t len, double *values)
{
    struct side side;

    for (size_t k = 0; k < len; k++)
        values[k] = -0.0;
    if (side_init(model, query, &side))
        items_score(model, &side, items, len, values);
}

/* What each item of the user's side adds: x_h <V_h, I_j>. */
size_t fm_explain(const struct model *model, const struct query *query, uint32_t item, struct scores *scratch,
                  struct reason_part *parts, size_t parts_max)
{
    struct side side;
    size_t len = 0;

    (void)scratch;
    if (!parts_max || !side_init(model, query, &side) || isnan(shown_bias(side.items, item)))
        return 0;
    const float *target = shown_vector(side.items, model->options.dimensions, item);
    for (uint32_t k = 0; k < side.terms.len; k++) {
        const float *vector = shown_vector(side.history, model->options.dimensions, side.terms.item[k]);
        float dot = 0;
        if (vector)
            model->kernels->dots(vector, NULL, 1, model->options.dimensions, target, &dot);
        double contribution = (double)(side.terms.x[k] * dot);
        if (contribution != 0)
            reason_offer(parts, &len, parts_max, side.terms.item[k], contribution);
    }
    return len;
}

/* The cosine of two items' vectors, where it is above 0: items at right angles have nothing to do with each other. */
void fm_neighbours(const struct model *model, uint32_t item, struct scores *scores)
{
    const struct shown *items = embedding_shown(&model->items);
    size_t d = model->options.dimensions;
    float dots[SHOWN_ROWS];

    if (!items || isnan(shown_bias(items, item)))
        return;
    const float *vector = shown_vector(items, d, item);
    float norm = model->kernels->norm(vector, d);
    for (uint32_t c = 0; c < items->chunks_len; c++) {
        const struct shown_chunk *chunk = items->chunks[c];
        model->kernels->dots(chunk->vectors, NULL, SHOWN_ROWS, d, vector, dots);
        for (uint32_t k = 0; k < SHOWN_ROWS; k++) {
            if (isinf(chunk->biases[k]) || !(dots[k] > 0) || c * SHOWN_ROWS + k == item)
                continue;
            float other = model->kernels->norm(chunk->vectors + k * d, d);
            scores_add(scores, c * SHOWN_ROWS + k, (double)dots[k] / sqrt((double)norm * (double)other));
        }
    }
}
