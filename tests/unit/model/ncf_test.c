/*
 * ncf_test.c -- the neural model as the engine meets it: what is learned and what is not, answers, restarts, widths of vector,
 * numbers that are none, askers beside the learner. Gradients: ncf_gradient_test.c; publication: ncf_view_test.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cell_store.h"
#include "learner_checks.h"
#include "ncf_driver.h"

static struct model_stats stats_of(const struct driver *driver)
{
    struct model_stats stats;

    ncf_ops.stats(driver->model, &stats);
    return stats;
}

static uint32_t best_of(const double *value)
{
    uint32_t best = 0;

    for (uint32_t item = 1; item < ITEMS; item++)
        best = value[item] > value[best] ? item : best;
    return best;
}

/* ---- learning ---- */

/* Users come from ten corners of the catalogue; a random item is of one's own corner one time in ten. */
static void what_is_liked_together_is_ranked_first(void **state)
{
    struct driver *driver = driver_new(&ncf_defaults);
    uint32_t own = 0;

    (void)state;
    driver_events(driver, 0, 20000);
    driver_publish(driver);
    for (uint32_t user = 0; user < USERS; user++) {
        struct query query = driver_query(driver, user);
        own += best_of(driver_ask(driver, &query)) / (ITEMS / 10) == user % 10;
    }
    assert_true(own > USERS * 8 / 10);
    assert_true(driver->model->dense.steps > 500); /* 9 examples each, 256 for a step, some draw the item itself */
    driver_free(driver);
}

static void what_is_not_wanted_is_not_learned(void **state)
{
    struct driver *driver = driver_new(&ncf_defaults);
    const double weights[] = {-1, 0, NAN};

    (void)state;
    driver_events(driver, 0, 500);
    for (uint32_t k = 0; k < 3; k++) {
        struct row_state before = *embedding_state(&driver->model->gmf_items, 7);
        uint32_t examples = driver->model->dense.examples;
        driver_event(driver, 3, 7, weights[k], NULL, 0);
        assert_memory_equal(&before, embedding_state(&driver->model->gmf_items, 7), sizeof(before));
        assert_int_equal(driver->model->dense.examples, examples);
    }
    assert_int_equal(stats_of(driver).events, 503);
    driver_free(driver);
}

/* An event on a known item is learned with the history but for the item, which would tell it away. */
static void a_repeat_is_learned_without_itself(void **state)
{
    struct driver *driver = driver_new(&ncf_defaults);

    (void)state;
    driver_events(driver, 0, 500);
    for (uint32_t item = 0; item < 5; item++)
        driver_event(driver, 3, item, 1, NULL, 0);
    uint32_t count = embedding_state(&driver->model->gmf_items, 2)->count;
    driver_event(driver, 3, 2, 1, NULL, 0);
    assert_int_equal(embedding_state(&driver->model->gmf_items, 2)->count, count + 1);
    for (uint32_t k = 0; k < driver->model->event.terms.len; k++)
        assert_int_not_equal(driver->model->event.terms.item[k], 2);
    assert_int_equal(driver->model->event.terms.item[0], 4);
    driver_free(driver);
}

/* ---- answers ---- */

static void items_never_learned_have_no_score(void **state)
{
    struct driver *driver = driver_new(&ncf_defaults);
    const uint32_t items[] = {5, 299, 1000000};
    double values[3] = {7, 7, 7};

    (void)state;
    struct query query = driver_query(driver, 1);
    for (uint32_t item = 0; item < ITEMS; item++) /* nothing is shown yet */
        assert_true(scores_untouched(driver_ask(driver, &query)[item]));
    ncf_ops.score(driver->model, &query, items, 3, values);
    assert_true(values[0] == 0 && values[1] == 0 && values[2] == 0);
    for (uint32_t k = 0; k < 300; k++)
        driver_event(driver, k % USERS, k * 7 % 100, 1, NULL, 0);
    assert_true(scores_untouched(driver_ask(driver, &query)[5]));
    driver_publish(driver);
    query = driver_query(driver, 1);
    const double *value = driver_ask(driver, &query);
    assert_true(driver->scores.dense);
    for (uint32_t item = 0; item < ITEMS; item++) {
        assert_true(isfinite(value[item]));
        assert_int_equal(scores_untouched(value[item]), item >= 100);
    }
    ncf_ops.score(driver->model, &query, items, 3, values);
    assert_true(values[0] == value[5] && values[1] == 0 && values[2] == 0);
    driver_free(driver);
}

static int descending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left > right ? -1 : left < right;
}

/* <w a, c_j>, as the model has it now. */
static double product_of(const struct driver *driver, const struct query *query, uint32_t item)
{
    const struct model *model = driver->model;
    struct history_terms terms;
    double sum = 0;

    ncf_terms_init(&terms, &model->options, &query->history, NULL, 0, UINT32_MAX);
    for (size_t f = 0; f < model->options.gmf; f++) {
        double a = 0;
        for (uint32_t k = 0; k < terms.len; k++)
            a += (double)terms.x[k] * (double)embedding_vector(&model->gmf_history, terms.item[k])[f];
        sum += (double)model->dense.numbers[model->dense.shape.product + f] * a *
               (double)embedding_vector(&model->gmf_items, item)[f];
    }
    return sum;
}

/* Where only the best matter, the layers rank what the product finds, but for what is not to be found. */
static void the_product_finds_what_the_layers_rank(void **state)
{
    enum { CANDIDATES = 20, OUT = 8 };
    struct ncf_options options = ncf_defaults;
    double all[ITEMS], product[ITEMS], sorted[ITEMS];

    (void)state;
    options.candidates = CANDIDATES;
    struct driver *driver = driver_new(&options);
    driver_events(driver, 0, 5000);
    driver_publish(driver);
    for (uint32_t user = 0; user < USERS; user++) {
        struct query query = driver_query(driver, user);
        uint32_t kept = 0;
        memcpy(all, driver_ask(driver, &query), sizeof(all));
        scores_reset(&driver->scores, ITEMS);
        for (uint32_t item = 0; item < ITEMS; item++) {
            driver->scores.mark[item] = item % OUT == 0 ? SCORES_EXCLUDED : 0;
            product[item] = product_of(driver, &query, item);
            if (item % OUT)
                sorted[kept++] = product[item];
        }
        qsort(sorted, kept, sizeof(*sorted), descending);
        driver->scores.dense = false; /* the asker's, before each question */
        query.best = 10;
        ncf_ops.retrieve(driver->model, &query, &driver->scores);
        assert_false(driver->scores.dense);
        assert_int_equal(driver->scores.touched_len, CANDIDATES);
        for (uint32_t k = 0; k < CANDIDATES; k++) {
            uint32_t item = driver->scores.touched[k];
            assert_int_not_equal(item % OUT, 0);
            assert_true(product[item] > sorted[CANDIDATES - 1] - 1e-5);
            assert_true(driver->scores.value[item] == all[item]);
        }
        memset(driver->scores.mark, 0, ITEMS);
        query.best = 100; /* the candidates are at least as many, and the catalogue is small for them */
        assert_memory_equal(driver_ask(driver, &query), all, sizeof(all));
    }
    driver_free(driver);
}

static bool said_evens(const void *catalogue, uint32_t item)
{
    (void)catalogue;
    return item % 2 == 0;
}

/* What nobody holds any more is found as long as there is a record of it, as it is where all are scored. */
static void what_is_held_or_said_is_found(void **state)
{
    struct ncf_options options = ncf_defaults;
    size_t unheld = 0;

    (void)state;
    options.candidates = 20;
    struct driver *driver = driver_new(&options);
    driver->model->host.said = said_evens;
    driver_events(driver, 0, 5000);
    driver_publish(driver);
    for (uint32_t item = 0; item < ITEMS; item++)
        atomic_store(&driver->users_of_item[item], item % 3 == 0);
    for (uint32_t user = 0; user < USERS; user++) {
        struct query query = driver_query(driver, user);
        query.best = 10;
        scores_reset(&driver->scores, ITEMS);
        driver->scores.dense = false;
        ncf_ops.retrieve(driver->model, &query, &driver->scores);
        assert_int_equal(driver->scores.touched_len, 20);
        for (uint32_t k = 0; k < 20; k++) {
            uint32_t item = driver->scores.touched[k];
            assert_true(item % 3 == 0 || item % 2 == 0);
            unheld += item % 3 != 0;
        }
    }
    assert_true(unheld > 100);
    driver_free(driver);
}

static struct query without(struct query query, struct person *room, uint32_t item)
{
    room->len = 0;
    for (uint32_t slot = 0; slot < query.history.len; slot++) {
        if (query.history.item[slot] == item)
            continue;
        room->item[room->len] = query.history.item[slot];
        room->stamp[room->len] = query.history.stamp[slot];
        room->affinity[room->len++] = query.history.affinity[slot];
    }
    query.history = person_view(room);
    return query;
}

static void a_reason_is_what_the_score_would_lose(void **state)
{
    struct driver *driver = driver_new(&ncf_defaults);
    struct reason_part parts[NCF_HISTORY_MAX], few[3];
    const uint32_t item = 65;
    static struct person room;
    double score, lost;

    (void)state;
    driver_events(driver, 0, 5000);
    driver_publish(driver);
    struct query query = driver_query(driver, 2);
    size_t len = ncf_ops.explain(driver->model, &query, item, &driver->scores, parts, NCF_HISTORY_MAX);
    assert_int_equal(len, 20);
    ncf_ops.score(driver->model, &query, &item, 1, &score);
    for (size_t k = 0; k < len; k++) {
        struct query others = without(query, &room, parts[k].item);
        assert_int_equal(others.history.len, query.history.len - 1);
        ncf_ops.score(driver->model, &others, &item, 1, &lost);
        assert_true(parts[k].contribution == score - lost);
        assert_true(k == 0 || fabs(parts[k].contribution) <= fabs(parts[k - 1].contribution));
    }
    assert_int_equal(ncf_ops.explain(driver->model, &query, item, &driver->scores, few, 3), 3);
    for (size_t k = 0; k < 3; k++)
        assert_true(few[k].item == parts[k].item && few[k].contribution == parts[k].contribution);
    assert_int_equal(ncf_ops.explain(driver->model, &query, item, &driver->scores, few, 0), 0);
    assert_int_equal(ncf_ops.explain(driver->model, &query, ITEMS, &driver->scores, few, 3), 0);
    driver_free(driver);
}

static void neighbours_are_cosines_above_0(void **state)
{
    struct driver *driver = driver_new(&ncf_defaults);
    uint32_t own = 0;

    (void)state;
    driver_events(driver, 0, 20000);
    driver_publish(driver);
    for (uint32_t item = 0; item < ITEMS; item += 10) {
        scores_reset(&driver->scores, ITEMS);
        ncf_ops.neighbours(driver->model, item, &driver->scores);
        assert_false(scores_touched(&driver->scores, item));
        for (uint32_t k = 0; k < driver->scores.touched_len; k++) {
            double value = driver->scores.value[driver->scores.touched[k]];
            assert_true(value > 0 && value <= 1.00001);
        }
        own += best_of(driver->scores.value) / (ITEMS / 10) == item / (ITEMS / 10);
    }
    assert_true(own > ITEMS / 10 * 8 / 10);
    driver_free(driver);
}

/* ---- the same bits ---- */

static void assert_same_rows(const struct embedding *a, const struct embedding *b)
{
    assert_int_equal(a->len, b->len);
    for (uint32_t row = 0; row < a->len; row++) {
        if (!embedding_state(a, row)->count && !embedding_state(b, row)->count)
            continue;
        assert_memory_equal(embedding_state(a, row), embedding_state(b, row), sizeof(struct row_state));
        assert_memory_equal(embedding_vector(a, row), embedding_vector(b, row), a->d * sizeof(float));
    }
}

static void assert_same_models(struct driver *a, struct driver *b)
{
    assert_same_rows(&a->model->gmf_items, &b->model->gmf_items);
    assert_same_rows(&a->model->mlp_items, &b->model->mlp_items);
    assert_same_rows(&a->model->gmf_history, &b->model->gmf_history);
    assert_same_rows(&a->model->mlp_history, &b->model->mlp_history);
    assert_memory_equal(a->model->dense.numbers, b->model->dense.numbers,
                        4 * a->model->dense.shape.len * sizeof(float));
    assert_int_equal(a->model->dense.steps, b->model->dense.steps);
    assert_int_equal(a->model->dense.examples, b->model->dense.examples);
    assert_int_equal(a->model->seen, b->model->seen);
    driver_publish(a);
    driver_publish(b);
    for (uint32_t user = 0; user < USERS; user++) {
        struct query query = driver_query(a, user);
        driver_ask(a, &query);
        driver_ask(b, &query);
        assert_memory_equal(a->scores.value, b->scores.value, ITEMS * sizeof(double));
    }
}

/* Killed after a save, in the middle of a batch, with events learned after it that are learned again. */
static void killed_and_restarted_is_as_if_never_stopped(void **state)
{
    struct driver *driver = driver_new(&ncf_defaults), *after = driver_new(&ncf_defaults), saved;
    struct cell_store *store = fr_zalloc(1, sizeof(*store));

    (void)state;
    for (uint64_t at = 0; at < 5000; at += 500) {
        driver_events(driver, at, at + 500);
        driver_publish(driver);
        driver_save(driver);
        cell_store_take(store, driver->journal);
    }
    driver_save(driver);
    assert_true(journal_empty(driver->journal)); /* nothing has changed */
    assert_true(driver->model->dense.examples > 0 && driver->model->dense.gradient[0] != 0);
    saved = *driver; /* the engine's part, which the engine keeps */
    driver_events(driver, 5000, 5200);

    cell_store_load(store, &ncf_ops, after->model);
    memcpy(after->people, saved.people, sizeof(saved.people));
    after->events = saved.events;
    driver_events(driver, 5200, 8000);
    driver_events(after, 5000, 8000);
    assert_int_equal(stats_of(after).events, 8000);
    assert_same_models(driver, after);
    cell_store_free(store);
    driver_free(driver);
    driver_free(after);
}

/* What was loaded is shown by the first publication, before anything is learned. */
static void what_was_loaded_answers(void **state)
{
    struct driver *driver = driver_new(&ncf_defaults), *after = driver_new(&ncf_defaults);
    struct cell_store *store = fr_zalloc(1, sizeof(*store));

    (void)state;
    driver_events(driver, 0, 2000);
    driver_save(driver);
    cell_store_take(store, driver->journal);
    cell_store_load(store, &ncf_ops, after->model);
    assert_same_models(driver, after);
    cell_store_free(store);
    driver_free(driver);
    driver_free(after);
}

static void cells_that_cannot_be_ours_are_refused(void **state)
{
    struct ncf_options options = ncf_defaults;
    struct driver *driver = driver_new(&options), *other;
    struct cell_store *store = fr_zalloc(1, sizeof(*store));
    const uint32_t column = 0;

    (void)state;
    driver_events(driver, 0, 300);
    driver_save(driver);
    cell_store_take(store, driver->journal);
    options.gmf = options.mlp = 48;
    other = driver_new(&options);
    for (size_t t = 0; t < ncf_ops.tables_len; t++) {
        const struct model_table *table = &ncf_ops.tables[t];
        uint32_t row = 0;
        while (!store->first[table->table][row].at)
            row++;
        const struct stored *cell = &store->first[table->table][row];
        const struct fr_bytes bytes = {cell->at, cell->len};
        assert_false(table->load(other->model, row, &column, NULL, &bytes, 1)); /* other dimensions */
        cell_assert_refused(table, driver->model, row, cell);
    }
    cell_assert_refused(&ncf_ops.tables[4], driver->model, NCF_ROW_DENSE, &store->first[TABLE_NCF_DENSE][NCF_ROW_DENSE]);
    const struct fr_bytes first = {store->first[TABLE_NCF_DENSE][NCF_ROW_DENSE].at, 4096};
    assert_false(ncf_ops.tables[4].load(driver->model, NCF_ROW_DENSE, &column, NULL, &first, 1)); /* not all of it */
    cell_store_free(store);
    driver_free(driver);
    driver_free(other);
}

static struct driver *with_kernels(const struct vector_kernels *kernels)
{
    struct driver *driver = driver_new(&ncf_defaults);

    driver->model->kernels = kernels;
    return driver;
}

static void every_width_of_vector_learns_the_same(void **state)
{
    (void)state;
    assert_widths_learn_the_same(with_kernels);
}

/* ---- what must not happen ---- */

static void assert_finite_but(const struct embedding *rows, uint32_t but)
{
    for (uint32_t item = 0; item < ITEMS; item++) {
        for (size_t k = 0; k < rows->d; k++)
            assert_true(item == but || isfinite(embedding_vector(rows, item)[k]));
    }
}

static void numbers_that_are_none_are_counted_and_go_no_further(void **state)
{
    struct driver *driver = driver_new(&ncf_defaults);
    struct model *model = driver->model;

    (void)state;
    driver_events(driver, 0, 1000);
    embedding_vector(&model->gmf_items, 17)[3] = NAN;
    embedding_vector(&model->mlp_items, 90)[31] = NAN;
    embedding_vector(&model->gmf_history, 40)[0] = INFINITY;
    embedding_vector(&model->mlp_history, 200)[0] = NAN;
    driver_event(driver, 1, 9, INFINITY, NULL, 0);
    assert_int_equal(stats_of(driver).skipped, 1);
    driver_events(driver, 1000, 3000);
    assert_true(stats_of(driver).skipped > 100 && stats_of(driver).skipped < 1900);
    assert_finite_but(&model->gmf_items, 17);
    assert_finite_but(&model->mlp_items, 90);
    assert_finite_but(&model->gmf_history, 40);
    assert_finite_but(&model->mlp_history, 200);
    for (size_t k = 0; k < 4 * model->dense.shape.len; k++)
        assert_true(isfinite(model->dense.numbers[k]));
    driver_publish(driver);
    const struct seed seeds[] = {{3, 1, 0}, {70, 1, 0}};
    struct query query = {.seeds = seeds, .seeds_len = 2, .items = ITEMS};
    const double *value = driver_ask(driver, &query);
    for (uint32_t item = 0; item < ITEMS; item++)
        assert_int_equal(scores_untouched(value[item]), item == 17 || item == 90);
    driver_free(driver);
}

static void rows_that_run_away_are_cut_back(void **state)
{
    struct ncf_options options = ncf_defaults;

    (void)state;
    options.eta = 50;
    struct driver *driver = driver_new(&options);
    const struct embedding *rows[] = {&driver->model->gmf_items, &driver->model->mlp_items, &driver->model->gmf_history,
                                      &driver->model->mlp_history};
    driver_events(driver, 0, 3000);
    assert_true(stats_of(driver).guarded > 0);
    for (size_t t = 0; t < 4; t++) {
        for (uint32_t item = 0; item < ITEMS; item++)
            assert_true(driver->model->kernels->norm(embedding_vector(rows[t], item), 32) <= 100.01F);
    }
    driver_free(driver);
}

static uint32_t ask_all(const struct driver *driver, struct scores *scores)
{
    const struct model *model = driver->model;
    const struct seed seeds[] = {{3, 1, 0}, {70, 1, 0}, {8, 1, 0}};
    const uint32_t items[] = {1, 2, 299};
    struct query query = {.seeds = seeds, .seeds_len = 3, .items = ITEMS};
    struct reason_part parts[5];
    struct model_stats stats;
    double values[3];

    scores_reset(scores, ITEMS);
    ncf_ops.retrieve(model, &query, scores);
    uint32_t wrong = numbers_not_finite(scores);
    query.best = 5;
    scores_reset(scores, ITEMS);
    ncf_ops.retrieve(model, &query, scores);
    ncf_ops.score(model, &query, items, 3, values);
    ncf_ops.explain(model, &query, 2, scores, parts, 5);
    scores_reset(scores, ITEMS);
    ncf_ops.neighbours(model, 2, scores);
    ncf_ops.stats(model, &stats);
    return wrong;
}

static void askers_beside_the_learner(void **state)
{
    struct ncf_options options = ncf_defaults;

    (void)state;
    options.candidates = 20;
    assert_asked_beside_the_learner(driver_new(&options), ask_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_liked_together_is_ranked_first),
        cmocka_unit_test(what_is_not_wanted_is_not_learned),
        cmocka_unit_test(a_repeat_is_learned_without_itself),
        cmocka_unit_test(items_never_learned_have_no_score),
        cmocka_unit_test(the_product_finds_what_the_layers_rank),
        cmocka_unit_test(what_is_held_or_said_is_found),
        cmocka_unit_test(a_reason_is_what_the_score_would_lose),
        cmocka_unit_test(neighbours_are_cosines_above_0),
        cmocka_unit_test(killed_and_restarted_is_as_if_never_stopped),
        cmocka_unit_test(what_was_loaded_answers),
        cmocka_unit_test(cells_that_cannot_be_ours_are_refused),
        cmocka_unit_test(every_width_of_vector_learns_the_same),
        cmocka_unit_test(numbers_that_are_none_are_counted_and_go_no_further),
        cmocka_unit_test(rows_that_run_away_are_cut_back),
        cmocka_unit_test(askers_beside_the_learner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
