/*
 * fm_gradient_test.c -- one event's steps against the loss itself: gradients by finite differences of a loss that is written
 * down here in double precision, with all pairs of features where fm.c has the split form, and AdaGrad by its formula.
 *
 * A step gives its gradient away: v' - v = -eta / sqrt(G') g. So the rows before and after say what g was.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fm_driver.h"
#include "sanitized.h"

enum { EVENTS = SANITIZED ? 10 : 60 }; /* looked at, after 2,000 that are learned */
enum { D = 16, TERMS_MOST = FM_HISTORY_MAX + FM_CONTEXT_MAX + 1, FEATURES = 16, FEATURES_EACH = 3 };

/* All that the loss depends on, of one event. */
struct point {
    enum fm_loss loss;
    bool second_order;
    double intercept, rating, share; /* share: items for each negative */
    size_t sides_len, targets_len, terms_len;
    double x[TERMS_MOST], side[TERMS_MOST][D], side_bias[TERMS_MOST];
    double target[FM_TARGETS_MAX][D], target_bias[FM_TARGETS_MAX];
    size_t features_len; /* of the targets */
    uint32_t row[FEATURES];
    double feature[FEATURES][D], feature_bias[FEATURES];
    double said[FM_TARGETS_MAX]; /* how many the target is said to have */
    bool has[FM_TARGETS_MAX][FEATURES];
};

static double dot(const double *a, const double *b)
{
    double sum = 0;

    for (size_t k = 0; k < D; k++)
        sum += a[k] * b[k];
    return sum;
}

/* A target's side: its own row and those of its features. */
static double item_of(const struct point *point, size_t target, double item[D])
{
    double bias = point->target_bias[target];

    memcpy(item, point->target[target], D * sizeof(*item));
    for (size_t f = 0; f < point->features_len; f++) {
        if (!point->has[target][f])
            continue;
        bias += point->feature_bias[f] / point->said[target];
        for (size_t k = 0; k < D; k++)
            item[k] += point->feature[f][k] / sqrt(point->said[target]);
    }
    return bias;
}

/* The definition: every pair of a user's feature and the item; every pair of the user's features. */
static double score_of(const struct point *point, size_t target)
{
    double item[D], score = point->intercept + item_of(point, target, item);

    for (size_t f = 0; f < point->sides_len; f++) {
        score += point->side_bias[f] + point->x[f] * dot(point->side[f], item);
        for (size_t g = 0; g < f && point->second_order; g++)
            score += point->x[f] * point->x[g] * dot(point->side[f], point->side[g]);
    }
    return score;
}

static double loss_of(const struct point *point)
{
    double loss = 0, sum = 0;

    switch (point->loss) {
    case FM_SOFTMAX:
        for (size_t k = 0; k < point->targets_len; k++)
            sum += exp(score_of(point, k)) * (k ? point->share : 1);
        return log(sum) - score_of(point, 0);
    case FM_LOGISTIC:
        for (size_t k = 0; k < point->targets_len; k++)
            loss += log1p(exp(k ? score_of(point, k) : -score_of(point, k)));
        return loss;
    case FM_SQUARED:
        return (score_of(point, 0) - point->rating) * (score_of(point, 0) - point->rating) / 2;
    }
    return 0;
}

static double slope(struct point *point, double *number)
{
    const double step = 1e-5, was = *number;

    *number = was + step;
    double above = loss_of(point);
    *number = was - step;
    double below = loss_of(point);
    *number = was;
    return (above - below) / (2 * step);
}

static void copy_row(double *to, const struct embedding *embedding, uint32_t row)
{
    for (size_t k = 0; k < D; k++)
        to[k] = (double)embedding_vector(embedding, row)[k];
}

struct before {
    struct fm_numbers numbers;
    float items[ITEMS][D], history[ITEMS][D], features[1000][D];
    struct row_state item_states[ITEMS], history_states[ITEMS], feature_states[1000];
};

static void remember(struct before *before, const struct model *model)
{
    before->numbers = model->numbers;
    memcpy(before->items, embedding_vector(&model->items, 0), sizeof(before->items));
    memcpy(before->history, embedding_vector(&model->history, 0), sizeof(before->history));
    memcpy(before->features, embedding_vector(&model->features.rows, 0), sizeof(before->features));
    memcpy(before->item_states, embedding_state(&model->items, 0), sizeof(before->item_states));
    memcpy(before->history_states, embedding_state(&model->history, 0), sizeof(before->history_states));
    memcpy(before->feature_states, embedding_state(&model->features.rows, 0), sizeof(before->feature_states));
}

static void widen(double *to, const float *from)
{
    for (size_t k = 0; k < D; k++)
        to[k] = (double)from[k];
}

/* Every third item has no features; the others have up to three of a few, some of which are contexts too, and not the same. */
static size_t features_of(uint32_t item, uint64_t keys[FEATURES_EACH])
{
    size_t len = 0;

    if (item % 3 == 0)
        return 0;
    keys[len++] = 1 + item % 5;
    if (item % 2)
        keys[len++] = 20 + item % 4;
    if (item % 7 == 0)
        keys[len++] = 40;
    return len;
}

static void say_features(struct driver *driver)
{
    for (uint32_t item = 0; item < ITEMS; item++) {
        uint64_t keys[FEATURES_EACH];
        size_t len = features_of(item, keys);
        fm_ops.describe(driver->model, item, keys, len);
    }
}

static uint32_t feature_row(const struct model *model, uint64_t key)
{
    return model->said.items_len && item_features_any(&model->said) ? features_find(&model->features, item_feature_key(key)) : FEATURE_NONE;
}

/* The target `k` of the point is this item. */
static void point_target(struct point *point, const struct model *model, const struct before *before, size_t k, uint32_t item)
{
    uint64_t keys[FEATURES_EACH];
    size_t len = features_of(item, keys);

    widen(point->target[k], before->items[item]);
    point->target_bias[k] = (double)before->item_states[item].bias;
    point->said[k] = (double)len;
    memset(point->has[k], false, sizeof(point->has[k]));
    for (size_t i = 0; i < len; i++) {
        uint32_t row = feature_row(model, keys[i]);
        size_t f = 0;
        while (f < point->features_len && point->row[f] != row)
            f++;
        if (row == FEATURE_NONE)
            continue;
        assert_true(f < FEATURES);
        point->features_len += f == point->features_len;
        point->row[f] = row;
        widen(point->feature[f], before->features[row]);
        point->feature_bias[f] = (double)before->feature_states[row].bias;
        point->has[k][f] = true;
    }
}

static double bias_of(const struct model *model, const struct before *before, uint32_t item)
{
    uint64_t keys[FEATURES_EACH];
    size_t len = features_of(item, keys);
    double bias = (double)before->item_states[item].bias;

    for (size_t i = 0; i < len; i++) {
        uint32_t row = feature_row(model, keys[i]);
        bias += row == FEATURE_NONE ? 0 : (double)before->feature_states[row].bias / (double)len;
    }
    return bias;
}

/* What the event depended on: the rows it touched, as they were. */
static void point_init(struct point *point, const struct model *model, const struct before *before, double rating,
                       double leaning)
{
    const struct fm_event *event = &model->event;

    memset(point, 0, sizeof(*point));
    point->loss = model->options.loss;
    point->second_order = model->options.second_order;
    point->rating = rating;
    point->intercept = point->loss == FM_LOGISTIC ? (double)before->numbers.intercept : 0;
    if (point->loss == FM_SQUARED)
        point->intercept = before->numbers.ratings / (double)before->numbers.rated + leaning;
    point->targets_len = event->targets_len;
    point->share = (double)before->numbers.seen / (double)(event->targets_len - 1);
    point->terms_len = event->terms.len;
    point->sides_len = event->terms.len + event->features_len;
    for (size_t k = 0; k < event->terms.len; k++) {
        point->x[k] = (double)event->terms.x[k];
        widen(point->side[k], before->history[event->terms.item[k]]);
    }
    for (size_t k = event->terms.len, f = 0; f < event->features_len; k++, f++) {
        point->x[k] = 1;
        widen(point->side[k], before->features[event->feature[f]]);
        point->side_bias[k] = (double)before->feature_states[event->feature[f]].bias;
    }
    for (size_t k = 0; k < event->targets_len; k++)
        point_target(point, model, before, k, event->target[k]);
}

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.9g instead of %.9g", got, want);
}

/* The row has made the step of leaky AdaGrad with the gradient that the loss has there, and then shrunk. */
static void assert_row_stepped(struct point *point, double *place, const struct embedding *embedding, uint32_t row,
                               double scale, const struct fm_options *options)
{
    double gradient[D], square = 0, is[D];

    for (size_t k = 0; k < D; k++) {
        gradient[k] = slope(point, &place[k]);
        square += gradient[k] * gradient[k] / D;
    }
    scale = options->rho * scale + square;
    copy_row(is, embedding, row);
    assert_near((double)embedding_state(embedding, row)->scale, scale, 2e-4 * scale);
    for (size_t k = 0; k < D; k++)
        assert_near(is[k], (place[k] - options->eta / sqrt(scale) * gradient[k]) * (1 - options->eta / sqrt(scale) * options->shrink),
                    3e-5);
}

static void assert_number_stepped(struct point *point, double *place, float is, float scale, double eta, double rho)
{
    double gradient = slope(point, place);

    assert_near((double)is, *place - eta / sqrt(rho * (double)scale + gradient * gradient) * gradient, 3e-5);
}

static bool targets_differ(const struct fm_event *event)
{
    for (uint32_t k = 0; k < event->targets_len; k++) {
        for (uint32_t other = 0; other < k; other++) {
            if (event->target[k] == event->target[other])
                return false;
        }
    }
    return true;
}

static double leaning_of(const struct model *model, const struct before *before, const struct history *history, uint32_t but)
{
    double sum = 0, len = 0, mean = before->numbers.ratings / (double)before->numbers.rated;

    for (uint32_t slot = 0; slot < history->len; slot++) {
        const struct row_state *state = &before->item_states[history->item[slot]];
        if (!state->count || history->item[slot] == but)
            continue;
        sum += history->affinity[slot] / stamp_repeats(history->stamp[slot]) - mean - bias_of(model, before, history->item[slot]);
        len++;
    }
    return sum / (len + 5);
}

/* `before` is as of before the last event; everything that event touched has stepped as it must. */
static void assert_event_stepped(const struct driver *driver, const struct before *before, double rating,
                                 double leaning)
{
    const struct model *model = driver->model;
    const struct fm_event *event = &model->event;
    const struct fm_options *options = &model->options;
    static struct point point;

    point_init(&point, model, before, rating, leaning);
    for (uint32_t k = 0; k < event->targets_len; k++) {
        uint32_t item = event->target[k];
        const struct row_state *was = &before->item_states[item], *is = embedding_state(&model->items, item);
        assert_row_stepped(&point, point.target[k], &model->items, item, (double)was->scale, options);
        assert_number_stepped(&point, &point.target_bias[k], is->bias, was->bias_scale, options->eta, options->rho);
    }
    for (uint32_t k = 0; k < event->terms.len; k++) {
        uint32_t item = event->terms.item[k];
        const struct row_state *was = &before->history_states[item];
        assert_row_stepped(&point, point.side[k], &model->history, item, was->count ? (double)was->scale : options->g0,
                           options);
    }
    for (uint32_t f = 0; f < event->features_len; f++) {
        uint32_t row = event->feature[f], k = event->terms.len + f;
        const struct row_state fresh = {.scale = (float)options->g0, .bias_scale = (float)options->g0};
        const struct row_state *was = &before->feature_states[row], *is = embedding_state(&model->features.rows, row);
        was = was->count ? was : &fresh;
        assert_row_stepped(&point, point.side[k], &model->features.rows, row, (double)was->scale, options);
        if (options->loss == FM_SOFTMAX)
            assert_true(is->bias == 0);
        else
            assert_number_stepped(&point, &point.side_bias[k], is->bias, was->bias_scale, options->eta, options->rho);
    }
    for (size_t f = 0; f < point.features_len; f++) {
        const struct row_state fresh = {.scale = (float)options->g0, .bias_scale = (float)options->g0};
        const struct row_state *was = &before->feature_states[point.row[f]], *is = embedding_state(&model->features.rows, point.row[f]);
        was = was->count ? was : &fresh;
        assert_row_stepped(&point, point.feature[f], &model->features.rows, point.row[f], (double)was->scale, options);
        assert_number_stepped(&point, &point.feature_bias[f], is->bias, was->bias_scale, options->eta, options->rho);
    }
    if (options->loss == FM_LOGISTIC)
        assert_number_stepped(&point, &point.intercept, model->numbers.intercept, before->numbers.scale,
                              0.01 * options->eta, options->rho);
}

static void steps_are_those_of_the_loss(enum fm_loss loss, bool second_order, double shrink, bool featured)
{
    struct fm_options options = fm_defaults;
    static struct before before;
    unsigned checked = 0;

    options.dimensions = D;
    options.loss = loss;
    options.negatives = 8;
    options.second_order = second_order;
    options.shrink = shrink;
    options.features_max = 1000;
    options.features_admit = 1;
    options.rho = 0.99;
    struct driver *driver = driver_new(&options);
    if (featured)
        say_features(driver);
    driver_events(driver, 0, 2000);
    for (uint64_t number = 2000; number < 2000 + EVENTS; number++) {
        struct person people[USERS];
        memcpy(people, driver->people, sizeof(people));
        remember(&before, driver->model);
        driver_event_at(driver, number);
        const struct fm_event *event = &driver->model->event;
        uint32_t user = 0;
        while (memcmp(&people[user], &driver->people[user], sizeof(people[user])) == 0)
            user++;
        const struct history history = person_view(&people[user]);
        double rating = driver->people[user].affinity[driver->people[user].len - 1];
        if (!targets_differ(event) || person_has(&people[user], event->target[0]) ||
            !before.item_states[event->target[0]].count)
            continue;
        if (loss == FM_SQUARED && fabs((double)event->error[0]) >= 2)
            continue; /* cut, and no slope any more */
        checked++;
        assert_event_stepped(driver, &before, rating,
                             loss == FM_SQUARED ? leaning_of(driver->model, &before, &history, event->target[0]) : 0);
    }
    assert_true(checked > EVENTS / 4);
    assert_int_equal(atomic_load(&driver->model->guarded), 0);
    driver_free(driver);
}

static void softmax(void **state)
{
    (void)state;
    steps_are_those_of_the_loss(FM_SOFTMAX, false, 0, false);
    steps_are_those_of_the_loss(FM_SOFTMAX, false, 0, true);
    steps_are_those_of_the_loss(FM_SOFTMAX, true, 0, false); /* the second order is the same for all targets, and cancels */
}

static void logistic(void **state)
{
    (void)state;
    steps_are_those_of_the_loss(FM_LOGISTIC, false, 0, false);
    steps_are_those_of_the_loss(FM_LOGISTIC, true, 0.05, false);
    steps_are_those_of_the_loss(FM_LOGISTIC, true, 0.05, true);
}

static void squared(void **state)
{
    (void)state;
    steps_are_those_of_the_loss(FM_SQUARED, false, 0.05, false);
    steps_are_those_of_the_loss(FM_SQUARED, false, 0.05, true);
    steps_are_those_of_the_loss(FM_SQUARED, true, 0, false);
}

/* x as its definition says: how far each rating is from what was to be expected. */
static void lean(struct history_terms *terms, const struct model *model, const struct before *before, const struct history *history)
{
    double mean = before->numbers.ratings / (double)before->numbers.rated;
    double leaning = leaning_of(model, before, history, UINT32_MAX);

    for (uint32_t k = 0; k < terms->len; k++) {
        uint32_t slot = 0;
        while (history->item[slot] != terms->item[k])
            slot++;
        double rating = history->affinity[slot] / stamp_repeats(history->stamp[slot]);
        terms->x[k] *= (float)(rating - mean - bias_of(model, before, terms->item[k]) - leaning);
    }
}

/* What askers are told is the model's definition, of the rows there are. */
static void assert_answers(bool featured)
{
    for (int loss = FM_SOFTMAX; loss <= FM_SQUARED; loss++) {
        struct fm_options options = fm_defaults;
        static struct before before;
        static struct point point;
        const uint64_t context[] = {3, 104, 77777};
        options.dimensions = D;
        options.loss = (enum fm_loss)loss;
        options.second_order = true;
        options.features_admit = 1;
        options.features_max = 1000;
        struct driver *driver = driver_new(&options);
        if (featured)
            say_features(driver);
        driver_events(driver, 0, 3000);
        driver_publish(driver);
        struct query query = driver_query(driver, 4);
        query.context = context;
        query.context_len = 3;
        remember(&before, driver->model);
        struct fm_event *event = &driver->model->event; /* the question as an event that is never learned */
        fm_terms_init(&event->terms, &options, &query.history, NULL, 0, UINT32_MAX);
        if (loss == FM_SQUARED)
            lean(&event->terms, driver->model, &before, &query.history);
        event->features_len = 2; /* 77777 is nobody's */
        event->feature[0] = features_find(&driver->model->features, 3);
        event->feature[1] = features_find(&driver->model->features, 104);
        event->targets_len = 0;
        point_init(&point, driver->model, &before, 0,
                   loss == FM_SQUARED ? leaning_of(driver->model, &before, &query.history, UINT32_MAX) : 0);
        const double *value = driver_ask(driver, &query);
        for (uint32_t item = 0; item < ITEMS; item++) {
            point_target(&point, driver->model, &before, 0, item);
            assert_near(value[item], score_of(&point, 0), 1e-4);
        }
        driver_free(driver);
    }
}

static void answers_are_the_full_formula(void **state)
{
    (void)state;
    assert_answers(false);
    assert_answers(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax),
        cmocka_unit_test(logistic),
        cmocka_unit_test(squared),
        cmocka_unit_test(answers_are_the_full_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
