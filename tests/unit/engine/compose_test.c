/*
 * compose_test.c -- random journals against an oracle of plain arrays: what is loaded is what happened, however it was
 * folded.
 */
#include <stdio.h>

#include "cells.h"
#include "compose.h"
#include "folder.h"
#include "freshet/format.h"
#include "freshet/segment.h"
#include "sanitized.h"

struct world {
    struct store *store;
    struct composer *composer;
    struct store_batch *batch;
    struct journal *journal;
    struct cells *cells;
};

static void world_open(struct world *world, struct store *store)
{
    *world = (struct world){.store = store};
    assert_int_equal(format_admit(store, NULL), FR_OK);
    world->composer = composer_new(store);
    world->batch = store->ops->batch_new(store);
    world->journal = journal_new();
    world->cells = calloc(1, sizeof(*world->cells));
}

static void world_close(struct world *world)
{
    composer_free(world->composer);
    world->store->ops->batch_free(world->batch);
    journal_free(world->journal);
    free(world->cells);
}

/* The journal into the store; then it is empty again. */
static void commit(struct world *world)
{
    struct fr_err err;

    if (compose(world->composer, world->journal, world->batch, &err))
        fail_msg("%s", err.text);
    assert_int_equal(world->store->ops->write(world->store, world->batch, &err), FR_OK);
    world->store->ops->batch_clear(world->batch);
    journal_reset(world->journal);
}

/* A new process begins. */
static void restart(struct world *world)
{
    composer_free(world->composer);
    world->composer = composer_new(world->store);
}

static size_t count_keys(struct store *store, enum journal_table table, bool delta)
{
    char prefix[2] = {'s', (char)table};
    struct store_iter *iter = store->ops->iterate(store, (struct fr_bytes){prefix, 2});
    struct fr_bytes name, value;
    struct segment_key key;
    size_t count = 0;

    while (store->ops->next(iter, &name, &value)) {
        assert_true(segment_key_read(name, &key));
        count += key.delta == delta;
    }
    assert_int_equal(store->ops->iter_close(iter, NULL), FR_OK);
    return count;
}

/* ---- random ---- */

static void run_random(struct world *world, uint64_t seed, uint64_t journals, size_t ops)
{
    for (uint64_t n = 1; n <= journals; n++) {
        cells_journal(world->journal, world->cells, seed, n, ops);
        commit(world);
        cells_assert_stored(world->store, world->cells);
        if (n % 17 == 0)
            restart(world);
    }
}

static void random_journals_in_memory_load_as_the_oracle_says(void **state)
{
    (void)state;
    static const size_t ops[] = {3, 40, 400, 4000};

    for (uint64_t seed = 0; seed < (SANITIZED ? 4 : 12); seed++) {
        struct store *store = store_memory_new(NULL);
        struct world world;
        world_open(&world, store);
        run_random(&world, seed, 50, ops[seed % 4]);
        if (ops[seed % 4] >= 400)
            assert_true(composer_figures(world.composer)->folds > 0);
        world_close(&world);
        store->ops->close(store);
    }
}

static void random_journals_on_rocksdb_load_as_the_oracle_says(void **state)
{
    (void)state;
    char folder[256];
    struct store_rocks_options options = {.path = folder_make(folder)};
    struct store *store;
    struct world world;
    struct fr_err err;

    assert_int_equal(store_rocks_open(&store, &options, &err), FR_OK);
    world_open(&world, store);
    for (uint64_t n = 1; n <= 60; n++) {
        cells_journal(world.journal, world.cells, 77, n, 800);
        commit(&world);
        cells_assert_stored(world.store, world.cells);
        if (n % 20 == 0) { /* also from table files */
            composer_free(world.composer);
            store->ops->batch_free(world.batch);
            store->ops->close(store);
            assert_int_equal(store_rocks_open(&store, &options, &err), FR_OK);
            world.store = store;
            world.composer = composer_new(store);
            world.batch = store->ops->batch_new(store);
            cells_assert_stored(world.store, world.cells);
        }
    }
    world_close(&world);
    store->ops->close(store);
    folder_remove(folder);
}

/* ---- folding ---- */

static void a_new_segment_starts_with_a_base_and_goes_on_with_deltas(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct world world;

    world_open(&world, store);
    journal_add(world.journal, TABLE_PAIRS, 1, 2, 1);
    commit(&world);
    assert_int_equal(count_keys(store, TABLE_PAIRS, false), 1);
    assert_int_equal(count_keys(store, TABLE_PAIRS, true), 0);
    for (int i = 0; i < 3; i++) {
        journal_add(world.journal, TABLE_PAIRS, 1, 2, 1);
        commit(&world);
    }
    assert_int_equal(count_keys(store, TABLE_PAIRS, false), 1);
    assert_int_equal(count_keys(store, TABLE_PAIRS, true), 3);
    restart(&world); /* journal numbers go on, so no delta replaces another */
    journal_add(world.journal, TABLE_PAIRS, 1, 2, 1);
    commit(&world);
    assert_int_equal(count_keys(store, TABLE_PAIRS, true), 4);
    world_close(&world);
    store->ops->close(store);
}

static void a_chain_of_small_deltas_is_folded_before_it_is_long(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct world world;
    size_t longest = 0;

    world_open(&world, store);
    for (int i = 0; i < 500; i++) {
        journal_add(world.journal, TABLE_PAIRS, 1, 2, 1);
        commit(&world);
        size_t len = count_keys(store, TABLE_PAIRS, true);
        longest = len > longest ? len : longest;
    }
    /* a delta of one cell is 9 bytes and weighs 73; 57 of them are more than 4096 */
    assert_in_range(longest, 50, 57);
    world_close(&world);
    store->ops->close(store);
}

static void what_is_written_again_stays_in_proportion(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct world world;
    uint64_t random = 5, delta_bytes = 0, fold_bytes = 0;

    world_open(&world, store);
    for (int i = 0; i < 400; i++) {
        for (int k = 0; k < 2000; k++) /* 64 rows, 1,000 columns: the base ends near 200 KB */
            journal_add(world.journal, TABLE_PAIRS, (uint32_t)(cells_random(&random) % 64),
                        (uint32_t)(cells_random(&random) % 1000), 1);
        commit(&world);
    }
    delta_bytes = composer_figures(world.composer)->delta_bytes;
    fold_bytes = composer_figures(world.composer)->fold_bytes_written;
    assert_true(composer_figures(world.composer)->folds > 20);
    /* deltas of half a base, then base and deltas at most: 1.5 for 0.5, and less as many cells are in both */
    assert_true(fold_bytes <= 3 * delta_bytes);
    world_close(&world);
    store->ops->close(store);
}

static void a_cleared_segment_of_one_row_leaves_nothing_behind(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct world world;

    world_open(&world, store);
    for (int i = 0; i < 5; i++) {
        for (uint32_t k = 0; k < 100; k++)
            journal_put(world.journal, TABLE_DEDUP, 7 << 20, (uint32_t)i * 100 + k, "0123456789abcdef", 16);
        commit(&world);
    }
    assert_true(count_keys(store, TABLE_DEDUP, true) > 0);
    journal_clear(world.journal, TABLE_DEDUP, 7 << 20);
    commit(&world);
    assert_int_equal(count_keys(store, TABLE_DEDUP, true), 0);
    assert_int_equal(count_keys(store, TABLE_DEDUP, false), 0);
    world_close(&world);
    store->ops->close(store);
}

/* ---- long rows, long journals ---- */

struct long_row {
    uint64_t cells, total;
};

static bool count_sums(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums, size_t len)
{
    struct long_row *found = context;

    (void)row, (void)columns;
    found->cells += len;
    for (size_t i = 0; i < len; i++)
        found->total += (uint64_t)sums[i];
    return true;
}

static struct long_row load_sums(struct store *store)
{
    struct long_row found = {0, 0};
    struct state_loader loader = {.table = TABLE_PAIRS, .context = &found, .sums = count_sums};
    struct fr_err err;

    if (state_load(store, &loader, 1, &err))
        fail_msg("%s", err.text);
    return found;
}

static void a_row_longer_than_a_chunk_is_cut_and_joined(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct world world;

    world_open(&world, store);
    for (uint32_t i = 0; i < 200000; i++)
        journal_add(world.journal, TABLE_PAIRS, 5, i * 20000, 1);
    commit(&world);
    assert_true(count_keys(store, TABLE_PAIRS, false) >= 5); /* four bytes a cell */
    struct long_row found = load_sums(store);
    assert_int_equal(found.cells, 200000);
    assert_int_equal(found.total, 200000);
    for (uint32_t i = 0; i < 200000; i++) /* all but every tenth goes; it becomes 2 */
        journal_add(world.journal, TABLE_PAIRS, 5, i * 20000, i % 10 ? -1 : 1);
    commit(&world);
    found = load_sums(store);
    assert_int_equal(found.cells, 20000);
    assert_int_equal(found.total, 40000);
    assert_int_equal(count_keys(store, TABLE_PAIRS, true), 0); /* it was folded, and old chunks are gone */
    assert_true(count_keys(store, TABLE_PAIRS, false) < 3);
    world_close(&world);
    store->ops->close(store);
}

static void a_journal_too_long_for_one_slice_is_the_same_as_many_short_ones(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct world world;
    uint64_t random = 9, adds = 0;
    uint32_t others[50];

    world_open(&world, store);
    for (int i = 0; i < 60000; i++) { /* 6 million directed adds */
        for (size_t k = 0; k < 50; k++)
            others[k] = (uint32_t)(cells_random(&random) % 300000);
        journal_star(world.journal, TABLE_PAIRS, (uint32_t)(cells_random(&random) % 300000), others, 50, 1);
        adds += 100;
    }
    journal_clear(world.journal, TABLE_PAIRS, 300001);
    commit(&world);
    assert_int_equal(load_sums(store).total, adds);
    world_close(&world);
    store->ops->close(store);
}

/* ---- damage ---- */

static void change_value(struct store *store, struct fr_bytes key, size_t at)
{
    struct store_batch *batch = store->ops->batch_new(store);
    char *value;
    size_t len;

    assert_int_equal(store->ops->get(store, key, &value, &len, NULL), FR_OK);
    value[at] ^= 1;
    store->ops->batch_put(batch, key, (struct fr_bytes){value, len});
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
    free(value);
}

static void a_damaged_value_stops_loading_and_names_its_place(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct state_loader loader = {.table = TABLE_PAIRS, .context = &(struct long_row){0, 0}, .sums = count_sums};
    struct world world;
    struct fr_err err;
    char room[SEGMENT_KEY_MAX];

    world_open(&world, store);
    journal_add(world.journal, TABLE_PAIRS, 64 * 3 + 1, 2, 1);
    commit(&world);
    change_value(store, segment_key_write(room, &(struct segment_key){.table = TABLE_PAIRS, .segment = 3}), 3);
    assert_int_equal(state_load(store, &loader, 1, &err), FR_CORRUPT);
    assert_non_null(strstr(err.text, "'pairs', segment 3"));
    world_close(&world);
    store->ops->close(store);
}

static void a_missing_chunk_stops_loading(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct state_loader loader = {.table = TABLE_PAIRS, .context = &(struct long_row){0, 0}, .sums = count_sums};
    struct world world;
    struct fr_err err;
    char room[SEGMENT_KEY_MAX];

    world_open(&world, store);
    for (uint32_t i = 0; i < 200000; i++)
        journal_add(world.journal, TABLE_PAIRS, 5, i * 20000, 1);
    commit(&world);
    struct store_batch *batch = store->ops->batch_new(store);
    store->ops->batch_delete(batch, segment_key_write(room, &(struct segment_key){.table = TABLE_PAIRS, .number = 1}));
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
    assert_int_equal(state_load(store, &loader, 1, &err), FR_CORRUPT);
    assert_non_null(strstr(err.text, "missing"));
    world_close(&world);
    store->ops->close(store);
}

static void a_foreign_key_among_the_segments_stops_loading(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct state_loader loader = {.table = TABLE_PAIRS, .context = &(struct long_row){0, 0}, .sums = count_sums};
    struct store_batch *batch = store->ops->batch_new(store);
    struct world world;
    struct fr_err err;

    world_open(&world, store);
    for (uint32_t row = 0; row < 6000; row++)
        journal_add(world.journal, TABLE_PAIRS, row, 2, 1);
    commit(&world);
    store->ops->batch_put(batch, (struct fr_bytes){"s\4\0\0\0\100huh", 9}, FR_BYTES("?"));
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
    assert_int_equal(state_load(store, &loader, 1, &err), FR_CORRUPT);
    assert_non_null(strstr(err.text, "'pairs'"));
    world_close(&world);
    store->ops->close(store);
}

static int (*good_close)(struct store_iter *iter, struct fr_err *err);

static int close_badly(struct store_iter *iter, struct fr_err *err)
{
    good_close(iter, NULL);
    return fr_fail(err, FR_IO, "cannot read from the store: the disk is gone");
}

static void a_store_that_fails_while_it_is_read_stops_loading(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct state_loader loader = {.table = TABLE_PAIRS, .context = &(struct long_row){0, 0}, .sums = count_sums};
    struct store_ops failing = *store->ops;
    struct world world;
    struct fr_err err;

    world_open(&world, store);
    for (uint32_t row = 0; row < 6000; row++)
        journal_add(world.journal, TABLE_PAIRS, row, 2, 1);
    commit(&world);
    const struct store_ops *good = store->ops;
    good_close = good->iter_close;
    failing.iter_close = close_badly;
    store->ops = &failing;
    assert_int_equal(state_load(store, &loader, 1, &err), FR_IO);
    assert_string_equal(err.text, "cannot read from the store: the disk is gone");
    store->ops = good;
    world_close(&world);
    store->ops->close(store);
}

static bool refuse(void *context, uint32_t row, const uint32_t *columns, const int64_t *sums, size_t len)
{
    (void)context, (void)columns, (void)sums, (void)len;
    return row != 70;
}

static void a_loader_may_refuse_a_row_and_it_is_named(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct state_loader loader = {.table = TABLE_PAIRS, .sums = refuse};
    struct world world;
    struct fr_err err;

    world_open(&world, store);
    for (uint32_t row = 60; row < 6000; row++) /* many segments behind it, still being read when it is refused */
        journal_add(world.journal, TABLE_PAIRS, row, 2, 1);
    commit(&world);
    assert_int_equal(state_load(store, &loader, 1, &err), FR_CORRUPT);
    assert_non_null(strstr(err.text, "'pairs', row 70"));
    world_close(&world);
    store->ops->close(store);
}

static void a_segment_that_cannot_be_folded_keeps_taking_deltas(void **state)
{
    (void)state;
    struct store *store = store_memory_new(NULL);
    struct world world;
    char room[SEGMENT_KEY_MAX];

    world_open(&world, store);
    for (uint32_t i = 0; i < 3000; i++)
        journal_add(world.journal, TABLE_PAIRS, 5, i, 1);
    commit(&world);
    change_value(store, segment_key_write(room, &(struct segment_key){.table = TABLE_PAIRS}), 30);
    for (int n = 0; n < 5; n++) {
        for (uint32_t i = 0; i < 3000; i++)
            journal_add(world.journal, TABLE_PAIRS, 5, i, 1);
        commit(&world);
    }
    assert_int_equal(count_keys(store, TABLE_PAIRS, true), 5);
    change_value(store, segment_key_write(room, &(struct segment_key){.table = TABLE_PAIRS}), 30); /* mended */
    assert_int_equal(load_sums(store).total, 18000);
    world_close(&world);
    store->ops->close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_journals_in_memory_load_as_the_oracle_says),
        cmocka_unit_test(random_journals_on_rocksdb_load_as_the_oracle_says),
        cmocka_unit_test(a_new_segment_starts_with_a_base_and_goes_on_with_deltas),
        cmocka_unit_test(a_chain_of_small_deltas_is_folded_before_it_is_long),
        cmocka_unit_test(what_is_written_again_stays_in_proportion),
        cmocka_unit_test(a_cleared_segment_of_one_row_leaves_nothing_behind),
        cmocka_unit_test(a_row_longer_than_a_chunk_is_cut_and_joined),
        cmocka_unit_test(a_journal_too_long_for_one_slice_is_the_same_as_many_short_ones),
        cmocka_unit_test(a_damaged_value_stops_loading_and_names_its_place),
        cmocka_unit_test(a_missing_chunk_stops_loading),
        cmocka_unit_test(a_foreign_key_among_the_segments_stops_loading),
        cmocka_unit_test(a_store_that_fails_while_it_is_read_stops_loading),
        cmocka_unit_test(a_loader_may_refuse_a_row_and_it_is_named),
        cmocka_unit_test(a_segment_that_cannot_be_folded_keeps_taking_deltas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
