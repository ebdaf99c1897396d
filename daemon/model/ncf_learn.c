/*
 * ncf_learn.c -- one event: the item of the touch, some that are not, and one step of each row that took part.
 *
 *     terms --> a, p                     the user's side, from the history before the event
 *     targets   j0 j1 .. jn              the event's item, then negatives, drawn as in fm_learn.c
 *     z_j       = sum_f w_f a_f c_jf + layers(p, q_j)
 *     e_j       = 1 / (1 + exp(-z_j)) - [j = j0]                       logistic loss, each target for itself
 *
 *     c_j: e_j w a      w: a sum e_j c_j      a: w sum e_j c_j         q_j, p and the layers' numbers: ncf_dense.c
 *
 * All gradients are of the rows and numbers as they were before the event. Rows make their step at once (embedding.h); one
 * that has become longer than NORM_MOST is cut back to it. The layers, which every event moves, wait until `batch` examples
 * are together: what is known of their gradient by then is part of the state and is saved with it.
 *
 * What is learned: events of weight above 0, whatever the weight; a repeat with the history but for its item. forget() is none
 * (fm_learn.c says why of all of these).
 *
 * Thread: engine.
 */
#include <math.h>
#include <string.h>

#include "ncf_parts.h"
#include "sampler.h"

static uint64_t negatives_key(const struct model *model, const struct touch *touch)
{
    return sampler_key(model->options.seed, touch->draw);
}

static uint32_t negatives_len(const struct model *model)
{
    return model->seen < 2 ? 0 : model->options.negatives;
}

static void item_fetch(const struct model *model, uint32_t item)
{
    embedding_prefetch(&model->gmf_items, item);
    embedding_prefetch(&model->mlp_items, item);
}

void ncf_prepare(const struct model *model, const struct touch *touch, int stage)
{
    uint32_t negatives[NCF_NEGATIVES_MAX], len = negatives_len(model), first = 0;

    if (stage != 0)
        return;
    sampler_uniform(negatives_key(model, touch), model->seen, negatives, len);
    for (uint32_t k = 0; k < len; k++)
        item_fetch(model, negatives[k]);
    item_fetch(model, touch->item);
    if (touch->history.len > model->options.history)
        first = touch->history.len - model->options.history;
    for (uint32_t slot = first; slot < touch->history.len; slot++) {
        embedding_prefetch(&model->gmf_history, touch->history.item[slot]);
        embedding_prefetch(&model->mlp_history, touch->history.item[slot]);
    }
}

/* ---- forwards ---- */

static void side_gather(struct model *model, const struct touch *touch)
{
    struct ncf_event *event = &model->event;
    const struct dense_shape *shape = &model->dense.shape;
    const float *product = model->dense.numbers + shape->product;

    ncf_terms_init(&event->terms, &model->options, &touch->history, NULL, 0, touch->item);
    memset(event->gmf, 0, shape->gmf * sizeof(float));
    memset(event->mlp, 0, shape->mlp * sizeof(float));
    for (uint32_t k = 0; k < event->terms.len; k++) {
        uint32_t item = event->terms.item[k];
        model->kernels->step(event->gmf, event->terms.x[k], embedding_vector(&model->gmf_history, item), shape->gmf);
        model->kernels->step(event->mlp, event->terms.x[k], embedding_vector(&model->mlp_history, item), shape->mlp);
    }
    for (size_t f = 0; f < shape->gmf; f++)
        event->weighted[f] = product[f] * event->gmf[f];
    dense_user(shape, model->kernels, model->dense.numbers, event->mlp, event->half);
}

/* An item met for the first time begins near 0, at a place that is its own. Such a row is owed to no journal: it has changed
 * only once something has been learned of it. */
static void item_meet(struct model *model, uint32_t item)
{
    struct embedding *rows[] = {&model->gmf_items, &model->mlp_items};

    for (uint64_t k = 0; k < 2 && !embedding_state(rows[k], item)->count; k++) {
        *embedding_state(rows[k], item) = (struct row_state){.scale = model->adagrad.g0};
        sampler_normal(sampler_key(~model->options.seed, item | k << 32), (float)model->options.deviation,
                       embedding_vector(rows[k], item), rows[k]->d);
    }
}

static void targets_gather(struct model *model, const struct touch *touch)
{
    struct ncf_event *event = &model->event;
    const struct dense_shape *shape = &model->dense.shape;
    uint32_t drawn[NCF_NEGATIVES_MAX], len = negatives_len(model);
    size_t out = shape->out[0];

    event->target[0] = touch->item;
    event->targets_len = 1;
    sampler_uniform(negatives_key(model, touch), model->seen, drawn, len);
    for (uint32_t k = 0; k < len; k++) {
        event->target[event->targets_len] = drawn[k];
        event->targets_len += drawn[k] != touch->item && embedding_state(&model->gmf_items, drawn[k])->count;
    }
    event->pass.rows = event->targets_len;
    for (uint32_t k = 0; k < event->targets_len; k++) {
        memcpy(event->items + k * shape->mlp, embedding_vector(&model->mlp_items, event->target[k]),
               shape->mlp * sizeof(float));
        memcpy(event->value[0] + k * out, event->half, out * sizeof(float));
    }
    dense_items(shape, model->kernels, model->dense.numbers, event->items, event->targets_len, event->value[0]);
    model->kernels->dots(embedding_vector(&model->gmf_items, 0), event->target, event->targets_len, shape->gmf,
                         event->weighted, event->score);
    dense_forward(shape, model->kernels, model->dense.numbers, &event->pass, event->score);
}

/* False if a score is no number. */
static bool errors_find(struct ncf_event *event)
{
    float sum = 0;

    for (uint32_t k = 0; k < event->targets_len; k++) {
        float z = event->score[k], small = expf(-fabsf(z));
        sum += fabsf(z);
        event->error[k] = (z >= 0 ? 1 : small) / (1 + small) - (k == 0);
    }
    return isfinite(sum);
}

/* ---- steps ---- */

/* `norm` is what the row's squared norm has become. */
static void guard(struct model *model, float *row, size_t d, float norm)
{
    if (row_guard(row, d, norm))
        ncf_count(&model->guarded, 1);
}

/* One step of a row, that it changes is known, with gradient x g; `square`: of the norm of g. */
static void row_step(struct model *model, struct embedding *rows, uint32_t item, float x, const float *gradient,
                     float square)
{
    struct row_state *state = embedding_state(rows, item);
    float *row = embedding_vector(rows, item);

    state->scale = adagrad_scale(&model->adagrad, state->scale, x * x * square / (float)rows->d);
    float rate = adagrad_rate(&model->adagrad, state->scale);
    guard(model, row, rows->d, model->kernels->step(row, -rate * x, gradient, rows->d));
}

/* The items' rows; what is left in gmf_gradient is sum e_j c_j. */
static void items_step(struct model *model)
{
    struct ncf_event *event = &model->event;
    const struct vector_kernels *kernels = model->kernels;
    size_t gmf = model->dense.shape.gmf, mlp = model->dense.shape.mlp;
    float square = kernels->norm(event->weighted, gmf) / (float)gmf;

    memset(event->gmf_gradient, 0, gmf * sizeof(float));
    for (uint32_t k = 0; k < event->targets_len; k++) {
        uint32_t item = event->target[k];
        struct row_state *state = embedding_state(&model->gmf_items, item);
        float *row = embedding_vector(&model->gmf_items, item), error = event->error[k];
        const float *gradient = event->items_gradient + k * mlp;
        embedding_change(&model->gmf_items, item);
        embedding_change(&model->mlp_items, item);
        state->scale = adagrad_scale(&model->adagrad, state->scale, error * error * square);
        float rate = adagrad_rate(&model->adagrad, state->scale);
        guard(model, row, gmf,
                  kernels->meet(row, error, event->gmf_gradient, -rate * error, event->weighted, gmf));
        row_step(model, &model->mlp_items, item, 1, gradient, kernels->norm(gradient, mlp));
    }
}

/* The weights of the product, of which sum e_j c_j is half the gradient, and for the user's vector the other way round. */
static void product_gradient(struct model *model)
{
    struct ncf_event *event = &model->event;
    const struct dense_shape *shape = &model->dense.shape;
    const float *product = model->dense.numbers + shape->product;
    float *gradient = model->dense.gradient + shape->product;

    for (size_t f = 0; f < shape->gmf; f++) {
        gradient[f] += event->gmf[f] * event->gmf_gradient[f];
        event->gmf_gradient[f] *= product[f];
    }
}

static void side_step(struct model *model, uint32_t when)
{
    struct ncf_event *event = &model->event;
    float gmf_square = gradient_guard(model->kernels, event->gmf_gradient, model->dense.shape.gmf);
    float mlp_square = gradient_guard(model->kernels, event->mlp_gradient, model->dense.shape.mlp);

    for (uint32_t k = 0; k < event->terms.len; k++) {
        uint32_t item = event->terms.item[k];
        embedding_change(&model->gmf_history, item);
        embedding_change(&model->mlp_history, item);
        embedding_use(&model->gmf_history, item, when, model->adagrad.g0);
        embedding_use(&model->mlp_history, item, when, model->adagrad.g0);
        row_step(model, &model->gmf_history, item, event->terms.x[k], event->gmf_gradient, gmf_square);
        row_step(model, &model->mlp_history, item, event->terms.x[k], event->mlp_gradient, mlp_square);
    }
}

void ncf_learn(struct model *model, const struct touch *touch)
{
    struct ncf_event *event = &model->event;
    uint32_t item = touch->item, when = row_seconds(touch->when);

    ncf_count(&model->events, 1);
    if (!(touch->weight > 0))
        return;
    item_meet(model, item);
    side_gather(model, touch);
    targets_gather(model, touch);
    if (!errors_find(event) || !isfinite(touch->weight)) {
        ncf_count(&model->skipped, 1);
        return;
    }
    embedding_change(&model->gmf_items, item);
    embedding_change(&model->mlp_items, item);
    embedding_use(&model->gmf_items, item, when, model->adagrad.g0);
    embedding_use(&model->mlp_items, item, when, model->adagrad.g0);
    model->seen = item >= model->seen ? item + 1 : model->seen;
    dense_backward(&model->dense, model->kernels, &event->pass, event->error);
    dense_backward_first(&model->dense, model->kernels, &event->pass, event->mlp, event->items, event->mlp_gradient,
                         event->items_gradient);
    items_step(model);
    product_gradient(model);
    side_step(model, when);
    model->dense.examples += event->targets_len;
    if (model->dense.examples >= model->options.batch && !dense_step(&model->dense, &model->options))
        ncf_count(&model->skipped, 1);
}
