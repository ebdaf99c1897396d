/*
 * fm_learn.c -- one event: the item of the touch, some that are not, and one step of each row that took part.
 *
 *     terms, features --> U            the user's side, from the history before the event
 *     targets             j0 j1 .. jn  the event's item, then negatives; y_j = constant + b_j + <U, I_j>
 *     errors              e_j = d loss / d y_j
 *
 *         softmax         p_j - [j = j0],  p = softmax of z,  z_j0 = y_j0,  z_j = y_j + log(learned / n)
 *         logistic        1 / (1 + exp(-y_j)) - [j = j0]
 *         squared         y_j0 - rating, within -2 .. 2
 *
 *     gradients           I_j: e_j U     b_j: e_j     U: g = sum e_j I_j     V_f: x_f g     constant: E = sum e_j
 *                         I_j is a sum of rows, if the item has features: what comes to each is in fm_items.c
 *         second order    V_f: x_f (g + E (U - x_f V_f))
 *
 * All gradients are of the rows as they were before the event. Then each row makes its step (embedding.h), and one that has
 * become longer than NORM_MOST is cut back to it.
 *
 * Negatives are uniform over the items that have been somebody's, as far as *this model* has been told: a function of the
 * events before this one and of nothing else, so a replay draws alike, whatever else the engine knows by then. What is drawn below `seen` and has
 * never been learned, as most of a catalogue may not, is drawn anew, up to DRAWS_MOST times as often as negatives are wanted. With n of
 * the learned items drawn each stands for learned / n of them: that is what the logarithm says (algorithms.md 3.2, logQ), and the
 * event's own item, which is always there, stands for itself. How many are learned is taken from those drawn.
 *
 * What is learned: events of weight above 0, whatever the weight; for the squared loss all, the weight is the rating. An event
 * on an item that is in the history already is learned too, with the history but for that item: what one does again is wanted,
 * but not because one did it before, which every repeat would say. forget() is none: a step cannot be taken back; what an
 * erased user taught the items' rows stays in them.
 *
 * Thread: engine.
 */
#include <math.h>
#include <string.h>

#include "fm_parts.h"
#include "sampler.h"

enum { DRAWS_MOST = 8 }; /* rounds */
static const float RATING_ERROR_MOST = 2, INTERCEPT_RATE = 0.01f;

static uint64_t negatives_key(const struct model *model, const struct touch *touch)
{
    return sampler_key(model->options.seed, touch->draw);
}

static uint32_t negatives_len(const struct model *model)
{
    return model->options.loss == FM_SQUARED || model->numbers.seen < 2 ? 0 : model->options.negatives;
}

static bool is_learned(const struct model *model, uint32_t item)
{
    return ((const uint64_t *)(const void *)model->learned.base)[item / 64] >> item % 64 & 1;
}

/* Returns how many it found. *ret_share: of the items seen, so many have been learned, by those that were looked at. */
static uint32_t negatives_draw(const struct model *model, const struct touch *touch, uint32_t drawn[FM_NEGATIVES_MAX], float *ret_share)
{
    uint64_t key = negatives_key(model, touch);
    uint32_t want = negatives_len(model), tried = 0, got = 0, more[FM_NEGATIVES_MAX];

    *ret_share = 1;
    if (model->learned_len == model->numbers.seen) {
        sampler_uniform(key, model->numbers.seen, drawn, want);
        return want;
    }
    for (uint32_t round = 0; round < DRAWS_MOST && got < want; round++) {
        sampler_uniform(sampler_from(key, (uint64_t)round * want), model->numbers.seen, more, want);
        for (uint32_t k = 0; k < want && got < want; k++, tried++) {
            drawn[got] = more[k];
            got += is_learned(model, more[k]);
        }
    }
    *ret_share = tried ? (float)got / (float)tried : 0;
    return got;
}

void fm_prepare(const struct model *model, const struct touch *touch, int stage)
{
    uint32_t negatives[FM_NEGATIVES_MAX], first = 0;
    float share;
    const bool any = item_features_any(&model->said);
    const struct item_said_of *said;

    if (stage != 0)
        return;
    uint32_t len = negatives_draw(model, touch, negatives, &share);
    for (uint32_t k = 0; k < len; k++) {
        embedding_prefetch(&model->items, negatives[k]);
        if (any && (said = item_features_of(&model->said, negatives[k])))
            __builtin_prefetch(said);
    }
    embedding_prefetch(&model->items, touch->item);
    if (touch->history.len > model->options.history)
        first = touch->history.len - model->options.history;
    for (uint32_t slot = first; slot < touch->history.len; slot++)
        embedding_prefetch(&model->history, touch->history.item[slot]);
}

/* ---- the user's side ---- */

/* All keys are used before rows are noted: a key that is new may take the row of one before it. */
static void features_gather(struct model *model, const struct touch *touch)
{
    struct fm_event *event = &model->event;
    uint64_t keys[FM_FEATURES_MAX];
    size_t len = fm_keys(&model->options, touch->context, touch->context_len, touch->user_id, keys);

    if (!event->terms.len)
        keys[len++] = FM_KEY_NEWCOMER;
    for (size_t k = 0; k < len; k++)
        features_use(&model->features, keys[k], row_seconds(touch->when));
    fm_items_use(model, touch->item, row_seconds(touch->when));
    event->features_len = 0;
    for (size_t k = 0; k < len; k++) {
        uint32_t row = features_find(&model->features, keys[k]);
        if (row != FEATURE_NONE)
            event->feature[event->features_len++] = row;
    }
}

static float item_bias(const void *context, uint32_t item)
{
    return fm_item_bias(context, item);
}

/* U, and what all targets' scores have in common. */
static void side_gather(struct model *model, const struct touch *touch)
{
    struct fm_event *event = &model->event;
    const struct vector_kernels *kernels = model->kernels;
    size_t d = model->options.dimensions;
    float alone = 0;

    fm_terms_init(&event->terms, &model->options, &touch->history, NULL, 0, touch->item);
    features_gather(model, touch);
    event->constant = fm_constant(model);
    if (model->options.loss == FM_SQUARED)
        event->constant +=
            fm_terms_lean(&event->terms, &touch->history, event->constant, item_bias, model, touch->item);
    memset(event->user, 0, d * sizeof(float));
    for (uint32_t k = 0; k < event->terms.len; k++) {
        float x = event->terms.x[k], *row = embedding_vector(&model->history, event->terms.item[k]);
        kernels->step(event->user, x, row, d);
        if (model->options.second_order)
            alone += x * x * kernels->norm(row, d);
    }
    for (uint32_t k = 0; k < event->features_len; k++) {
        float *row = embedding_vector(&model->features.rows, event->feature[k]);
        kernels->step(event->user, 1, row, d);
        event->constant += embedding_state(&model->features.rows, event->feature[k])->bias;
        if (model->options.second_order)
            alone += kernels->norm(row, d);
    }
    if (model->options.second_order)
        event->constant += (kernels->norm(event->user, d) - alone) / 2;
}

/* ---- the items' side ---- */

/* An item met for the first time begins near 0, at a place that is its own. Such a row is owed to no journal: it has changed
 * only once something has been learned of it. */
static void item_meet(struct model *model, uint32_t item)
{
    struct row_state *state = embedding_state(&model->items, item);

    if (state->count)
        return;
    *state = (struct row_state){.scale = model->adagrad.g0, .bias_scale = model->adagrad.g0};
    sampler_normal(sampler_key(~model->options.seed, item), (float)model->options.deviation,
                   embedding_vector(&model->items, item), model->options.dimensions);
}

static void targets_gather(struct model *model, const struct touch *touch)
{
    struct fm_event *event = &model->event;
    uint32_t drawn[FM_NEGATIVES_MAX];
    float share;

    event->target[0] = touch->item;
    event->targets_len = 1;
    uint32_t len = negatives_draw(model, touch, drawn, &share);
    for (uint32_t k = 0; k < len; k++) {
        event->target[event->targets_len] = drawn[k];
        event->targets_len += drawn[k] != touch->item;
    }
    event->each = (float)model->numbers.seen * share / (float)(event->targets_len - 1); /* where there are any */
    model->kernels->dots(embedding_vector(&model->items, 0), event->target, event->targets_len,
                         model->options.dimensions, event->user, event->score);
    for (uint32_t k = 0; k < event->targets_len; k++)
        event->score[k] += event->constant + embedding_state(&model->items, event->target[k])->bias;
    if (item_features_any(&model->said))
        fm_items_gather(model);
}

/* ---- errors ---- */

static void errors_softmax(struct fm_event *event)
{
    float most = event->score[0], sum = 0;
    float more = event->targets_len > 1 ? logf(event->each) : 0;

    for (uint32_t k = 1; k < event->targets_len; k++) {
        event->error[k] = event->score[k] + more;
        most = event->error[k] > most ? event->error[k] : most;
    }
    event->error[0] = event->score[0];
    for (uint32_t k = 0; k < event->targets_len; k++) {
        event->error[k] = expf(event->error[k] - most);
        sum += event->error[k];
    }
    for (uint32_t k = 0; k < event->targets_len; k++)
        event->error[k] /= sum;
    event->error[0] -= 1;
}

static void errors_logistic(struct fm_event *event)
{
    for (uint32_t k = 0; k < event->targets_len; k++) {
        float y = event->score[k], small = expf(-fabsf(y));
        event->error[k] = (y >= 0 ? 1 : small) / (1 + small) - (k == 0);
    }
}

static void errors_squared(struct fm_event *event, double rating)
{
    float error = event->score[0] - (float)rating;

    event->error[0] = fminf(fmaxf(error, -RATING_ERROR_MOST), RATING_ERROR_MOST);
}

/* False if one of them is no number. */
static bool errors_find(struct model *model, const struct touch *touch)
{
    struct fm_event *event = &model->event;
    float sum = 0;

    for (uint32_t k = 0; k < event->targets_len; k++)
        sum += fabsf(event->score[k]);
    if (!isfinite(sum) || !isfinite(touch->weight))
        return false;
    switch (model->options.loss) {
    case FM_SOFTMAX:
        errors_softmax(event);
        break;
    case FM_LOGISTIC:
        errors_logistic(event);
        break;
    case FM_SQUARED:
        errors_squared(event, touch->weight);
        break;
    }
    return true;
}

/* ---- steps ---- */

/* Decay of weights, apart from the gradient: it is no part of what AdaGrad counts (Loshchilov and Hutter 2019). Not of biases: on ratings
 * theirs changed nothing. */
static void shrink_row(const struct model *model, float *restrict row, float rate)
{
    float kept = fmaxf(0, 1 - rate * (float)model->options.shrink);

    for (size_t i = 0; kept < 1 && i < model->options.dimensions; i++)
        row[i] *= kept;
}

/* `norm` is what the row's squared norm has become. */
static void guard(struct model *model, float *row, float norm)
{
    if (row_guard(row, model->options.dimensions, norm))
        fm_count(&model->guarded, 1);
}

void fm_item_row_step(struct model *model, float *row, struct row_state *state, float c, float bias, float square)
{
    struct fm_event *event = &model->event;

    state->scale = adagrad_scale(&model->adagrad, state->scale, c * c * square);
    float rate = adagrad_rate(&model->adagrad, state->scale);
    guard(model, row, model->kernels->meet(row, c, event->gradient, -rate * c, event->user, model->options.dimensions));
    shrink_row(model, row, rate);
    adagrad_number(&model->adagrad, &state->bias, &state->bias_scale, bias);
}

static void items_step(struct model *model)
{
    struct fm_event *event = &model->event;
    size_t d = model->options.dimensions;
    float square = model->kernels->norm(event->user, d) / (float)d;

    memset(event->gradient, 0, d * sizeof(float));
    for (uint32_t k = 0; k < event->targets_len; k++) {
        uint32_t item = event->target[k];
        embedding_change(&model->items, item);
        fm_item_row_step(model, embedding_vector(&model->items, item), embedding_state(&model->items, item), event->error[k],
                         event->error[k], square);
    }
    if (item_features_any(&model->said))
        fm_items_step(model, square);
}

/* One feature of the user's side. `square`: of the gradient's norm. */
static void feature_step(struct model *model, float *row, struct row_state *state, float x, float errors, float square)
{
    struct fm_event *event = &model->event;
    const struct vector_kernels *kernels = model->kernels;
    size_t d = model->options.dimensions;
    const float *gradient = event->gradient;

    if (model->options.second_order) {
        memcpy(event->crossed, event->gradient, d * sizeof(float));
        kernels->step(event->crossed, errors, event->user, d);
        square = kernels->step(event->crossed, -errors * x, row, d);
        gradient = event->crossed;
    }
    state->scale = adagrad_scale(&model->adagrad, state->scale, x * x * square / (float)d);
    float rate = adagrad_rate(&model->adagrad, state->scale);
    guard(model, row, kernels->step(row, -rate * x, gradient, d));
    shrink_row(model, row, rate);
}

static void side_step(struct model *model, uint32_t when)
{
    struct fm_event *event = &model->event;
    float errors = 0, square = gradient_guard(model->kernels, event->gradient, model->options.dimensions);

    for (uint32_t k = 0; k < event->targets_len; k++)
        errors += event->error[k];
    for (uint32_t k = 0; k < event->terms.len; k++) {
        uint32_t item = event->terms.item[k];
        embedding_change(&model->history, item);
        embedding_use(&model->history, item, when, model->adagrad.g0);
        feature_step(model, embedding_vector(&model->history, item), embedding_state(&model->history, item), event->terms.x[k],
                     errors, square);
    }
    for (uint32_t k = 0; k < event->features_len; k++) {
        struct row_state *state = embedding_state(&model->features.rows, event->feature[k]);
        embedding_change(&model->features.rows, event->feature[k]);
        feature_step(model, embedding_vector(&model->features.rows, event->feature[k]), state, 1, errors, square);
        if (model->options.loss != FM_SOFTMAX)
            adagrad_number(&model->adagrad, &state->bias, &state->bias_scale, errors);
    }
    if (model->options.loss == FM_LOGISTIC) {
        struct adagrad slow = model->adagrad;
        slow.eta *= INTERCEPT_RATE;
        adagrad_number(&slow, &model->numbers.intercept, &model->numbers.scale, errors);
    }
}

static void learn(struct model *model, const struct touch *touch)
{
    uint32_t item = touch->item, when = row_seconds(touch->when);

    if (model->options.loss != FM_SQUARED && !(touch->weight > 0))
        return;
    item_meet(model, item);
    side_gather(model, touch);
    targets_gather(model, touch);
    if (!errors_find(model, touch)) {
        fm_count(&model->skipped, 1);
        return;
    }
    embedding_change(&model->items, item);
    embedding_use(&model->items, item, when, model->adagrad.g0);
    fm_learned(model, item);
    model->numbers.seen = item >= model->numbers.seen ? item + 1 : model->numbers.seen;
    items_step(model);
    side_step(model, when);
    if (model->options.loss == FM_SQUARED) {
        model->numbers.ratings += touch->weight;
        model->numbers.rated++;
    }
}

void fm_learn(struct model *model, const struct touch *touch)
{
    fm_settle(model);
    learn(model, touch);
    fm_count(&model->events, 1);
    fm_tell(model);
}
