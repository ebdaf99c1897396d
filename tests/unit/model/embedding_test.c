/*
 * embedding_test.c -- rows: what askers are shown, and when; what is journaled; how many bytes a row is; the optimiser's step
 * against the formula.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cell_store.h"
#include "embedding.h"

enum { D = 32, MAX = 1000 };

struct world {
    struct fr_epoch *epoch;
    struct journal *journal;
    struct embedding embedding;
};

static int set_up(void **state)
{
    struct world *world = fr_zalloc(1, sizeof(*world));

    world->epoch = fr_epoch_new();
    world->journal = journal_new();
    embedding_init(&world->embedding, D, MAX, TABLE_FM_ITEMS, false, world->epoch);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    embedding_release(&world->embedding);
    fr_epoch_free(world->epoch);
    journal_free(world->journal);
    free(world);
    return 0;
}

/* The whole row becomes `value`. */
static void set(struct embedding *embedding, uint32_t row, float value)
{
    embedding_change(embedding, row);
    for (size_t k = 0; k < D; k++)
        embedding_vector(embedding, row)[k] = value;
    *embedding_state(embedding, row) = (struct row_state){value, value, value, row, row + 1};
}

static void save(struct world *world)
{
    embedding_save(&world->embedding, world->journal);
    assert_int_equal(embedding_pay(&world->embedding, MAX + 1) > 0, true);
}

static void assert_shown(const struct embedding *embedding, uint32_t row, float value)
{
    const struct shown *shown = embedding_shown(embedding);

    assert_true(row < shown->rows);
    assert_true(shown->chunks[row / SHOWN_ROWS]->biases[row % SHOWN_ROWS] == value);
    for (size_t k = 0; k < D; k++)
        assert_true(shown_vector(shown, D, row)[k] == value);
}

static void what_is_published_is_shown_and_nothing_else(void **state)
{
    struct world *world = *state;
    struct embedding *embedding = &world->embedding;

    assert_null(embedding_shown(embedding));
    embedding_publish(embedding);
    assert_int_equal(embedding_shown(embedding)->rows, 0);
    embedding_extend(embedding, 600);
    for (uint32_t row = 0; row < 600; row += 3)
        set(embedding, row, 1);
    assert_int_equal(embedding_shown(embedding)->rows, 0); /* not before it is published */
    embedding_publish(embedding);
    for (uint32_t row = 0; row < 600; row++) {
        if (row % 3 == 0)
            assert_shown(embedding, row, 1);
        else
            assert_true(embedding_shown(embedding)->chunks[row / SHOWN_ROWS]->biases[row % SHOWN_ROWS] == -INFINITY);
    }
    set(embedding, 3, 2);
    set(embedding, 597, 5);
    assert_shown(embedding, 3, 1);
    const struct shown_chunk *still = embedding_shown(embedding)->chunks[1];
    embedding_publish(embedding);
    assert_shown(embedding, 3, 2);
    assert_shown(embedding, 6, 1);
    assert_shown(embedding, 597, 5);
    assert_ptr_equal(embedding_shown(embedding)->chunks[1], still); /* rows 256 to 511 are as they were */
    const struct shown *shown = embedding_shown(embedding);
    embedding_publish(embedding);
    assert_ptr_equal(embedding_shown(embedding), shown);
    embedding_extend(embedding, 601);
    embedding_publish(embedding);
    assert_int_equal(embedding_shown(embedding)->rows, 601);
}

/* Codes are those of the vectors beside them, whichever rows have changed since they were made. */
static void assert_codes(const struct embedding *embedding)
{
    const struct shown *shown = embedding_shown(embedding);
    static alignas(64) uint8_t code[SHOWN_ROWS * D];
    static float scale[SHOWN_ROWS];
    const struct row_codes anew = {scale, code};

    for (uint32_t c = 0; c < shown->chunks_len; c++) {
        for (size_t row = 0; row < SHOWN_ROWS; row++)
            codes_put(&anew, code_kernels_best(), row, shown->chunks[c]->vectors + row * D, D);
        assert_memory_equal(shown->chunks[c]->codes.code, code, sizeof(code));
        assert_memory_equal(shown->chunks[c]->codes.scale, scale, sizeof(scale));
    }
}

static void a_large_table_shows_codes_of_what_it_shows(void **state)
{
    struct world *world = *state;
    struct embedding *embedding = &world->embedding;

    embedding->coded_above = 500;
    embedding_extend(embedding, 500);
    for (uint32_t row = 0; row < 500; row++)
        set(embedding, row, (float)row - 7);
    embedding_publish(embedding);
    assert_null(embedding_shown(embedding)->chunks[0]->codes.code);
    embedding_extend(embedding, 501);
    embedding_publish(embedding); /* large from here on, and no row has changed */
    assert_codes(embedding);
    embedding_extend(embedding, 700);
    for (uint32_t round = 1; round < 20; round++) {
        for (uint32_t row = round % 3; row < 700; row += 17 * round) {
            set(embedding, row, (float)(row * round) - 1000);
            embedding_vector(embedding, row)[row % D] = (float)round;
        }
        embedding_publish(embedding);
        assert_codes(embedding);
        fr_epoch_reclaim(world->epoch);
    }
}

static void what_a_reader_holds_stays_until_it_has_left(void **state)
{
    struct world *world = *state;
    struct embedding *embedding = &world->embedding;
    struct fr_epoch_reader *reader = fr_epoch_join(world->epoch);

    embedding_extend(embedding, 64);
    set(embedding, 5, 1);
    embedding_publish(embedding);
    fr_epoch_enter(reader);
    const struct shown *held = embedding_shown(embedding);
    for (int k = 2; k < 10; k++) {
        set(embedding, 5, (float)k);
        embedding_publish(embedding);
        fr_epoch_reclaim(world->epoch);
    }
    assert_true(shown_vector(held, D, 5)[D - 1] == 1);
    assert_int_equal(embedding->retired, 2 * 8);
    fr_epoch_leave(reader);
    fr_epoch_reclaim(world->epoch);
    assert_int_equal(embedding->retired, 0);
    assert_shown(embedding, 5, 9);
    fr_epoch_part(reader);
}

struct reading {
    struct world *world;
    _Atomic bool stop;
    _Atomic uint32_t looked, torn, back;
};

/* Every list is of one moment: all its rows have the same number, and numbers only grow. */
static void *keep_looking(void *arg)
{
    struct reading *reading = arg;
    struct fr_epoch_reader *reader = fr_epoch_join(reading->world->epoch);
    float before = 0;

    while (!atomic_load(&reading->stop)) {
        fr_epoch_enter(reader);
        const struct shown *shown = embedding_shown(&reading->world->embedding);
        float first = shown_vector(shown, D, 0)[0];
        for (uint32_t row = 0; row < shown->rows; row++)
            atomic_fetch_add(&reading->torn, shown_vector(shown, D, row)[row % D] != first);
        atomic_fetch_add(&reading->back, first < before);
        before = first;
        fr_epoch_leave(reader);
        atomic_fetch_add(&reading->looked, 1);
    }
    fr_epoch_part(reader);
    return NULL;
}

static void readers_see_whole_moments_while_the_writer_writes(void **state)
{
    struct world *world = *state;
    struct reading reading = {.world = world};
    pthread_t readers[2];

    embedding_extend(&world->embedding, 600);
    embedding_publish(&world->embedding);
    for (int k = 0; k < 2; k++)
        assert_int_equal(pthread_create(&readers[k], NULL, keep_looking, &reading), 0);
    for (uint32_t moment = 1; moment < 100 || atomic_load(&reading.looked) < 200; moment++) {
        for (uint32_t row = 0; row < 600; row++)
            set(&world->embedding, row, (float)moment);
        embedding_publish(&world->embedding);
        fr_epoch_reclaim(world->epoch);
    }
    atomic_store(&reading.stop, true);
    for (int k = 0; k < 2; k++)
        pthread_join(readers[k], NULL);
    assert_int_equal(reading.torn, 0);
    assert_int_equal(reading.back, 0);
}

static void only_what_has_changed_is_journaled_and_it_comes_back_bit_for_bit(void **state)
{
    struct world *world = *state, *other;
    struct cell_store *store = fr_zalloc(1, sizeof(*store));

    set_up((void **)&other);
    embedding_extend(&world->embedding, 500);
    embedding_extend(&other->embedding, 500);
    for (uint32_t row = 0; row < 500; row += 7)
        set(&world->embedding, row, 1.0F / (float)(row + 1));
    save(world);
    cell_store_take(store, world->journal);
    assert_int_equal(store->puts, 72);
    set(&world->embedding, 14, -0.0F);
    set(&world->embedding, 499, NAN);
    save(world);
    cell_store_take(store, world->journal);
    assert_int_equal(store->puts, 74);
    save(world);
    assert_true(journal_empty(world->journal));
    for (uint32_t row = 0; row < 500; row++) {
        const struct stored *cell = &store->first[TABLE_FM_ITEMS][row];
        assert_int_equal(cell->at != NULL, row % 7 == 0 || row == 499);
        if (!cell->at)
            continue;
        assert_int_equal(cell->len, 20 + 4 * D);
        assert_true(embedding_load(&other->embedding, row, (struct fr_bytes){cell->at, cell->len}));
        assert_false(embedding_load(&other->embedding, row, (struct fr_bytes){cell->at, cell->len - 1}));
        assert_false(embedding_load(&other->embedding, 500, (struct fr_bytes){cell->at, cell->len}));
    }
    assert_memory_equal(embedding_vector(&other->embedding, 0), embedding_vector(&world->embedding, 0), 500 * D * 4);
    assert_memory_equal(embedding_state(&other->embedding, 0), embedding_state(&world->embedding, 0), 500 * 20);
    tear_down((void **)&other);
    cell_store_free(store);
}

/* Rows 0 .. 4 are owed: 1 is paid in its turn, 3 before it changes, and what they become later is the next freeze's. */
static void a_row_that_is_owed_is_saved_as_it_was(void **state)
{
    struct world *world = *state;
    struct journal *later = journal_new();
    struct cell_store *store = fr_zalloc(1, sizeof(*store));

    embedding_extend(&world->embedding, 5);
    for (uint32_t row = 0; row < 5; row++)
        set(&world->embedding, row, 1);
    embedding_save(&world->embedding, world->journal);
    assert_true(journal_empty(world->journal));
    assert_int_equal(embedding_pay(&world->embedding, 2), 0);
    set(&world->embedding, 1, 2);
    set(&world->embedding, 3, 2);
    set(&world->embedding, 3, 3);
    embedding_extend(&world->embedding, 600);
    set(&world->embedding, 599, 2);
    assert_int_equal(embedding_pay(&world->embedding, 3), 1);
    cell_store_take(store, world->journal);
    assert_int_equal(store->puts, 5);
    for (uint32_t row = 0; row < 5; row++) {
        float *vector = (float *)(void *)(store->first[TABLE_FM_ITEMS][row].at + sizeof(struct row_state));
        assert_true(vector[0] == 1 && vector[D - 1] == 1);
    }
    set(&world->embedding, 0, 2);
    embedding_save(&world->embedding, later);
    assert_int_equal(embedding_pay(&world->embedding, 100), 96);
    cell_store_take(store, later);
    assert_int_equal(store->puts, 9); /* 0, 1, 3, 599 */
    assert_true(((float *)(void *)(store->first[TABLE_FM_ITEMS][3].at + sizeof(struct row_state)))[0] == 3);
    assert_true(journal_empty(world->journal));
    journal_free(later);
    cell_store_free(store);
}

/* goals.md, Memory: at most 170 bytes per row at d = 32, what is shown apart. */
static void a_row_is_small(void **state)
{
    struct world *world = *state;

    embedding_extend(&world->embedding, MAX);
    assert_true(atomic_load(&world->embedding.bytes) / MAX <= 149);
}

static void the_step_is_leaky_adagrad(void **state)
{
    const struct adagrad adagrad = {0.2F, 0.99F, 0.1F};
    float number = 1, scale = adagrad.g0;
    double want = 1, want_scale = 0.1F;

    (void)state;
    for (int k = 0; k < 1000; k++) {
        float gradient = (float)((k * 37 % 100) - 30) / 50;
        adagrad_number(&adagrad, &number, &scale, gradient);
        want_scale = (double)0.99F * want_scale + (double)gradient * (double)gradient;
        want -= (double)0.2F / sqrt(want_scale) * (double)gradient;
        assert_true(fabs((double)scale - want_scale) <= 1e-5 * want_scale);
        assert_true(fabs((double)number - want) <= 1e-4);
    }
}

/* As short a memory as may be set, and nothing to learn for so long that G is 0. What is met then is learned again. */
static void a_step_of_nothing_is_none_however_long_it_lasts(void **state)
{
    const struct adagrad adagrad = {0.2F, 0.5F, 0.1F};
    float number = 1, scale = adagrad.g0;

    (void)state;
    for (int k = 0; k < 400; k++) {
        adagrad_number(&adagrad, &number, &scale, 0);
        assert_true(number == 1);
    }
    assert_true(scale == 0);
    adagrad_number(&adagrad, &number, &scale, 0.3F);
    assert_true(fabsf(number - 0.8F) < 1e-6F);
    for (float g = 1e-37F; g < 10; g *= 1.7F) /* and what is a number is taken as it is */
        assert_true(adagrad_rate(&adagrad, g) == adagrad.eta / sqrtf(g));
    assert_true(isnan(adagrad_rate(&adagrad, NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_published_is_shown_and_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_table_shows_codes_of_what_it_shows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_reader_holds_stays_until_it_has_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(readers_see_whole_moments_while_the_writer_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_what_has_changed_is_journaled_and_it_comes_back_bit_for_bit, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_row_that_is_owed_is_saved_as_it_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_row_is_small, set_up, tear_down),
        cmocka_unit_test(the_step_is_leaky_adagrad),
        cmocka_unit_test(a_step_of_nothing_is_none_however_long_it_lasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
