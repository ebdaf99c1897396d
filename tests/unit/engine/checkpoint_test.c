/*
 * checkpoint_test.c -- the thread: when it takes a journal, when it syncs, and that no fault of the store loses or
 * doubles anything.
 *
 * Nothing here sleeps: the tests wait for conditions, with a limit that is met only by failing.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "cells.h"
#include "freshet/clock.h"
#include "freshet/format.h"
#include "freshet/metric.h"

enum { LIMIT_MS = 120000, NEVER_MS = 1 << 30, KEPT = 512 };

struct world {
    struct store_faults faults;
    struct store *store;
    struct checkpoint *checkpoint;
    struct journal *journal;
    struct cells *cells;
    uint64_t number;
    _Atomic uint64_t written, synced; /* as the callbacks said */
};

static void on_written(void *context, uint64_t number)
{
    struct world *world = context;

    assert_int_equal(number, atomic_load(&world->written) + 1);
    atomic_store(&world->written, number);
}

static void on_synced(void *context, uint64_t number)
{
    struct world *world = context;

    assert_true(number > atomic_load(&world->synced));
    assert_true(number <= atomic_load(&world->written));
    atomic_store(&world->synced, number);
}

static void world_open(struct world *world, struct store_faults faults, span_ms interval, span_ms wal_sync_interval)
{
    memset(world, 0, sizeof(*world));
    world->store = store_memory_new(&world->faults);
    assert_int_equal(format_admit(world->store, NULL), FR_OK);
    world->faults = faults; /* the mark was a write, too */
    world->journal = journal_new();
    world->cells = calloc(1, sizeof(*world->cells));
    world->checkpoint = checkpoint_start(world->store, &(struct checkpoint_options){
                                                           .interval = interval,
                                                           .wal_sync_interval = wal_sync_interval,
                                                           .written = on_written,
                                                           .synced = on_synced,
                                                           .context = world,
                                                       });
}

static void world_close(struct world *world)
{
    world->store->ops->close(world->store);
    journal_free(world->journal);
    free(world->cells);
}

/* The next random journal, given as soon as it may be. */
static void give(struct world *world, size_t ops)
{
    cells_journal(world->journal, world->cells, 11, ++world->number, ops);
    assert_true(checkpoint_wait_due(world->checkpoint, LIMIT_MS));
    world->journal = give_whole(world->checkpoint, world->journal, world->number);
    assert_true(journal_empty(world->journal));
}

/* Waits for a figure to reach what is wanted. Who waits to be due is woken at every step of the checkpoint's own. */
static void wait_for(struct world *world, uint64_t (*figure)(struct checkpoint *), uint64_t want)
{
    uint64_t begin = fr_mono_ns();

    while (figure(world->checkpoint) < want) {
        assert_true(fr_mono_ns() - begin < (uint64_t)LIMIT_MS * 1000000);
        checkpoint_wait_due(world->checkpoint, 1);
    }
}

static uint64_t errors_of(struct checkpoint *checkpoint)
{
    struct checkpoint_figures figures;

    checkpoint_figures(checkpoint, &figures);
    return figures.events_errors;
}

static const struct store_faults no_faults = {0};

/* ---- the ordinary course ---- */

static void many_journals_are_all_there_after_the_stop(void **state)
{
    (void)state;
    struct world world;

    world_open(&world, no_faults, 0, 1);
    for (int i = 0; i < 150; i++)
        give(&world, 300);
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    assert_int_equal(atomic_load(&world.written), 150);
    assert_int_equal(atomic_load(&world.synced), 150);
    cells_assert_stored(world.store, world.cells);
    struct store *left = store_memory_after_power_cut(world.store);
    cells_assert_stored(left, world.cells);
    left->ops->close(left);
    world_close(&world);
}

static void the_next_journal_waits_for_the_interval_unless_hurried(void **state)
{
    (void)state;
    struct world world;

    world_open(&world, no_faults, NEVER_MS, NEVER_MS);
    assert_true(checkpoint_due(world.checkpoint)); /* the first need not wait */
    give(&world, 10);
    wait_for(&world, checkpoint_written, 1);
    assert_false(checkpoint_wait_due(world.checkpoint, 20));
    checkpoint_hurry(world.checkpoint);
    assert_true(checkpoint_wait_due(world.checkpoint, LIMIT_MS));
    give(&world, 10);
    wait_for(&world, checkpoint_synced, 2); /* and is synced at once */
    assert_false(checkpoint_wait_due(world.checkpoint, 20));
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    world_close(&world);
}

static void hurrying_syncs_what_is_written_even_if_nothing_comes(void **state)
{
    (void)state;
    struct world world;

    world_open(&world, no_faults, 0, NEVER_MS);
    give(&world, 10);
    wait_for(&world, checkpoint_written, 1);
    assert_int_equal(checkpoint_synced(world.checkpoint), 0);
    checkpoint_hurry(world.checkpoint);
    wait_for(&world, checkpoint_synced, 1);
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    world_close(&world);
}

/* Asked for while one journal is written and the next is given: the sync of the first does not answer for the second. */
static void hurrying_holds_for_the_journal_given_just_before(void **state)
{
    (void)state;
    struct world world;

    world_open(&world, no_faults, 0, NEVER_MS);
    for (int i = 0; i < 300; i++) {
        give(&world, 5);
        wait_for(&world, checkpoint_written, world.number);
        give(&world, 5);
        checkpoint_hurry(world.checkpoint);
        wait_for(&world, checkpoint_synced, world.number);
    }
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    world_close(&world);
}

static void what_is_written_is_synced_after_the_interval(void **state)
{
    (void)state;
    struct world world;

    world_open(&world, no_faults, NEVER_MS, 10);
    give(&world, 10);
    wait_for(&world, checkpoint_synced, 1);
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    world_close(&world);
}

static void a_stop_without_any_journal_is_fine(void **state)
{
    (void)state;
    struct world world;

    world_open(&world, no_faults, 0, 1);
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    assert_int_equal(atomic_load(&world.synced), 0);
    world_close(&world);
}

static void a_stop_writes_what_was_given_last(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct world world;
        world_open(&world, no_faults, 0, NEVER_MS);
        give(&world, 50);
        assert_true(checkpoint_stop(world.checkpoint, NULL));
        struct store *left = store_memory_after_power_cut(world.store);
        cells_assert_stored(left, world.cells);
        left->ops->close(left);
        world_close(&world);
    }
}

static void the_figures_are_those_of_the_write(void **state)
{
    (void)state;
    struct world world;
    struct checkpoint_figures first, second;
    double counted = fr_series_value(FR_SERIES(FR_M_CHECKPOINT_BYTES));

    world_open(&world, no_faults, 0, NEVER_MS);
    journal_add(world.journal, TABLE_PAIRS, 1, 2, 1);
    journal_key_put(world.journal, FR_BYTES("akey"), FR_BYTES("12345"));
    assert_true(checkpoint_wait_due(world.checkpoint, LIMIT_MS));
    world.journal = give_whole(world.checkpoint, world.journal, 1);
    wait_for(&world, checkpoint_written, 1);
    checkpoint_figures(world.checkpoint, &first);
    /* akey: 4 + 5; m/journals: 10 + 13; link: 9; the base: key 11, value 1 + gap, header, gap, sum + 4 */
    assert_int_equal(first.keys, 4);
    assert_int_equal(first.bytes, 9 + 23 + 9 + 20);
    assert_true(first.seconds > 0);
    journal_key_delete(world.journal, FR_BYTES("akey"));
    assert_true(checkpoint_wait_due(world.checkpoint, LIMIT_MS));
    world.journal = give_whole(world.checkpoint, world.journal, 2);
    wait_for(&world, checkpoint_written, 2);
    checkpoint_figures(world.checkpoint, &second);
    assert_int_equal(second.keys, 3);
    assert_int_equal(second.bytes, 4 + 23 + 9);
    assert_int_equal(second.bytes_total, first.bytes + second.bytes);
    assert_true(fr_series_value(FR_SERIES(FR_M_CHECKPOINT_BYTES)) == counted + (double)second.bytes_total);
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    world_close(&world);
}

/* ---- faults ---- */

static void a_refused_write_is_tried_again_until_it_is_taken(void **state)
{
    (void)state;
    struct world world;
    double counted = fr_series_value(fr_series(FR_M_CHECKPOINT_ERRORS, "full", "", ""));

    world_open(&world, (struct store_faults){.fail_write_at = 3, .code = FR_FULL}, 0, 1);
    for (int i = 0; i < 6; i++)
        give(&world, 200);
    wait_for(&world, checkpoint_written, 6);
    assert_int_equal(errors_of(world.checkpoint), 1);
    assert_true(fr_series_value(fr_series(FR_M_CHECKPOINT_ERRORS, "full", "", "")) == counted + 1);
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    cells_assert_stored(world.store, world.cells);
    world_close(&world);
}

static void a_failed_sync_is_tried_again_and_not_believed(void **state)
{
    (void)state;
    struct world world;

    world_open(&world, (struct store_faults){.fail_sync_at = 1, .code = FR_IO}, 0, 1);
    give(&world, 200);
    wait_for(&world, errors_of, 1);
    wait_for(&world, checkpoint_synced, 1);
    struct store *left = store_memory_after_power_cut(world.store);
    cells_assert_stored(left, world.cells);
    left->ops->close(left);
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    world_close(&world);
}

/* Whoever asked for it does not wait for the interval because the first attempt has failed. */
static void a_sync_that_was_asked_for_and_fails_is_tried_again_at_once(void **state)
{
    (void)state;
    struct world world;

    world_open(&world, (struct store_faults){.fail_sync_at = 1, .code = FR_IO}, 0, NEVER_MS);
    give(&world, 200);
    wait_for(&world, checkpoint_written, 1);
    checkpoint_hurry(world.checkpoint);
    wait_for(&world, checkpoint_synced, 1);
    assert_int_equal(errors_of(world.checkpoint), 1);
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    world_close(&world);
}

/* A store that refuses every write and sync while it is sick, in front of one in memory. */
struct sick {
    struct store store;
    struct store *inner;
    _Atomic bool sick;
    struct store_ops ops;
};

static int sick_write(struct store *store, struct store_batch *batch, struct fr_err *err)
{
    struct sick *sick = (struct sick *)store;

    return atomic_load(&sick->sick) ? fr_fail(err, FR_IO, "sick") : sick->inner->ops->write(sick->inner, batch, err);
}

static int sick_sync(struct store *store, struct fr_err *err)
{
    struct sick *sick = (struct sick *)store;

    return sick->inner->ops->sync(sick->inner, err);
}

static int sick_reopen(struct store *store, struct fr_err *err)
{
    struct sick *sick = (struct sick *)store;

    return sick->inner->ops->reopen(sick->inner, err);
}

static int sick_mark(struct store *store, uint64_t number, struct fr_err *err)
{
    struct sick *sick = (struct sick *)store;

    return sick->inner->ops->mark(sick->inner, number, err);
}

static bool sick_number(struct store *store, const char *name, uint64_t *ret_value)
{
    (void)store, (void)name, (void)ret_value;
    return false;
}

static int sick_get(struct store *store, struct fr_bytes key, char **ret_value, size_t *ret_len, struct fr_err *err)
{
    struct sick *sick = (struct sick *)store;

    return sick->inner->ops->get(sick->inner, key, ret_value, ret_len, err);
}

static struct store_iter *sick_iterate(struct store *store, struct fr_bytes prefix)
{
    struct sick *sick = (struct sick *)store;

    return sick->inner->ops->iterate(sick->inner, prefix);
}

static void sick_open(struct sick *sick)
{
    memset(sick, 0, sizeof(*sick));
    sick->inner = store_memory_new(NULL);
    assert_int_equal(format_admit(sick->inner, NULL), FR_OK);
    sick->ops = *sick->inner->ops;
    sick->ops.write = sick_write;
    sick->ops.sync = sick_sync;
    sick->ops.reopen = sick_reopen;
    sick->ops.mark = sick_mark;
    sick->ops.number = sick_number;
    sick->ops.get = sick_get;
    sick->ops.iterate = sick_iterate;
    sick->store.ops = &sick->ops;
}

static void a_stop_does_not_wait_for_a_sick_store_for_ever(void **state)
{
    (void)state;
    struct sick sick;
    struct fr_err err;

    sick_open(&sick);
    atomic_store(&sick.sick, true);
    struct checkpoint *checkpoint = checkpoint_start(&sick.store, &(struct checkpoint_options){.wal_sync_interval = 1});
    struct journal *journal = journal_new();
    journal_add(journal, TABLE_PAIRS, 1, 2, 3);
    journal = give_whole(checkpoint, journal, 1);
    while (errors_of(checkpoint) < 2)
        checkpoint_wait_due(checkpoint, 1);
    assert_false(checkpoint_due(checkpoint)); /* nothing more is taken meanwhile */
    assert_false(checkpoint_stop(checkpoint, &err));
    assert_int_equal(err.code, FR_IO);
    assert_string_equal(err.text, "sick");
    journal_free(journal);
    sick.inner->ops->close(sick.inner);
}

static void the_last_try_at_the_stop_may_succeed(void **state)
{
    (void)state;
    struct sick sick;
    struct fr_err err;
    struct cells *cells = calloc(1, sizeof(*cells));

    sick_open(&sick);
    atomic_store(&sick.sick, true);
    struct checkpoint *checkpoint = checkpoint_start(&sick.store, &(struct checkpoint_options){.wal_sync_interval = 1});
    struct journal *journal = journal_new();
    cells_journal(journal, cells, 3, 1, 500);
    journal = give_whole(checkpoint, journal, 1);
    while (errors_of(checkpoint) < 4) /* now it waits for 400 ms */
        checkpoint_wait_due(checkpoint, 1);
    atomic_store(&sick.sick, false);
    assert_true(checkpoint_stop(checkpoint, &err));
    cells_assert_stored(sick.inner, cells);
    journal_free(journal);
    free(cells);
    sick.inner->ops->close(sick.inner);
}

static void await_synced(struct checkpoint *checkpoint, uint64_t number)
{
    for (uint64_t begin = fr_mono_ns(); checkpoint_synced(checkpoint) < number; checkpoint_wait_due(checkpoint, 1))
        assert_true(fr_mono_ns() - begin < (uint64_t)LIMIT_MS * 1000000);
}

static void on_broken(void *context)
{
    atomic_store((_Atomic bool *)context, true);
}

/* It comes back without what was synced: another process' business, or the disk's. */
static int forgetful_reopen(struct store *store, struct fr_err *err)
{
    struct store_batch *batch = store->ops->batch_new(store);

    (void)err;
    store->ops->batch_delete(batch, FR_BYTES(FORMAT_JOURNALS_KEY));
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
    return FR_OK;
}

static void a_store_without_what_was_synced_ends_it_for_good(void **state)
{
    (void)state;
    struct store_faults faults = {.code = FR_IO};
    struct store *store = store_memory_new(&faults);
    struct store_ops ops = *store->ops;
    _Atomic bool broken = false;
    struct fr_err err;

    ops.reopen = forgetful_reopen;
    store->ops = &ops;
    struct checkpoint *checkpoint = checkpoint_start(
        store, &(struct checkpoint_options){.wal_sync_interval = 1, .broken = on_broken, .context = &broken});
    struct journal *journal = journal_new();
    journal_add(journal, TABLE_PAIRS, 1, 2, 3);
    journal = give_whole(checkpoint, journal, 1);
    await_synced(checkpoint, 1);
    faults.fail_write_at = 1;
    journal_add(journal, TABLE_PAIRS, 1, 2, 3);
    assert_true(checkpoint_wait_due(checkpoint, LIMIT_MS));
    journal = give_whole(checkpoint, journal, 2);
    for (uint64_t begin = fr_mono_ns(); !checkpoint_ended(checkpoint); checkpoint_wait_due(checkpoint, 1))
        assert_true(fr_mono_ns() - begin < (uint64_t)LIMIT_MS * 1000000);
    assert_false(checkpoint_stop(checkpoint, &err));
    assert_true(atomic_load(&broken));
    assert_int_equal(err.code, FR_CORRUPT);
    journal_free(journal);
    store->ops->close(store);
}

/* ---- room on the disk ---- */

struct shelf {
    _Atomic uint64_t free;
    _Atomic int held, released;
};

static uint64_t shelf_free(void *context)
{
    return atomic_load(&((struct shelf *)context)->free);
}

static void shelf_held(void *context, bool low)
{
    struct shelf *shelf = context;

    atomic_fetch_add(low ? &shelf->held : &shelf->released, 1);
}

static void a_full_disk_is_not_written_to_and_loses_nothing(void **state)
{
    (void)state;
    struct shelf shelf = {.free = 500};
    struct store *store = store_memory_new(NULL);
    struct cells *cells = calloc(1, sizeof(*cells));
    struct fr_err err;

    assert_int_equal(format_admit(store, NULL), FR_OK);
    struct checkpoint *checkpoint = checkpoint_start(store, &(struct checkpoint_options){.wal_sync_interval = 1,
                                                                                         .disk_reserve = 1000,
                                                                                         .disk_free = shelf_free,
                                                                                         .held = shelf_held,
                                                                                         .context = &shelf});
    struct journal *journal = journal_new();
    cells_journal(journal, cells, 5, 1, 300);
    journal = give_whole(checkpoint, journal, 1);
    for (uint64_t begin = fr_mono_ns(); !atomic_load(&shelf.held); checkpoint_wait_due(checkpoint, 1))
        assert_true(fr_mono_ns() - begin < (uint64_t)LIMIT_MS * 1000000);
    assert_false(checkpoint_wait_due(checkpoint, 1200)); /* it has looked again meanwhile */
    assert_int_equal(cells_number(store), 0);
    assert_int_equal(atomic_load(&shelf.held), 1); /* told once */
    atomic_store(&shelf.free, 1 << 30);
    await_synced(checkpoint, 1);
    assert_int_equal(atomic_load(&shelf.released), 1);
    cells_assert_stored(store, cells);
    atomic_store(&shelf.free, 0); /* the next one cannot be written before the stop */
    cells_journal(journal, NULL, 5, 2, 300);
    assert_true(checkpoint_wait_due(checkpoint, LIMIT_MS));
    journal = give_whole(checkpoint, journal, 2);
    assert_false(checkpoint_stop(checkpoint, &err));
    assert_int_equal(err.code, FR_FULL);
    cells_assert_stored(store, cells);
    journal_free(journal);
    free(cells);
    store->ops->close(store);
}

/* ---- power cuts ---- */

static void a_power_cut_leaves_exactly_an_earlier_checkpoint(void **state)
{
    (void)state;
    struct world world;
    struct cells *history = calloc(KEPT, sizeof(*history));
    uint64_t random = 4, cuts = 0, older = 0;

    world_open(&world, no_faults, 0, 3);
    for (uint64_t n = 1; n < 300; n++) {
        give(&world, 200);
        history[n] = *world.cells;
        if (cells_random(&random) % 4)
            continue;
        uint64_t told = atomic_load(&world.synced);
        struct store *left = store_memory_after_power_cut(world.store);
        uint64_t found = cells_number(left);
        assert_in_range(found, told, n); /* what was told to be synced is there */
        cells_assert_stored(left, &history[found]);
        cuts++;
        older += found < n;
        left->ops->close(left);
    }
    assert_true(cuts > 40 && older > 0);
    assert_true(checkpoint_stop(world.checkpoint, NULL));
    free(history);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_journals_are_all_there_after_the_stop),
        cmocka_unit_test(the_next_journal_waits_for_the_interval_unless_hurried),
        cmocka_unit_test(hurrying_syncs_what_is_written_even_if_nothing_comes),
        cmocka_unit_test(hurrying_holds_for_the_journal_given_just_before),
        cmocka_unit_test(what_is_written_is_synced_after_the_interval),
        cmocka_unit_test(a_stop_without_any_journal_is_fine),
        cmocka_unit_test(a_stop_writes_what_was_given_last),
        cmocka_unit_test(the_figures_are_those_of_the_write),
        cmocka_unit_test(a_refused_write_is_tried_again_until_it_is_taken),
        cmocka_unit_test(a_failed_sync_is_tried_again_and_not_believed),
        cmocka_unit_test(a_sync_that_was_asked_for_and_fails_is_tried_again_at_once),
        cmocka_unit_test(a_stop_does_not_wait_for_a_sick_store_for_ever),
        cmocka_unit_test(the_last_try_at_the_stop_may_succeed),
        cmocka_unit_test(a_store_without_what_was_synced_ends_it_for_good),
        cmocka_unit_test(a_full_disk_is_not_written_to_and_loses_nothing),
        cmocka_unit_test(a_power_cut_leaves_exactly_an_earlier_checkpoint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
