/*
 * ncf_gradient_test.c -- one event against the loss itself, which is written down here in double precision: gradients of all
 * rows and of all numbers of the layers by finite differences, AdaGrad and Adam by their formulas; and what is asked against the
 * same definition.
 *
 * A row's step gives its gradient away (fm_gradient_test.c); the layers keep theirs until the batch is full.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ncf_driver.h"

enum { GMF = 32, MLP = 16, NEGATIVES = 4, DENSE_MOST = 8192, WIDEST = 64 };

/* All that the loss depends on, of one event. */
struct point {
    const struct dense_shape *shape;
    double numbers[DENSE_MOST];
    size_t terms_len, targets_len;
    double x[NCF_HISTORY_MAX], gmf_history[NCF_HISTORY_MAX][GMF], mlp_history[NCF_HISTORY_MAX][MLP];
    double gmf_item[NEGATIVES + 1][GMF], mlp_item[NEGATIVES + 1][MLP];
};

/* The definition, input by input. */
static double score_of(const struct point *point, size_t target)
{
    const struct dense_shape *shape = point->shape;
    double score = point->numbers[shape->intercept], in[WIDEST] = {0}, out[WIDEST];

    for (size_t f = 0; f < GMF; f++) {
        double a = 0;
        for (size_t k = 0; k < point->terms_len; k++)
            a += point->x[k] * point->gmf_history[k][f];
        score += point->numbers[shape->product + f] * a * point->gmf_item[target][f];
    }
    for (size_t f = 0; f < MLP; f++) {
        for (size_t k = 0; k < point->terms_len; k++)
            in[f] += point->x[k] * point->mlp_history[k][f];
        in[MLP + f] = point->mlp_item[target][f];
    }
    for (size_t l = 0; l < NCF_LAYERS; l++) {
        for (size_t o = 0; o < shape->out[l]; o++) {
            out[o] = point->numbers[shape->bias[l] + o];
            for (size_t i = 0; i < shape->in[l]; i++)
                out[o] += in[i] * point->numbers[shape->weights[l] + i * shape->out[l] + o];
        }
        for (size_t o = 0; o < shape->out[l]; o++)
            in[o] = out[o] > 0 ? out[o] : 0;
    }
    for (size_t o = 0; o < shape->out[NCF_LAYERS - 1]; o++)
        score += point->numbers[shape->output + o] * in[o];
    return score;
}

static double loss_of(const struct point *point)
{
    double loss = 0;

    for (size_t k = 0; k < point->targets_len; k++)
        loss += log1p(exp(k ? score_of(point, k) : -score_of(point, k)));
    return loss;
}

static double slope(struct point *point, double *number)
{
    const double step = 1e-7, was = *number;

    *number = was + step;
    double above = loss_of(point);
    *number = was - step;
    double below = loss_of(point);
    *number = was;
    return (above - below) / (2 * step);
}

struct before {
    float gmf_items[ITEMS][GMF], mlp_items[ITEMS][MLP], gmf_history[ITEMS][GMF], mlp_history[ITEMS][MLP];
    struct row_state states[4][ITEMS]; /* in this order */
    float numbers[DENSE_MOST], gradient[DENSE_MOST];
};

static void remember(struct before *before, const struct model *model)
{
    const struct embedding *tables[] = {&model->gmf_items, &model->mlp_items, &model->gmf_history, &model->mlp_history};

    memcpy(before->gmf_items, embedding_vector(tables[0], 0), sizeof(before->gmf_items));
    memcpy(before->mlp_items, embedding_vector(tables[1], 0), sizeof(before->mlp_items));
    memcpy(before->gmf_history, embedding_vector(tables[2], 0), sizeof(before->gmf_history));
    memcpy(before->mlp_history, embedding_vector(tables[3], 0), sizeof(before->mlp_history));
    for (size_t t = 0; t < 4; t++)
        memcpy(before->states[t], embedding_state(tables[t], 0), sizeof(before->states[t]));
    assert_true(model->dense.shape.len <= DENSE_MOST);
    memcpy(before->numbers, model->dense.numbers, model->dense.shape.len * sizeof(float));
    memcpy(before->gradient, model->dense.gradient, model->dense.shape.len * sizeof(float));
}

static void widen(double *to, const float *from, size_t len)
{
    for (size_t k = 0; k < len; k++)
        to[k] = (double)from[k];
}

static void point_side(struct point *point, const struct model *model, const struct before *before,
                       const struct history_terms *terms)
{
    point->shape = &model->dense.shape;
    widen(point->numbers, before->numbers, model->dense.shape.len);
    point->terms_len = terms->len;
    for (size_t k = 0; k < terms->len; k++) {
        point->x[k] = (double)terms->x[k];
        widen(point->gmf_history[k], before->gmf_history[terms->item[k]], GMF);
        widen(point->mlp_history[k], before->mlp_history[terms->item[k]], MLP);
    }
}

static void point_target(struct point *point, const struct before *before, size_t target, uint32_t item)
{
    widen(point->gmf_item[target], before->gmf_items[item], GMF);
    widen(point->mlp_item[target], before->mlp_items[item], MLP);
}

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.9g instead of %.9g", got, want);
}

/* The row has made the step of leaky AdaGrad with the gradient that the loss has there. */
static void assert_row_stepped(struct point *point, double *place, const struct embedding *rows, uint32_t row,
                               const struct row_state *was, const struct ncf_options *options)
{
    double gradient[WIDEST], square = 0, scale = was->count ? (double)was->scale : options->g0;

    for (size_t k = 0; k < rows->d; k++) {
        gradient[k] = slope(point, &place[k]);
        square += gradient[k] * gradient[k] / (double)rows->d;
    }
    scale = options->rho * scale + square;
    assert_near((double)embedding_state(rows, row)->scale, scale, 2e-4 * scale);
    for (size_t k = 0; k < rows->d; k++)
        assert_near((double)embedding_vector(rows, row)[k], place[k] - options->eta / sqrt(scale) * gradient[k], 3e-5);
}

/* `before` is as of before the last event; everything that event touched has stepped as it must. */
static void assert_event_stepped(const struct driver *driver, const struct before *before)
{
    const struct model *model = driver->model;
    const struct ncf_event *event = &model->event;
    const struct ncf_options *options = &model->options;
    static struct point point;

    point_side(&point, model, before, &event->terms);
    point.targets_len = event->targets_len;
    for (uint32_t k = 0; k < event->targets_len; k++)
        point_target(&point, before, k, event->target[k]);
    for (uint32_t k = 0; k < event->targets_len; k++) {
        uint32_t item = event->target[k];
        assert_row_stepped(&point, point.gmf_item[k], &model->gmf_items, item, &before->states[0][item], options);
        assert_row_stepped(&point, point.mlp_item[k], &model->mlp_items, item, &before->states[1][item], options);
    }
    for (uint32_t k = 0; k < event->terms.len; k++) {
        uint32_t item = event->terms.item[k];
        assert_row_stepped(&point, point.gmf_history[k], &model->gmf_history, item, &before->states[2][item], options);
        assert_row_stepped(&point, point.mlp_history[k], &model->mlp_history, item, &before->states[3][item], options);
    }
    for (size_t k = 0; k < model->dense.shape.intercept + 1; k++) {
        double want = slope(&point, &point.numbers[k]);
        assert_near((double)model->dense.gradient[k] - (double)before->gradient[k], want, 2e-5 + 1e-4 * fabs(want));
    }
}

static bool targets_differ(const struct ncf_event *event)
{
    for (uint32_t k = 0; k < event->targets_len; k++) {
        for (uint32_t other = 0; other < k; other++) {
            if (event->target[k] == event->target[other])
                return false;
        }
    }
    return event->targets_len > 1;
}

static struct ncf_options small(void)
{
    struct ncf_options options = ncf_defaults;

    options.gmf = GMF;
    options.mlp = MLP;
    options.layers[0] = 48;
    options.layers[1] = 32;
    options.negatives = NEGATIVES;
    options.rho = 0.99;
    options.rate = 0.01;
    return options;
}

static void steps_are_those_of_the_loss(void **state)
{
    struct ncf_options options = small();
    static struct before before;
    unsigned checked = 0;

    (void)state;
    struct driver *driver = driver_new(&options);
    struct model *model = driver->model;
    driver_events(driver, 0, 2000);
    model->options.batch = UINT32_MAX; /* the gradient is kept, and numbers stand still */
    for (uint64_t number = 2000; number < 2010; number++) {
        uint32_t guarded = (uint32_t)atomic_load(&model->guarded);
        remember(&before, model);
        memset(model->dense.gradient, 0, model->dense.shape.len * sizeof(float)); /* to see small ones */
        memset(before.gradient, 0, sizeof(before.gradient));
        driver_event_at(driver, number);
        if (!targets_differ(&model->event) || !before.states[0][model->event.target[0]].count)
            continue;
        assert_int_equal(atomic_load(&model->guarded), guarded);
        checked++;
        assert_event_stepped(driver, &before);
    }
    assert_true(checked >= 5);
    driver_free(driver);
}

/* ---- the optimiser ---- */

struct reference {
    double numbers[DENSE_MOST], mean[DENSE_MOST], square[DENSE_MOST];
};

static double reference_step(struct reference *reference, const float *gradient, size_t len, double examples, int steps,
                             const struct ncf_options *o)
{
    static double update[DENSE_MOST];
    double most = 1;

    for (size_t k = 0; k < len; k++) {
        double g = (double)gradient[k] / examples;
        reference->mean[k] = o->beta1 * reference->mean[k] + (1 - o->beta1) * g;
        reference->square[k] = o->beta2 * reference->square[k] + (1 - o->beta2) * g * g;
        double mean = reference->mean[k] / (1 - pow(o->beta1, steps));
        double square = reference->square[k] / (1 - pow(o->beta2, steps));
        update[k] = o->rate * mean / (sqrt(square) + o->epsilon);
        most = fmax(most, fabs(update[k]) / (0.1 * fabs(reference->numbers[k]) + 0.01));
    }
    for (size_t k = 0; k < len; k++)
        reference->numbers[k] -= update[k] / most;
    return most;
}

static float noise(uint64_t *random)
{
    *random = *random * 6364136223846793005U + 1442695040888963407U;
    return (float)(int32_t)(*random >> 32) * 0x1p-31F;
}

static void the_layers_step_is_adams_with_a_bound(void **state)
{
    static struct reference reference;
    const double rates[] = {1e-3, 0.3}; /* the second is cut */

    (void)state;
    for (size_t r = 0; r < 2; r++) {
        struct ncf_options options = small();
        struct dense dense;
        uint64_t random = 1;
        unsigned cut = 0;
        options.rate = rates[r];
        dense_init(&dense, &options);
        memset(&reference, 0, sizeof(reference));
        widen(reference.numbers, dense.numbers, dense.shape.len);
        for (int steps = 1; steps <= 50; steps++) {
            for (size_t k = 0; k < dense.shape.len; k++)
                dense.gradient[k] = 30 * noise(&random) * (float)(1 + steps % 7);
            dense.examples = 256 + (uint32_t)steps % 9;
            cut += reference_step(&reference, dense.gradient, dense.shape.len, dense.examples, steps, &options) > 1;
            assert_true(dense_step(&dense, &options));
            assert_int_equal(dense.examples, 0);
            assert_int_equal(dense.steps, steps);
            for (size_t k = 0; k < dense.shape.len; k++) {
                assert_near((double)dense.numbers[k], reference.numbers[k], 2e-5);
                assert_near((double)dense.mean[k], reference.mean[k], 1e-6);
                assert_true(dense.gradient[k] == 0);
            }
        }
        assert_int_equal(cut, r ? 50 : 0);
        dense_release(&dense);
    }
}

static void a_batch_that_is_no_number_is_dropped(void **state)
{
    struct ncf_options options = small();
    struct dense dense;

    (void)state;
    dense_init(&dense, &options);
    size_t len = dense.shape.len;
    float *was = fr_alloc(3 * len * sizeof(float));
    dense.gradient[3] = 1;
    dense.examples = 256;
    assert_true(dense_step(&dense, &options));
    memcpy(was, dense.numbers, 3 * len * sizeof(float)); /* and both moments */
    dense.gradient[5] = 2;
    dense.gradient[7] = NAN;
    dense.examples = 256;
    assert_false(dense_step(&dense, &options));
    assert_memory_equal(was, dense.numbers, 3 * len * sizeof(float));
    assert_int_equal(dense.steps, 1);
    assert_int_equal(dense.examples, 0);
    for (size_t k = 0; k < len; k++)
        assert_true(dense.gradient[k] == 0);
    free(was);
    dense_release(&dense);
}

static void assert_deviation(const float *numbers, size_t len, double want)
{
    double squares = 0;

    for (size_t k = 0; k < len; k++)
        squares += (double)numbers[k] * (double)numbers[k];
    double share = sqrt(squares / (double)len) / want;
    assert_true(fabs(share - 1) < 4 / sqrt(2 * (double)len)); /* four deviations of it */
}

static void the_layers_begin_as_they_must(void **state)
{
    struct ncf_options options = ncf_defaults;
    struct dense dense, same, other;

    (void)state;
    dense_init(&dense, &options);
    dense_init(&same, &options);
    options.seed++;
    dense_init(&other, &options);
    const struct dense_shape *shape = &dense.shape;
    for (size_t l = 0; l < NCF_LAYERS; l++)
        assert_deviation(dense.numbers + shape->weights[l], shape->in[l] * shape->out[l],
                         sqrt(2.0 / (double)shape->in[l]));
    assert_deviation(dense.numbers + shape->output, 16, 0.25);
    for (size_t k = 0; k < 32; k++)
        assert_true(dense.numbers[shape->product + k] == 1);
    assert_near((double)dense.numbers[shape->intercept], -log(8), 1e-6);
    assert_memory_equal(dense.numbers, same.numbers, 4 * shape->len * sizeof(float));
    assert_true(memcmp(dense.numbers, other.numbers, shape->len * sizeof(float)) != 0);
    dense_release(&dense);
    dense_release(&same);
    dense_release(&other);
}

/* ---- answers ---- */

/* What askers are told is the model's definition, of the rows and numbers there are. */
static void answers_are_the_full_formula(void **state)
{
    struct ncf_options options = small();
    static struct before before;
    static struct point point;
    struct history_terms terms;

    (void)state;
    struct driver *driver = driver_new(&options);
    driver_events(driver, 0, 3000);
    driver_publish(driver);
    remember(&before, driver->model);
    for (uint32_t user = 0; user < USERS; user++) {
        struct query query = driver_query(driver, user);
        ncf_terms_init(&terms, &options, &query.history, NULL, 0, UINT32_MAX);
        point_side(&point, driver->model, &before, &terms);
        const double *value = driver_ask(driver, &query);
        for (uint32_t item = 0; item < ITEMS; item++) {
            double alone;
            point_target(&point, &before, 0, item);
            assert_near(value[item], score_of(&point, 0), 1e-4);
            ncf_ops.score(driver->model, &query, &item, 1, &alone);
            assert_true(alone == value[item]);
        }
    }
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_of_the_loss),
        cmocka_unit_test(the_layers_step_is_adams_with_a_bound),
        cmocka_unit_test(a_batch_that_is_no_number_is_dropped),
        cmocka_unit_test(the_layers_begin_as_they_must),
        cmocka_unit_test(answers_are_the_full_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
