/*
 * fm_items.c -- the item's side: its own row, and those of its features.
 *
 *     I_j = v_j + sum over its n features  V_f / sqrt(n)         b_j + sum over them  b_f / n
 *
 * A feature takes part in many of an event's targets, and makes one step for all of them:
 *
 *     <U, I_j> = <U, v_j> + sum <U, V_f> / sqrt(n)               each <U, V_f> is found once
 *     c_f = sum over the targets that have it  e_j / sqrt(n_j)   V_f: c_f U      g += c_f V_f       (fm_learn.c)
 *     b_f: sum over the targets that have it  e_j / n_j
 *
 * A key is used by the events on items that have it; what is drawn beside them uses nothing, it only meets rows that are there.
 *
 * Askers are shown sums: a publication makes I_j and its bias (embedding.h, `compose`), for items of which nothing has been learned too,
 * if one of their features has a row. So a feature that has made a step makes all items old that have it, and those of a large catalogue take
 * time that the engine's thread does not have. A publication therefore makes no more than PUBLISHED_AT_ONCE chunks for this reason alone,
 * from the cursor on, and the next goes on there; the first makes all. Until all is shown the model says that it is behind, and the engine
 * publishes again, though no event comes. In a catalogue of up to PUBLISHED_AT_ONCE * SHOWN_ROWS items all is shown at once; in a larger
 * one what is shown, and ranked for evaluation, hangs on when there were publications; what is learned does not (as in ncf_view.c).
 *
 * Thread: engine.
 */
#include <math.h>
#include <string.h>

#include "fm_parts.h"

enum { PUBLISHED_AT_ONCE = 64 };

void fm_describe(struct model *model, uint32_t item, const uint64_t *keys, size_t len)
{
    if (!model->options.item_features || !model->options.features_max || (!len && !item_features_of(&model->said, item)))
        return;
    item_features_say(&model->said, item, keys, len);
    if (embedding_shown(&model->items)) /* else all will be */
        embedding_show(&model->items, item);
}

float fm_item_bias(const struct model *model, uint32_t item)
{
    const struct row_state *state = embedding_state(&model->items, item);
    struct item_said_of *said = item_features_any(&model->said) ? item_features_of(&model->said, item) : NULL;
    float bias = state->count ? state->bias : NAN, sum = 0;
    bool any = false;

    for (uint32_t k = 0; said && k < said->len; k++) {
        uint32_t row = item_feature_row(&model->features, &said->at[k]);
        if (row == FEATURE_NONE)
            continue;
        sum += said->bias * embedding_state(&model->features.rows, row)->bias;
        any = true;
    }
    return any ? (isnan(bias) ? 0 : bias) + sum : bias;
}

/* ---- one event ---- */

void fm_items_use(struct model *model, uint32_t item, uint32_t when)
{
    const struct item_said_of *said = item_features_any(&model->said) ? item_features_of(&model->said, item) : NULL;

    for (uint32_t k = 0; said && k < said->len; k++)
        features_use(&model->features, said->at[k].key, when);
}

/* Where the row stands among those that take part. What `place` held before means nothing. */
static uint32_t sum_of(struct model *model, uint32_t row)
{
    struct item_features *of = &model->said;
    uint32_t at = of->place[row];

    if (at < of->sums_len && of->rows[at] == row)
        return at;
    embedding_prefetch(&model->features.rows, row);
    of->place[row] = of->sums_len;
    of->rows[of->sums_len] = row;
    return of->sums_len++;
}

/* Rows of one target's features, each once, to the end of the run. */
static void target_gather(struct model *model, struct item_said_of *said)
{
    struct item_features *of = &model->said;

    for (uint32_t k = 0; k < said->len; k++) {
        uint32_t row = item_feature_row(&model->features, &said->at[k]);
        of->run[of->run_len] = row == FEATURE_NONE ? FEATURE_NONE : sum_of(model, row);
        of->run_len += row != FEATURE_NONE;
    }
}

void fm_items_gather(struct model *model)
{
    struct fm_event *event = &model->event;
    struct item_features *of = &model->said;
    size_t d = model->options.dimensions, most = (size_t)event->targets_len * ITEM_FEATURES_MAX;

    of->sums_len = 0;
    of->run_len = 0;
    fr_reserve((void **)&of->run, &of->run_room, most, sizeof(*of->run));
    fr_reserve((void **)&of->sums, &of->sums_room, most, sizeof(*of->sums));
    fr_reserve((void **)&of->rows, &of->rows_room, most, sizeof(*of->rows));
    fr_reserve((void **)&of->dots, &of->dots_room, most, sizeof(*of->dots));
    for (uint32_t k = 0; k < event->targets_len; k++) {
        struct item_said_of *said = item_features_of(of, event->target[k]);
        event->run[k] = (uint32_t)of->run_len;
        if (said)
            target_gather(model, said);
    }
    event->run[event->targets_len] = (uint32_t)of->run_len;
    model->kernels->dots(embedding_vector(&model->features.rows, 0), of->rows, of->sums_len, d, event->user, of->dots);
    for (uint32_t s = 0; s < of->sums_len; s++)
        of->sums[s] = (struct item_sum){.bias = embedding_state(&model->features.rows, of->rows[s])->bias};
    for (uint32_t k = 0; k < event->targets_len; k++) {
        const struct item_said_of *said = item_features_of(of, event->target[k]);
        for (uint32_t at = event->run[k]; at < event->run[k + 1]; at++) {
            uint32_t s = of->run[at];
            event->score[k] += said->vector * of->dots[s] + said->bias * of->sums[s].bias;
        }
    }
}

void fm_items_step(struct model *model, float square)
{
    struct fm_event *event = &model->event;
    struct item_features *of = &model->said;
    struct embedding *rows = &model->features.rows;

    for (uint32_t k = 0; k < event->targets_len; k++) {
        const struct item_said_of *said = item_features_of(of, event->target[k]);
        for (uint32_t at = event->run[k]; at < event->run[k + 1]; at++) {
            of->sums[of->run[at]].error += event->error[k] * said->vector;
            of->sums[of->run[at]].leaning += event->error[k] * said->bias;
        }
    }
    for (uint32_t s = 0; s < of->sums_len; s++) {
        const struct item_sum *sum = &of->sums[s];
        uint32_t row = of->rows[s];
        embedding_change(rows, row);
        fm_item_row_step(model, embedding_vector(rows, row), embedding_state(rows, row), sum->error, sum->leaning, square);
    }
    model->view.moving = model->view.moving || of->sums_len;
}

/* ---- publication ---- */

void fm_compose(void *owner, uint32_t c, struct shown_chunk *chunk)
{
    struct model *model = owner;
    size_t d = model->options.dimensions;
    uint32_t first = c * SHOWN_ROWS, left = model->items.len - first;

    if (!item_features_any(&model->said) || !item_features_in(&model->said, c))
        return;
    for (uint32_t k = 0; k < SHOWN_ROWS && k < left; k++) {
        struct item_said_of *said = item_features_of(&model->said, first + k);
        float *vector = chunk->vectors + k * d;
        for (uint32_t f = 0; said && f < said->len; f++) {
            uint32_t row = item_feature_row(&model->features, &said->at[f]);
            if (row == FEATURE_NONE)
                continue;
            if (isinf(chunk->biases[k])) { /* nothing has been learned of the item itself */
                memset(vector, 0, d * sizeof(float));
                chunk->biases[k] = 0;
            }
            model->kernels->step(vector, said->vector, embedding_vector(&model->features.rows, row), d);
            chunk->biases[k] += said->bias * embedding_state(&model->features.rows, row)->bias;
        }
    }
}

static uint64_t *made_of(const struct model *model, uint32_t c)
{
    return fr_array_at(&model->view.made, c);
}

/* All of its items that have features are shown anew. */
static void chunk_make(struct model *model, uint32_t c)
{
    for (uint32_t item = c * SHOWN_ROWS; item < (c + 1) * SHOWN_ROWS && item < model->items.len; item++)
        if (item_features_of(&model->said, item))
            embedding_show(&model->items, item);
    *made_of(model, c) = model->view.now;
}

void fm_items_publish(struct model *model)
{
    struct fm_view *view = &model->view;
    const struct shown *shown = embedding_shown(&model->items);
    const struct features_hand *hand = &model->features.state;
    uint32_t chunks = (model->items.len + SHOWN_ROWS - 1) / SHOWN_ROWS, made = 0, next = view->cursor;
    uint64_t came_and_went = hand->admitted + hand->expired + hand->evicted;

    view->now++;
    view->behind = false;
    if (!item_features_any(&model->said))
        return;
    if (view->moving || view->came_and_went != came_and_went)
        view->moved = view->now;
    view->moving = false;
    view->came_and_went = came_and_went;
    for (uint32_t walked = 0; walked < chunks; walked++) {
        uint32_t c = (view->cursor + walked) % chunks;
        if (*made_of(model, c) >= view->moved || !item_features_in(&model->said, c))
            continue;
        bool anyway = !shown || c >= shown->chunks_len || embedding_unshown(&model->items, c);
        if (!anyway && made == PUBLISHED_AT_ONCE) {
            view->behind = true;
            continue;
        }
        chunk_make(model, c);
        made += !anyway;
        next = anyway ? next : (c + 1) % chunks;
    }
    view->cursor = next;
}

bool fm_behind(const struct model *model)
{
    return model->view.behind;
}
