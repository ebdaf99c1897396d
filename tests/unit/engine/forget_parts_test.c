/*
 * forget_parts_test.c -- many who are forgotten in one batch, each of whom takes long: it is applied in parts, between which positions are
 * exact, the journal is looked at, and a checkpoint may be taken.
 *
 *     ann, bob    60 items each, no bound and no window: 1,830 pairs to take back, and so each is a part where 1,000 are one
 *     cat         three of them, and stays
 */
#include "base_private.h"
#include "forgetting.h"

enum { LONG = 60, PART = 1000, SHORT = 3, FIRST = 2 * LONG + SHORT /* offset of what follows */ };

static char names[LONG][8];

static struct engine_options long_histories(void)
{
    struct engine_options options = parity();

    options.dedup_window = 0;
    options.checkpoint_interval = 3600000;
    for (int i = 0; i < LONG; i++)
        snprintf(names[i], sizeof(names[i]), "i%d", i);
    return options;
}

/* The store is there. The engine is not started: we are its thread. */
static void open_still(struct world *world, const struct engine_options *options)
{
    struct fr_err err;

    assert_int_equal(engine_open(&world->engine, options, world->store, &err), FR_OK);
    world->engine->work_max = PART;
    assert_int_equal(engine_partition(world->engine, TOPIC, 0, &world->partition, &world->next, &err), FR_OK);
}

static void apply_history(struct world *world, int64_t offset, const char *user, int len)
{
    static struct event_batch batch;

    for (int i = 0; i < len; i++) {
        batch.events[batch.len] = event(offset + i, user, names[i], NOON);
        batch.events[batch.len++].partition = world->partition;
        if (batch.len < EVENT_BATCH_MAX && i + 1 < len)
            continue;
        apply_batch(world->engine, &batch);
        batch.len = 0;
    }
}

static void apply_all_histories(struct world *world)
{
    apply_history(world, 0, "ann", LONG);
    apply_history(world, LONG, "bob", LONG);
    apply_history(world, 2 * LONG, "cat", SHORT);
}

/* Ann and bob are forgotten; dan comes. */
static void fill(const struct world *world, struct event_batch *batch)
{
    batch->events[0] = gone(FIRST, "ann", NULL, NOON + 1);
    batch->events[1] = gone(FIRST + 1, "bob", NULL, NOON + 1);
    batch->events[2] = event(FIRST + 2, "dan", "i0", NOON + 2);
    batch->len = 3;
    for (int i = 0; i < 3; i++)
        batch->events[i].partition = world->partition;
}

static int64_t reached(const struct world *world)
{
    return atomic_load(&world->engine->partitions[world->partition]->next);
}

static uint64_t pairs_of(struct world *world)
{
    static struct engine_status status;

    engine_status(world->engine, &status);
    return status.pairs;
}

static void assert_only_cat_and_dan(struct world *world)
{
    struct world other = {.store = store_memory_new(NULL)};
    struct engine_options options = long_histories();

    open_still(&other, &options);
    apply_history(&other, 0, "cat", SHORT);
    assert_int_equal(pairs_of(world), pairs_of(&other));
    assert_known(world, 2, LONG);
    assert_string_equal(recommend(world, "dan", (struct ask){.k = 2}), "i1 0.500000 i2 0.500000");
    engine_free(other.engine);
    other.store->ops->close(other.store);
}

/* Nothing is applied twice, and nothing is left out, when the end comes between two parts. */
static void a_batch_ends_in_parts_and_each_is_a_place_to_go_on_from(void **state)
{
    static struct event_batch batch;
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = long_histories();
    struct fr_err err;

    (void)state;
    open_still(&world, &options);
    apply_all_histories(&world);
    fill(&world, &batch);
    assert_false(apply_part(world.engine, &batch));
    assert_int_equal(reached(&world), FIRST + 1);
    assert_known(&world, 2, LONG);
    assert_int_equal(engine_start(world.engine, &err), FR_OK);
    end(&world); /* with a last checkpoint */
    open_still(&world, &options);
    assert_int_equal(world.next, FIRST + 1);
    assert_known(&world, 2, LONG);
    fill(&world, &batch);
    batch.applied = 0;
    assert_false(apply_part(world.engine, &batch)); /* ann's is passed over: it was applied before */
    assert_int_equal(reached(&world), FIRST + 2);
    assert_true(apply_part(world.engine, &batch));
    assert_int_equal(reached(&world), FIRST + 3);
    assert_int_equal(batch.applied, 0);
    assert_only_cat_and_dan(&world);
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

/* ---- the journal ---- */

static const struct store_ops *plain;
static _Atomic bool shut, waits;
static _Atomic int rounds; /* that the engine's loop has made, or more */

static int write_once_open(struct store *store, struct store_batch *batch, struct fr_err *err)
{
    for (; atomic_load(&shut); sched_yield())
        atomic_store(&waits, true);
    return plain->write(store, batch, err);
}

static uint64_t count_round(void *context)
{
    (void)context;
    atomic_fetch_add(&rounds, 1);
    return 0;
}

/* A checkpoint is being written and does not end, so there is none to make room: what is over the limit waits within the batch, too. */
static void a_full_journal_stops_a_batch_between_two_parts(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = long_histories();
    struct store_ops ops = *world.store->ops;
    struct event batch[3];
    uint64_t deadline = patience();
    struct fr_err err;

    (void)state;
    plain = world.store->ops;
    ops.write = write_once_open;
    world.store->ops = &ops;
    options.uncommitted_mb_max = 0; /* it is full as soon as there is anything in it */
    options.memory_soft = UINT64_MAX;
    options.memory_held = count_round;
    open_still(&world, &options);
    apply_all_histories(&world);
    atomic_store(&shut, true);
    assert_int_equal(engine_start(world.engine, &err), FR_OK);
    while (!atomic_load(&waits)) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
    batch[0] = gone(FIRST, "ann", NULL, NOON + 1);
    batch[1] = gone(FIRST + 1, "bob", NULL, NOON + 1);
    batch[2] = event(FIRST + 2, "dan", "i0", NOON + 2);
    give(&world, batch, 3);
    await(&world, FIRST + 1);
    for (int seen = atomic_load(&rounds); atomic_load(&rounds) < seen + 2; sched_yield())
        assert_true(fr_mono_ns() < deadline);
    assert_int_equal(reached(&world), FIRST + 1);
    assert_false(engine_applied(world.engine, engine_given(world.engine)));
    atomic_store(&shut, false);
    engine_checkpoint_ask(world.engine);
    await(&world, FIRST + 2);
    checkpoint(&world);
    await(&world, FIRST + 3);
    assert_only_cat_and_dan(&world);
    end(&world);
    world.store->ops = plain;
    world.store->ops->close(world.store);
}

/* ---- the pulse ---- */

static uint64_t began_ns;
static int stuck;

/* As it would be if what is done until here, since the first item was taken out, had taken as long as a pulse may. */
static void take_long(struct model *model, const struct touch *touch)
{
    const char *name;

    sar_ops.forget(model, touch);
    if (began_ns)
        stuck += !life_pulses_at(began_ns + FR_PULSE_LIMIT_MS * UINT64_C(1000000) + 1, &name);
    for (began_ns = began_ns ? began_ns : fr_mono_ns(); fr_mono_ns() == began_ns;)
        ;
}

static void one_who_takes_long_is_not_taken_for_stuck(void **state)
{
    static struct event_batch batch;
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = long_histories();
    struct model_ops ops = sar_ops;

    (void)state;
    open_still(&world, &options);
    apply_history(&world, 0, "ann", 10);
    ops.forget = take_long;
    world.engine->learners[0].ops = &ops;
    world.engine->pulse = fr_pulse_start("engine");
    batch.events[0] = gone(10, "ann", NULL, NOON + 1);
    batch.events[0].partition = world.partition;
    batch.len = 1;
    assert_true(apply_part(world.engine, &batch));
    fr_pulse_stop(world.engine->pulse);
    assert_true(began_ns > 0);
    assert_int_equal(stuck, 0);
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_ends_in_parts_and_each_is_a_place_to_go_on_from),
        cmocka_unit_test(a_full_journal_stops_a_batch_between_two_parts),
        cmocka_unit_test(one_who_takes_long_is_not_taken_for_stuck),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
