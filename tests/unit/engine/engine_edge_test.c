/*
 * engine_edge_test.c -- the engine where it is tight: bounds that are reached, a disk that refuses, what metrics say before anything is known.
 */
#include <sched.h>
#include <limits.h>

#include "engine_world.h"
#include "histories_private.h"
#include "freshet/codec.h"
#include "freshet/format.h"

/* ---- a store that is sick at will ---- */

static struct {
    const struct store_ops *healthy;
    struct store_ops ops;
    atomic_bool sick;
    atomic_int refused;
    atomic_int syncs, permits; /* syncs begun; how many may end */
} ward;

static int ward_write(struct store *store, struct store_batch *batch, struct fr_err *err)
{
    if (!atomic_load(&ward.sick))
        return ward.healthy->write(store, batch, err);
    atomic_fetch_add(&ward.refused, 1);
    return fr_fail(err, FR_FULL, "the disk is full");
}

static int ward_sync(struct store *store, struct fr_err *err)
{
    int number = atomic_fetch_add(&ward.syncs, 1);

    while (number >= atomic_load(&ward.permits))
        sched_yield();
    return ward.healthy->sync(store, err);
}

static struct store *ward_store_new(void)
{
    struct store *store = store_memory_new(NULL);

    ward.healthy = store->ops;
    ward.ops = *store->ops;
    ward.ops.write = ward_write;
    ward.ops.sync = ward_sync;
    atomic_store(&ward.syncs, 0);
    atomic_store(&ward.permits, INT_MAX);
    store->ops = &ward.ops;
    atomic_store(&ward.sick, false);
    atomic_store(&ward.refused, 0);
    return store;
}

/* From here on one journal is with the checkpoint's thread, which cannot write it: the town's, for the partition's own row
 * is written. */
static void fall_sick(struct world *world)
{
    uint64_t deadline = patience();

    checkpoint(world);
    atomic_store(&ward.sick, true);
    town(world);
    while (!atomic_load(&ward.refused)) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
}

/* Many asking for a checkpoint must not fill the way by which feed gives its batches: feed would wait for the disk, and nobody
 * could stop it. */
static void asking_for_checkpoints_takes_no_batch_its_place(void **state)
{
    struct world world = {.store = ward_store_new()};
    struct engine_options options = parity();
    const struct event more = event(6, "dan", "apple", NOON);

    (void)state;
    options.uncommitted_mb_max = 0; /* the second journal is full as soon as there is anything in it */
    begin(&world, &options);
    fall_sick(&world);
    give(&world, &more, 1);
    await(&world, 7);
    for (int i = 0; i < 2 * BATCHES; i++)
        engine_checkpoint_ask(world.engine);
    assert_true(fr_queue_len(world.engine->given) <= 1);
    struct event_batch *batch;
    int batches = 0;
    for (; batches <= BATCHES && (batch = engine_batch_take(world.engine, 200)); batches++)
        engine_batch_give(world.engine, batch);
    assert_true(batches <= BATCHES); /* none has come back: the journal is full */
    atomic_store(&ward.sick, false);
    checkpoint(&world);
    end(&world);
    world.store->ops->close(world.store);
}

static double uncommitted_seconds(struct world *world)
{
    publish_figures(world->engine);
    return fr_series_value(FR_SERIES(FR_M_UNCOMMITTED));
}

static void what_the_disk_refuses_counts_as_uncommitted(void **state)
{
    struct world world = {.store = ward_store_new()};
    struct engine_options options = parity();
    uint64_t deadline = patience();

    (void)state;
    begin(&world, &options);
    fall_sick(&world);
    while (uncommitted_seconds(&world) <= 0) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
    atomic_store(&ward.sick, false);
    checkpoint(&world);
    assert_true(uncommitted_seconds(&world) == 0);
    end(&world);
    world.store->ops->close(world.store);
}

static void await_syncs(int begun)
{
    uint64_t deadline = patience();

    while (atomic_load(&ward.syncs) < begun) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
}

/* The town is being synced while dan's event is applied and a checkpoint asked for. */
static void durable_is_what_the_synced_freeze_stood_for(void **state)
{
    struct world world = {.store = ward_store_new()};
    struct engine_options options = parity();
    const struct event more = event(6, "dan", "apple", NOON);
    const _Atomic int64_t *durable;

    (void)state;
    begin(&world, &options);
    checkpoint(&world); /* the new partition's row; all is synced now */
    durable = &partition_at(world.engine, world.partition)->durable;
    int before = atomic_load(&ward.syncs);
    atomic_store(&ward.permits, before);
    town(&world);
    await_syncs(before + 1);
    give(&world, &more, 1);
    await(&world, 7);
    uint64_t ticket = engine_checkpoint_ask(world.engine);
    assert_true(atomic_load(durable) < 6);
    atomic_store(&ward.permits, before + 1);
    await_syncs(before + 2); /* that of dan's event has begun, and may not end */
    assert_int_equal(atomic_load(durable), 6);
    assert_false(engine_checkpoint_done(world.engine, ticket, NULL));
    atomic_store(&ward.permits, INT_MAX);
    await_checkpoint(&world, ticket, NULL);
    assert_int_equal(atomic_load(durable), 7);
    end(&world);
    world.store->ops->close(world.store);
}

/* Nothing has changed, so each is answered for by the same freeze, until there is no room to note one more. */
static void a_checkpoint_that_was_done_stays_done_however_many_are_asked_for(void **state)
{
    struct world world = {.store = ward_store_new()};
    struct engine_options options = parity();
    const size_t room = sizeof(world.engine->covers) / sizeof(*world.engine->covers);
    uint64_t ticket = 0, deadline = patience();
    bool covered = false;

    (void)state;
    begin(&world, &options);
    checkpoint(&world); /* the new partition's row */
    for (size_t i = 0; i < room; i++) {
        ticket = engine_checkpoint_ask(world.engine);
        await_checkpoint(&world, ticket, NULL);
    }
    atomic_store(&ward.permits, atomic_load(&ward.syncs)); /* none will end */
    town(&world);
    uint64_t late = engine_checkpoint_ask(world.engine);
    while (!covered) {
        pthread_mutex_lock(&world.engine->lock);
        covered = world.engine->asked_answered == late;
        pthread_mutex_unlock(&world.engine->lock);
        assert_true(fr_mono_ns() < deadline);
    }
    assert_true(engine_checkpoint_done(world.engine, ticket, NULL));
    assert_false(engine_checkpoint_done(world.engine, late, NULL));
    atomic_store(&ward.permits, INT_MAX);
    await_checkpoint(&world, late, NULL);
    end(&world);
    world.store->ops->close(world.store);
}

static void assert_told(struct world *world, int64_t applied, int64_t durable)
{
    struct engine_status *status = calloc(1, sizeof(*status));

    engine_status(world->engine, status);
    assert_int_equal(status->partitions_len, 2);
    assert_int_equal(status->partitions[1].applied, applied);
    assert_int_equal(status->partitions[1].durable, durable);
    fr_metric_collect();
    assert_true(fr_series_value(fr_series(FR_M_OFFSET_APPLIED, TOPIC, "1", "")) == (double)(applied < 0 ? 0 : applied));
    assert_true(fr_series_value(fr_series(FR_M_OFFSET_DURABLE, TOPIC, "1", "")) == (double)(durable < 0 ? 0 : durable));
    free(status);
}

/* In the metrics every series is there from the start, at 0: they cannot say that. */
static void what_is_not_known_of_a_partition_is_minus_one_and_zero_in_the_metrics(void **state)
{
    struct world world = {.store = ward_store_new()};
    struct engine_options options = parity();
    struct event where = {.kind = EVENT_POSITION, .offset = 9, .logged = -1};
    int64_t next;
    struct fr_err err;

    (void)state;
    begin(&world, &options);
    checkpoint(&world);
    atomic_store(&ward.permits, atomic_load(&ward.syncs));
    assert_int_equal(engine_partition(world.engine, TOPIC, 1, &world.partition, &next, &err), FR_OK);
    assert_told(&world, -1, -1);
    give(&world, &where, 1);
    uint64_t deadline = patience();
    while (!engine_reached(world.engine, FR_BYTES(TOPIC), 1, 9)) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
    assert_told(&world, 9, -1);
    atomic_store(&ward.permits, INT_MAX);
    checkpoint(&world);
    assert_told(&world, 9, 9);
    end(&world);
    world.store->ops->close(world.store);
}

/* ---- bounds of the state ---- */

static void a_refused_event_leaves_no_trace(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct event refused = event(1, "bob", "bread", NOON), again = event(2, "bob", "bread", NOON);

    (void)state;
    refused.repeat_high = again.repeat_high = 42;
    options.items_max = 1;
    begin(&world, &options);
    give(&world, (const struct event[]){event(0, "ann", "apple", NOON), refused}, 2);
    await(&world, 2);
    assert_int_equal(dict_len(world.engine->users), 1);
    end(&world);
    options.items_max = 10;
    begin(&world, &options);
    give(&world, &again, 1); /* sent again, it is no repeat of anything */
    await(&world, 3);
    assert_string_equal(recommend(&world, "bob", (struct ask){.include_seen = true}), "bread 1.000000 apple 0.000000");
    end(&world);
    world.store->ops->close(world.store);
}

static void dead_letters_over_the_limit_stop_the_feed(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    const struct reject reject = {.value = FR_BYTES("junk"), .has_value = true, .reason = "undecodable"};
    const struct event bad = {.kind = EVENT_REJECT, .offset = 0, .logged = NOON, .reject = &reject};

    (void)state;
    options.outbox_mb_max = 0;
    begin(&world, &options);
    give(&world, &bad, 1);
    await(&world, 1);
    assert_null(engine_batch_take(world.engine, 0));
    const struct dead_letter *letter = engine_outbox_take(world.engine, PATIENCE_MS);
    assert_non_null(letter);
    engine_outbox_done(world.engine, letter->id);
    struct event_batch *batch = engine_batch_take(world.engine, PATIENCE_MS);
    assert_non_null(batch);
    engine_batch_give(world.engine, batch);
    end(&world);
    world.store->ops->close(world.store);
}

static void what_was_taken_before_a_hold_is_still_applied_and_then_all_rests(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    assert_true(engine_at_rest(world.engine));
    struct event_batch *batch = engine_batch_take(world.engine, PATIENCE_MS);
    assert_non_null(batch);
    engine_hold(world.engine, HOLD_ASKED, true);
    assert_null(engine_batch_take(world.engine, 0));
    assert_false(engine_at_rest(world.engine));
    engine_batch_give(world.engine, batch);
    while (!engine_at_rest(world.engine))
        sched_yield();
    engine_hold(world.engine, HOLD_ASKED, false);
    end(&world);
    world.store->ops->close(world.store);
}

static void a_hold_stops_the_feed_until_all_reasons_are_gone(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    engine_hold(world.engine, HOLD_DISK, true);
    engine_hold(world.engine, HOLD_MEMORY, true);
    assert_null(engine_batch_take(world.engine, 0));
    engine_hold(world.engine, HOLD_DISK, false);
    engine_hold(world.engine, HOLD_DISK, false); /* taken back twice is taken back once */
    assert_null(engine_batch_take(world.engine, 1));
    assert_true(engine_held(world.engine));
    engine_hold(world.engine, HOLD_MEMORY, false);
    struct event_batch *batch = engine_batch_take(world.engine, PATIENCE_MS);
    assert_non_null(batch);
    engine_batch_give(world.engine, batch);
    end(&world);
    world.store->ops->close(world.store);
}

static void a_user_stored_without_a_history_can_begin_one(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_err err;

    (void)state;
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    histories_extend(world.engine->histories, 1);
    assert_int_equal(dict_add(world.engine->users, FR_BYTES("eve"), dict_hash(FR_BYTES("eve"))), 0);
    journal_put(world.engine->journal, TABLE_USERS, 0, 0, "eve", 3);
    assert_int_equal(engine_start(world.engine, &err), FR_OK);
    end(&world);
    begin(&world, &options);
    assert_int_equal(dict_len(world.engine->users), 1);
    give(&world, (const struct event[]){event(0, "eve", "apple", NOON)}, 1);
    await(&world, 1);
    assert_string_equal(recommend(&world, "eve", (struct ask){.include_seen = true}), "apple 1.000000");
    end(&world);
    world.store->ops->close(world.store);
}

/* Three items fit. The fourth event is older than all of them: it is the one that goes, with everything counted for it. */
static void a_newcomer_that_is_the_oldest_goes_at_once(void **state)
{
    struct world world = {.store = store_memory_new(NULL)}, never = {.store = store_memory_new(NULL)};
    struct engine_options options = product();
    const struct event events[] = {
        event(0, "ann", "apple", NOON),     event(1, "ann", "bread", NOON),    event(2, "ann", "cheese", NOON),
        event(3, "bob", "apple", NOON),     event(4, "bob", "dill", NOON),     event(5, "ann", "dill", NOON - 1000),
    };

    (void)state;
    options.history_max = 3;
    begin(&world, &options);
    begin(&never, &options);
    give(&world, events, 6);
    give(&never, events, 5);
    await(&world, 6);
    await(&never, 5);
    char without[4096];
    snprintf(without, sizeof(without), "%s", recommend(&never, "ann", (struct ask){.include_seen = true}));
    assert_string_equal(recommend(&world, "ann", (struct ask){.include_seen = true}), without);
    assert_int_equal(users_of(world.engine, dict_find(world.engine->items, FR_BYTES("dill"), dict_hash(FR_BYTES("dill")))), 1);
    end(&world);
    end(&never);
    world.store->ops->close(world.store);
    never.store->ops->close(never.store);
}

static void batches_without_events_do_not_make_the_state_young(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct engine_status *status = fr_alloc(sizeof(*status));
    struct fr_err err;

    (void)state;
    begin(&world, &options);
    town(&world);
    checkpoint(&world);                      /* a freeze comes after all a batch does: the engine is done with the town */
    atomic_store(&world.engine->changed, 1); /* long ago */
    give(&world, (const struct event[]){{.kind = EVENT_POSITION, .offset = 9, .logged = -1}}, 1);
    await(&world, 9);
    assert_true(engine_stop(world.engine, &err)); /* that batch is done to the end */
    engine_status(world.engine, status);
    assert_true(status->age_seconds > 1e9);
    engine_free(world.engine);
    free(status);
    world.store->ops->close(world.store);
}

/* ---- prequential quality ---- */

static double quality(const char *metric)
{
    return fr_series_value(fr_series(FR_M_MODEL_QUALITY, "sar", metric, "10000"));
}

static void quality_is_there_from_the_start_even_if_nobody_measures(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_writer text;

    (void)state;
    options.evaluate_every = 0;
    begin(&world, &options);
    fr_writer_init(&text, 0);
    fr_metric_write(&text, false);
    fr_put_u8(&text, 0);
    assert_non_null(strstr(text.at, "freshet_model_quality{model=\"sar\",metric=\"hit_rate_10\",window=\"10000\"} 0\n"));
    fr_writer_release(&text);
    end(&world);
    world.store->ops->close(world.store);
}

/*
 * Ranked are first meetings of positive weight: ann apple, ann bread, bob cheese (nobody has had it: misses); bob apple (of him nothing is
 * known, so apple stands beside bread: rank 1/2); bob bread (behind apple, which he has had, the only one left: rank 0); cat cheese (behind
 * apple and bread, which two have: rank 2). Not ranked: bob's dislike of dill, and what ann does again.
 */
static void quality_is_measured_before_it_is_learned(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct event dislike = event(6, "bob", "dill", NOON);

    (void)state;
    dislike.weight = -2;
    options.evaluate_every = 1;
    begin(&world, &options);
    town(&world);
    give(&world, (const struct event[]){dislike, event(7, "ann", "apple", NOON)}, 2);
    await(&world, 8);
    assert_float_equal(quality("hit_rate_10"), 3.0 / 6, 1e-12);
    assert_float_equal(quality("ndcg_10"), (1 / log2(2.5) + 1 + 1 / log2(4)) / 6, 1e-12);
    assert_float_equal(quality("mrr_10"), (1 / 1.5 + 1 + 1.0 / 3) / 6, 1e-12);
    assert_float_equal(quality("hit_rate_10_cold_user"), 3.0 / 6, 1e-12);
    assert_float_equal(quality("hit_rate_10_head"), 1, 1e-12); /* bob apple: nothing was held more */
    assert_float_equal(quality("hit_rate_10_tail"), 1, 1e-12);
    end(&world);
    world.store->ops->close(world.store);
}

/* ---- what the store should have, and has not ---- */

static void delete_key(struct store *store, struct fr_bytes key)
{
    struct store_batch *batch = store->ops->batch_new(store);

    store->ops->batch_delete(batch, key);
    assert_int_equal(store->ops->write(store, batch, NULL), FR_OK);
    store->ops->batch_free(batch);
}

/* The end of the log is gone: what is there is whole, so it is gone on with, loudly. */
static void checkpoints_that_were_synced_and_are_gone_are_counted(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    town(&world);
    end(&world);
    uint64_t found = world.store->ops->marked(world.store); /* the stop has synced all */
    assert_true(found >= 1);
    assert_int_equal(world.store->ops->mark(world.store, found + 3, NULL), FR_OK);
    double counted = fr_series_value(FR_SERIES(FR_M_STORE_LOST));
    begin(&world, &options);
    assert_true(fr_series_value(FR_SERIES(FR_M_STORE_LOST)) == counted + 3);
    assert_int_equal(world.store->ops->marked(world.store), found); /* said once */
    end(&world);
    begin(&world, &options);
    assert_true(fr_series_value(FR_SERIES(FR_M_STORE_LOST)) == counted + 3);
    end(&world);
    world.store->ops->close(world.store);
}

/* One in the middle is gone: nothing can be said of the state. */
static void a_checkpoint_missing_below_the_newest_is_refused(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_writer key;
    struct fr_err err;

    (void)state;
    begin(&world, &options);
    town(&world);
    for (int64_t next = 6; next < 9; next++) {
        give(&world, (const struct event[]){event(next, "dan", "apple", NOON)}, 1);
        await(&world, next + 1);
        checkpoint(&world);
    }
    end(&world);
    uint64_t newest = world.store->ops->marked(world.store);
    assert_true(newest >= 3);
    fr_writer_init(&key, 0);
    format_link_key(&key, newest - 1);
    delete_key(world.store, fr_written(&key));
    fr_writer_release(&key);
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_CORRUPT);
    assert_non_null(strstr(err.text, "are missing in the store"));
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints_that_were_synced_and_are_gone_are_counted),
        cmocka_unit_test(a_checkpoint_missing_below_the_newest_is_refused),
        cmocka_unit_test(quality_is_there_from_the_start_even_if_nobody_measures),
        cmocka_unit_test(quality_is_measured_before_it_is_learned),
        cmocka_unit_test(asking_for_checkpoints_takes_no_batch_its_place),
        cmocka_unit_test(what_the_disk_refuses_counts_as_uncommitted),
        cmocka_unit_test(a_checkpoint_that_was_done_stays_done_however_many_are_asked_for),
        cmocka_unit_test(durable_is_what_the_synced_freeze_stood_for),
        cmocka_unit_test(what_is_not_known_of_a_partition_is_minus_one_and_zero_in_the_metrics),
        cmocka_unit_test(dead_letters_over_the_limit_stop_the_feed),
        cmocka_unit_test(what_was_taken_before_a_hold_is_still_applied_and_then_all_rests),
        cmocka_unit_test(a_hold_stops_the_feed_until_all_reasons_are_gone),
        cmocka_unit_test(a_refused_event_leaves_no_trace),
        cmocka_unit_test(a_user_stored_without_a_history_can_begin_one),
        cmocka_unit_test(a_newcomer_that_is_the_oldest_goes_at_once),
        cmocka_unit_test(batches_without_events_do_not_make_the_state_young),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
