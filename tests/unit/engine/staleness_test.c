/*
 * staleness_test.c -- how stale the answers are, as far as Kafka has told where its logs end.
 */
#include <math.h>
#include <sched.h>

#include "engine_world.h"

static struct staleness stale_at(const struct world *world, when_ms wall)
{
    return engine_staleness(world->engine, wall);
}

static void behind_with_nothing_applied_is_of_any_age(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();

    (void)state;
    begin(&world, &options);
    engine_partition_says(world.engine, world.partition, PARTITION_RUNNING, 7, -1);
    assert_true(isinf(stale_at(&world, NOON).seconds));
    town(&world); /* offsets 0 to 5, all of noon */
    assert_true(stale_at(&world, NOON + 2500).seconds == 2.5);
    assert_false(stale_at(&world, NOON + 2500).unsure);
    engine_partition_says(world.engine, world.partition, PARTITION_RUNNING, 6, -1);
    uint64_t deadline = patience();
    while (stale_at(&world, fr_wall_ms()).seconds > 0) { /* until the batch counts as done */
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
    end(&world);
    world.store->ops->close(world.store);
}

static void what_is_empty_is_not_behind(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct engine_status *status = fr_alloc(sizeof(*status));

    (void)state;
    begin(&world, &options);
    engine_partition_says(world.engine, world.partition, PARTITION_RUNNING, 0, -1);
    assert_true(stale_at(&world, fr_wall_ms()).seconds == 0);
    engine_partition_says(world.engine, world.partition, PARTITION_RUNNING, 500, -1);
    engine_partition_low(world.engine, world.partition, 500); /* all of it is deleted */
    assert_true(stale_at(&world, fr_wall_ms()).seconds == 0);
    engine_status(world.engine, status);
    assert_int_equal(status->partitions[0].lag, 0);
    assert_true(status->partitions[0].lag_seconds == 0);
    engine_partition_low(world.engine, world.partition, 400);
    engine_status(world.engine, status);
    assert_int_equal(status->partitions[0].lag, 100);
    assert_true(isfinite(status->partitions[0].lag_seconds)); /* they came after it was seen empty */
    free(status);
    end(&world);
    world.store->ops->close(world.store);
}

/* A store that knows six records, and a daemon that no Kafka answers: "caught up" would be a guess. */
static void an_end_never_told_is_no_end_that_was_reached(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_err err;
    int64_t next;

    (void)state;
    begin(&world, &options);
    town(&world);
    end(&world);
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    assert_true(stale_at(&world, NOON + 4000).seconds == 0); /* nobody reads that topic any more */
    engine_topic_awaited(world.engine, TOPIC);
    assert_string_equal(stale_at(&world, NOON + 4000).untold, TOPIC);
    assert_true(world.engine->partitions[0]->awaited);
    assert_true(stale_at(&world, world.engine->opened).seconds > 4); /* what is missing came after noon */
    engine_topic_told(world.engine, TOPIC, 1);
    assert_int_equal(engine_partition(world.engine, TOPIC, 0, &world.partition, &next, &err), FR_OK);
    engine_partition_says(world.engine, world.partition, PARTITION_WAITING, -1, -1);
    assert_string_equal(stale_at(&world, NOON + 4000).untold, TOPIC); /* it has one partition, which ends somewhere */
    assert_true(stale_at(&world, NOON + 4000).seconds == 4);
    engine_partition_says(world.engine, world.partition, PARTITION_RUNNING, 10, -1);
    assert_null(stale_at(&world, NOON + 4000).untold);
    assert_true(stale_at(&world, NOON + 4000).seconds == 4); /* four more, indeed */
    assert_int_equal(engine_partition(world.engine, TOPIC, 1, &world.partition, &next, &err), FR_OK);
    engine_topic_awaited(world.engine, TOPIC);
    engine_topic_told(world.engine, TOPIC, 2);
    assert_string_equal(stale_at(&world, NOON + 4000).untold, TOPIC);
    engine_topic_told(world.engine, TOPIC, 1); /* that one is gone: nobody will tell its end */
    assert_null(stale_at(&world, NOON + 4000).untold);
    engine_topic_told(world.engine, TOPIC, 2);
    engine_partition_says(world.engine, world.partition, PARTITION_RUNNING, 3, -1);
    assert_true(isinf(stale_at(&world, NOON + 4000).seconds)); /* there again, with three records */
    engine_topic_told(world.engine, TOPIC, 1);
    assert_true(stale_at(&world, NOON + 4000).seconds == 4); /* the other's */
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

/* A new store: as long as Kafka is silent there may be anything; that there is no such topic is an answer. */
static void of_a_topic_never_told_nobody_knows_anything(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_err err;

    (void)state;
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    assert_null(stale_at(&world, fr_wall_ms()).untold);
    engine_topic_awaited(world.engine, "events");
    engine_topic_awaited(world.engine, "items");
    assert_true(stale_at(&world, world.engine->opened + 7000).seconds == 7);
    engine_topic_told(world.engine, "events", 1);
    assert_string_equal(stale_at(&world, fr_wall_ms()).untold, "items");
    assert_true(stale_at(&world, fr_wall_ms()).unsure);
    engine_topic_told(world.engine, "items", 0);
    assert_null(stale_at(&world, world.engine->opened + 7000).untold);
    assert_true(stale_at(&world, world.engine->opened + 7000).seconds == 0);
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

/* Caught up, then Kafka is silent: from the last time that it told the end on. */
static void an_end_told_long_ago_is_not_the_end(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct engine_status *status = fr_alloc(sizeof(*status));

    (void)state;
    begin(&world, &options);
    town(&world);
    engine_partition_says(world.engine, world.partition, PARTITION_RUNNING, 6, -1);
    when_ms told = fr_wall_ms() + 3600000; /* which no report of now makes younger */
    engine_partition_heard(world.engine, world.partition, told);
    assert_true(partition_staleness(world.engine, world.engine->partitions[0], told + ENGINE_HEARD_MS).seconds == 0);
    engine_partition_says(world.engine, world.partition, PARTITION_RUNNING, 6, -1); /* nothing new in it */
    struct staleness silent = partition_staleness(world.engine, world.engine->partitions[0], told + ENGINE_HEARD_MS + 500);
    assert_true(silent.seconds == ENGINE_HEARD_MS / 1000.0 + 0.5);
    assert_true(silent.unsure);
    assert_null(silent.untold); /* so long, and no longer */
    engine_partition_heard(world.engine, world.partition, told + ENGINE_HEARD_MS + 500);
    assert_true(partition_staleness(world.engine, world.engine->partitions[0], told + ENGINE_HEARD_MS + 500).seconds == 0);

    engine_partition_heard(world.engine, world.partition, NOON + 60000); /* long before now */
    engine_partition_says(world.engine, world.partition, PARTITION_RUNNING, 6, -1);
    engine_status(world.engine, status);
    assert_true(status->partitions[0].unsure);
    assert_int_equal(status->partitions[0].lag, 0);
    engine_partition_says(world.engine, world.partition, PARTITION_RUNNING, 8, -1); /* they came after that, whenever we hear of them */
    assert_true(partition_staleness(world.engine, world.engine->partitions[0], NOON + 90000).seconds == 30);
    free(status);
    end(&world);
    world.store->ops->close(world.store);
}

static void the_oldest_record_of_all_batches_given_says_how_stale(void **state)
{
    struct world world = {.store = store_memory_new(NULL)};
    struct engine_options options = parity();
    struct fr_err err;
    int64_t next;

    (void)state;
    /* No thread runs: both batches wait. */
    assert_int_equal(engine_open(&world.engine, &options, world.store, &err), FR_OK);
    assert_int_equal(engine_partition(world.engine, TOPIC, 0, &world.partition, &next, &err), FR_OK);
    give(&world, (const struct event[]){event(0, "ann", "apple", NOON + 3000)}, 1);
    give(&world, (const struct event[]){event(1, "bob", "apple", NOON + 1000)}, 1);
    assert_true(engine_staleness(world.engine, NOON + 4000).seconds == 3);
    engine_free(world.engine);
    world.store->ops->close(world.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behind_with_nothing_applied_is_of_any_age),
        cmocka_unit_test(what_is_empty_is_not_behind),
        cmocka_unit_test(an_end_never_told_is_no_end_that_was_reached),
        cmocka_unit_test(of_a_topic_never_told_nobody_knows_anything),
        cmocka_unit_test(an_end_told_long_ago_is_not_the_end),
        cmocka_unit_test(the_oldest_record_of_all_batches_given_says_how_stale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
