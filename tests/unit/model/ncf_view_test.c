/*
 * ncf_view_test.c -- publication in a catalogue that is too large for one: how much is made at once, when it is whole, and that
 * no half of the first layer meets a half of other weights, or weights of other layers.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ncf_parts.h"

enum { MANY = 40000, CHUNKS = (MANY + SHOWN_ROWS - 1) / SHOWN_ROWS, D = 16, AT_ONCE = 64, SEEDS = 5 };

struct world {
    struct fr_epoch *epoch;
    struct journal *journal;
    struct model *model;
    struct scores scores;
    _Atomic uint32_t users_of_item[1], items_held;
    uint64_t events;
    uint32_t past[SEEDS];
};

static struct world *world_new(uint32_t items)
{
    struct world *world = fr_zalloc(1, sizeof(*world));
    struct ncf_options options = ncf_defaults;

    options.gmf = options.mlp = options.layers[0] = options.layers[1] = options.layers[2] = D;
    options.rate = 0.05; /* two moments' weights are not nearly the same */
    options.candidates = 0;
    world->epoch = fr_epoch_new();
    world->journal = journal_new();
    const struct model_host host = {world->epoch, &world->journal, world->users_of_item, &world->items_held, MANY, NULL, NULL, NULL, NULL};
    world->model = ncf_ops.open(&options, &host);
    ncf_ops.extend(world->model, items);
    scores_init(&world->scores);
    return world;
}

static void world_free(struct world *world)
{
    ncf_ops.close(world->model);
    scores_release(&world->scores);
    journal_free(world->journal);
    fr_epoch_free(world->epoch);
    free(world);
}

static void learn(struct world *world, uint32_t item)
{
    static const uint16_t step[SEEDS] = {1, 1, 1, 1, 1};
    static const double affinity[SEEDS] = {1, 1, 1, 1, 1};
    const uint64_t stamp[SEEDS] = {stamp_of(1, 1), stamp_of(2, 1), stamp_of(3, 1), stamp_of(4, 1), stamp_of(5, 1)};
    struct touch touch = {.item = item,
                          .fresh = true,
                          .when = 1000,
                          .weight = 1,
                          .draw = world->events++,
                          .history = {world->past, step, stamp, affinity, NULL, SEEDS}};

    ncf_ops.learn(world->model, &touch);
    world->past[world->events % SEEDS] = item;
}

static void learn_all(struct world *world, uint32_t items)
{
    for (uint32_t k = 0; k < items; k++)
        learn(world, k * 7919 % items);
}

static const struct ncf_view *publish(struct world *world)
{
    ncf_ops.publish(world->model);
    fr_epoch_reclaim(world->epoch);
    return atomic_load(&world->model->shelf.view);
}

/* ---- what is shown against the definition ---- */

/* Rows of a moment. */
struct moment {
    float (*gmf)[D], (*mlp)[D];
};

static struct moment moment_of(const struct world *world)
{
    struct moment moment = {fr_alloc(sizeof(float[MANY][D])), fr_alloc(sizeof(float[MANY][D]))};

    memcpy(moment.gmf, embedding_vector(&world->model->gmf_items, 0), sizeof(float[MANY][D]));
    memcpy(moment.mlp, embedding_vector(&world->model->mlp_items, 0), sizeof(float[MANY][D]));
    return moment;
}

static void moment_free(struct moment *moment)
{
    free(moment->gmf);
    free(moment->mlp);
}

/* All of it with one moment's weights, an item at a time. */
static double score_of(const struct world *world, const float *numbers, const struct moment *moment,
                       const struct history_terms *terms, uint32_t item)
{
    const struct dense_shape *shape = &world->model->dense.shape;
    double score = (double)numbers[shape->intercept], in[2 * D] = {0}, out[D];

    for (size_t f = 0; f < D; f++) {
        double a = 0;
        for (uint32_t k = 0; k < terms->len; k++) {
            a += (double)terms->x[k] * (double)embedding_vector(&world->model->gmf_history, terms->item[k])[f];
            in[f] += (double)terms->x[k] * (double)embedding_vector(&world->model->mlp_history, terms->item[k])[f];
        }
        score += (double)numbers[shape->product + f] * a * (double)moment->gmf[item][f];
        in[D + f] = (double)moment->mlp[item][f];
    }
    for (size_t l = 0; l < NCF_LAYERS; l++) {
        for (size_t o = 0; o < D; o++) {
            out[o] = (double)numbers[shape->bias[l] + o];
            for (size_t i = 0; i < shape->in[l]; i++)
                out[o] += in[i] * (double)numbers[shape->weights[l] + i * D + o];
        }
        for (size_t o = 0; o < D; o++)
            in[o] = out[o] > 0 ? out[o] : 0;
    }
    for (size_t o = 0; o < D; o++)
        score += (double)numbers[shape->output + o] * in[o];
    return score;
}

/* Chunks of the new weights are of `now`, others of `then`; scores are the definition's with the chunk's own weights. Returns
 * how many chunks are of now. */
static uint32_t assert_shown(struct world *world, const struct moment *then, const struct moment *now)
{
    const struct ncf_view *view = atomic_load(&world->model->shelf.view);
    const struct seed seeds[] = {{1, 1, 0}, {20000, 1, 0}, {39999, 1, 0}};
    const struct query query = {.seeds = seeds, .seeds_len = 3, .items = MANY};
    struct history_terms terms;
    double values[SHOWN_ROWS];
    uint32_t items[SHOWN_ROWS], of_now = 0;

    ncf_terms_init(&terms, &world->model->options, &query.history, seeds, 3, UINT32_MAX);
    scores_reset(&world->scores, MANY);
    ncf_ops.retrieve(world->model, &query, &world->scores);
    for (uint32_t c = 0; c < view->chunks_len; c++) {
        bool is_new = view->chunks[c]->weights == view->weights[0];
        uint32_t first = c * SHOWN_ROWS, len = MANY - first < SHOWN_ROWS ? MANY - first : SHOWN_ROWS;
        of_now += is_new;
        assert_true(is_new || view->chunks[c]->weights == view->weights[1]);
        for (uint32_t k = 0; k < len; k++)
            items[k] = first + len - 1 - k;
        ncf_ops.score(world->model, &query, items, len, values);
        for (uint32_t k = 0; k < len; k += 17) { /* prime to the blocks */
            double want = score_of(world, view->chunks[c]->weights->numbers, is_new ? now : then, &terms, items[k]);
            assert_true(fabs(values[k] - want) < 1e-4 * (1 + fabs(want)));
            assert_true(values[k] == world->scores.value[items[k]]);
        }
    }
    return of_now;
}

static void a_large_catalogue_is_shown_part_by_part(void **state)
{
    struct world *world = world_new(MANY);

    (void)state;
    learn_all(world, MANY);
    struct moment then = moment_of(world);
    const struct ncf_view *view = publish(world);
    assert_int_equal(view->chunks_len, CHUNKS);
    assert_int_equal(assert_shown(world, NULL, &then), CHUNKS); /* the first is of all */
    assert_null(view->weights[1]);
    assert_false(ncf_ops.behind(world->model));
    const struct ncf_view *same = publish(world);
    assert_ptr_equal(same, view); /* nothing has changed */

    learn_all(world, MANY);
    struct moment now = moment_of(world);
    uint64_t steps = world->model->dense.steps;
    for (uint32_t made = AT_ONCE; made < CHUNKS; made += AT_ONCE) {
        view = publish(world);
        assert_non_null(view->weights[1]);
        assert_int_equal(view->weights[0]->steps, steps);
        assert_int_equal(assert_shown(world, &then, &now), made);
        assert_true(view->weights[1]->steps < steps);
        assert_true(ncf_ops.behind(world->model));
    }
    view = publish(world);
    assert_null(view->weights[1]);
    assert_int_equal(assert_shown(world, NULL, &now), CHUNKS);
    assert_false(ncf_ops.behind(world->model));
    moment_free(&then);
    moment_free(&now);
    world_free(world);
}

/* However fast the layers move, no third weights come before the first have gone, and what changes is shown within one turn. */
static void there_are_never_more_than_two_weights(void **state)
{
    struct world *world = world_new(MANY);
    uint32_t turn = (CHUNKS + AT_ONCE - 1) / AT_ONCE, waited = 0;

    (void)state;
    learn_all(world, MANY);
    const struct ncf_view *view = publish(world);
    for (uint32_t round = 0; round < 12; round++) {
        uint32_t item = round * 11003 % MANY, published = 0;
        const struct ncf_chunk *was = view->chunks[item / SHOWN_ROWS];
        learn(world, item);
        do {
            learn_all(world, 100);
            assert_true(world->model->dense.steps > view->weights[0]->steps);
            view = publish(world);
            published++;
            for (uint32_t c = 0; c < CHUNKS; c++) {
                const struct ncf_weights *of = view->chunks[c]->weights;
                assert_true(of == view->weights[0] || of == view->weights[1]);
            }
        } while (view->chunks[item / SHOWN_ROWS] == was);
        waited = published > waited ? published : waited;
    }
    assert_true(waited > 1 && waited <= turn);
    world_free(world);
}

static void layers_step(struct world *world)
{
    world->model->dense.gradient[0] = 1;
    world->model->dense.examples = 1;
    assert_true(dense_step(&world->model->dense, &world->model->options));
}

/* The layers move in the middle of a turn, and nothing else: what is left of it, and one of the weights of now. */
static void it_is_behind_until_the_newest_weights_are_everywhere(void **state)
{
    struct world *world = world_new(MANY);
    uint32_t turn = (CHUNKS + AT_ONCE - 1) / AT_ONCE, published = 1;

    (void)state;
    learn_all(world, MANY);
    publish(world);
    assert_false(ncf_ops.behind(world->model));
    layers_step(world);
    const struct ncf_view *view = publish(world);
    layers_step(world);
    for (; ncf_ops.behind(world->model); published++)
        view = publish(world);
    assert_int_equal(published, 2 * turn);
    assert_int_equal(view->weights[0]->steps, world->model->dense.steps);
    assert_null(view->weights[1]);
    world_free(world);
}

static void a_catalogue_that_grows_is_shown_as_it_is_learned(void **state)
{
    struct world *world = world_new(300);

    (void)state;
    assert_int_equal(publish(world)->chunks_len, 2); /* nothing is known of them, and that is shown */
    learn(world, 3);
    ncf_ops.extend(world->model, 1000);
    learn(world, 999);
    const struct ncf_view *view = publish(world);
    assert_int_equal(view->chunks_len, 4);
    assert_true(view->chunks[0]->known[3] && view->chunks[3]->known[999 % SHOWN_ROWS]);
    assert_null(view->chunks[2]);
    const struct query query = {.items = 1000};
    scores_reset(&world->scores, 1000);
    ncf_ops.retrieve(world->model, &query, &world->scores);
    for (uint32_t item = 0; item < 1000; item++)
        assert_int_equal(scores_untouched(world->scores.value[item]), item != 3 && item != 999);
    ncf_ops.extend(world->model, 1001); /* the last chunk has room for it */
    learn(world, 1000);
    assert_true(publish(world)->chunks[3]->known[1000 % SHOWN_ROWS]);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_catalogue_is_shown_part_by_part),
        cmocka_unit_test(there_are_never_more_than_two_weights),
        cmocka_unit_test(it_is_behind_until_the_newest_weights_are_everywhere),
        cmocka_unit_test(a_catalogue_that_grows_is_shown_as_it_is_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
