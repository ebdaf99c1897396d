/*
 * assign_test.c -- where each partition starts, and what happens when Kafka does not have that offset.
 *
 * A trimmed log is made by the mock's own retention: 5 MiB per partition, the oldest batch goes first. Twelve records
 * of 500 KB, a batch each, leave ten (5,000,000 bytes and some) of them.
 */
#include "world.h"

enum { FAT_RECORDS = 12, FAT_BYTES = 500000 };

static const struct fake_event *events[4000];

static void reading_begins_at_the_stored_offset(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    world_events(&world, 0, 0, 100);
    world_events(&world, 1, 0, 100);
    fake_engine_know(world.engine, TOPIC, 0, 40);
    fake_engine_know(world.engine, TOPIC, 1, 100); /* all of it is read */
    world_feed(&world, world_options());
    wait_for(&world, 0, 100, PARTITION_RUNNING);
    world_events(&world, 1, 100, 1);
    wait_for(&world, 1, 101, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(events_of(&world, 0, events, 4000), 60);
    assert_int_equal(events[0]->offset, 40);
    assert_string_equal(events[0]->item, "i40");
    assert_int_equal(events_of(&world, 1, events, 4000), 1);
    assert_int_equal(events[0]->offset, 100);
    world_close(&world);
}

/* The mock knows no record for any time, as Kafka for a time after the last record: both starts are the end. */
static void a_log_never_read_starts_at_its_end_when_told_so_and_that_is_made_lasting(void **state)
{
    static const enum feed_start starts[] = {FEED_LATEST, FEED_TIME};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct feed_options options = world_options();
        struct world world;

        options.start = starts[i];
        options.start_time = 1700000000000;
        world_open(&world, 2);
        world_events(&world, 0, 0, 30);
        world_feed(&world, options);
        wait_for(&world, 0, 30, PARTITION_RUNNING);
        wait_for(&world, 1, 0, PARTITION_RUNNING);
        world_events(&world, 0, 30, 5);
        world_events(&world, 1, 0, 5);
        wait_for(&world, 0, 35, PARTITION_RUNNING);
        wait_for(&world, 1, 5, PARTITION_RUNNING);
        feed_stop(world.feed);
        world.feed = NULL;
        assert_int_equal(events_of(&world, 0, events, 4000), 6);
        assert_int_equal(events[0]->kind, EVENT_POSITION);
        assert_int_equal(events[0]->offset, 30);
        assert_int_equal(events[1]->kind, EVENT_APPLY);
        assert_int_equal(events[1]->offset, 30);
        assert_int_equal(events_of(&world, 1, events, 4000), 6);
        assert_int_equal(events[0]->kind, EVENT_POSITION);
        assert_int_equal(events[0]->offset, 0);
        world_close(&world);
    }
}

static void a_partition_the_store_does_not_know_beside_others_is_new_and_read_whole(void **state)
{
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.start = FEED_LATEST;
    world_open(&world, 2);
    world_events(&world, 0, 0, 10);
    world_events(&world, 1, 0, 10);
    fake_engine_know(world.engine, TOPIC, 0, 5);
    world_feed(&world, options);
    wait_for(&world, 0, 10, PARTITION_RUNNING);
    wait_for(&world, 1, 10, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(events_of(&world, 1, events, 4000), 10);
    assert_int_equal(events[0]->offset, 0);
    world_close(&world);
}

static void an_empty_partition_is_known_to_be_read_up_to_its_end(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_feed(&world, world_options());
    wait_for(&world, 0, 0, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(events_of(&world, 0, events, 4000), 1);
    assert_int_equal(events[0]->kind, EVENT_POSITION);
    assert_int_equal(events[0]->offset, 0);
    world_close(&world);
}

/* Fills partition 0 beyond what the mock keeps; returns the first offset still there. */
static int64_t trim(struct world *world)
{
    char *value = malloc(FAT_BYTES + 100);
    int64_t low, high;
    int head = snprintf(value, 100, "{\"user_id\":\"u0\",\"item_id\":\"fat\",\"context\":{\"pad\":\"");

    memset(value + head, 'x', FAT_BYTES);
    memcpy(value + head + FAT_BYTES, "\"}}", 3);
    for (int i = 0; i < FAT_RECORDS; i++) {
        world_send(world, TOPIC, 0, FR_BYTES("u0"), (struct fr_bytes){value, (size_t)head + FAT_BYTES + 3}, 1000, NULL);
        world_flush(world);
    }
    free(value);
    assert_int_equal(rd_kafka_query_watermark_offsets(world->producer, TOPIC, 0, &low, &high, PRODUCE_MS), 0);
    assert_int_equal(low, 2); /* ten of 500 KB fit into 5,242,880 bytes, eleven do not */
    assert_int_equal(high, FAT_RECORDS);
    return low;
}

static void a_gap_halts_its_partition_and_no_other(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    trim(&world);
    world_events(&world, 1, 0, 10);
    fake_engine_know(world.engine, TOPIC, 0, 1);
    fake_engine_know(world.engine, TOPIC, 1, 0);
    world_feed(&world, world_options());
    wait_for(&world, 0, 1, PARTITION_HALTED_GAP);
    wait_for(&world, 1, 10, PARTITION_RUNNING);
    world_events(&world, 0, 0, 1); /* of no use to a halted partition */
    world_events(&world, 1, 10, 1);
    wait_for(&world, 1, 11, PARTITION_RUNNING);
    wait_rounds(&world, 8); /* all partitions are reported again meanwhile */
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(fake_engine_partition(world.engine, 0)->state, PARTITION_HALTED_GAP);
    assert_int_equal(events_of(&world, 0, events, 4000), 0);
    world_close(&world);
}

static bool ends_at(const struct engine *engine, const void *want)
{
    const struct want *wanted = want;

    return fake_engine_partition(engine, wanted->number)->end == wanted->next;
}

static void wait_for_end(struct world *world, int32_t number, int64_t end)
{
    const struct want want = {.number = number, .next = end};

    if (!fake_engine_wait(world->engine, ends_at, &want))
        fail_msg("partition %d ends at %lld, not at %lld", number, (long long)fake_engine_partition(world->engine, number)->end,
                 (long long)end);
}

/* No batch is out: what comes from now on is not read. */
static bool rests(const struct engine *engine, const void *want)
{
    (void)want;
    return engine->batches_len == FAKE_BATCHES;
}

static void the_end_of_a_log_is_known_while_ingest_stands_still(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    world_events(&world, 0, 0, 10);
    world_feed(&world, world_options());
    wait_for(&world, 0, 10, PARTITION_RUNNING);
    wait_for(&world, 1, 0, PARTITION_RUNNING);
    fake_engine_hold(world.engine, true);
    assert_true(fake_engine_wait(world.engine, rests, NULL));
    for (int round = 0; round < 2; round++) { /* it goes on rising */
        world_events(&world, 0, 10 + 5 * round, 5);
        world_events(&world, 1, 3 * round, 3);
        wait_for_end(&world, 0, 15 + 5 * round);
        wait_for_end(&world, 1, 3 + 3 * round);
    }
    assert_int_equal(given_now(&world), 10);
    assert_int_equal(state_now(&world, 0), PARTITION_RUNNING);
    fake_engine_hold(world.engine, false);
    wait_for(&world, 0, 20, PARTITION_RUNNING);
    wait_for(&world, 1, 6, PARTITION_RUNNING);
    world_close(&world);
}

static void and_that_of_a_log_that_is_halted(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    trim(&world);
    fake_engine_know(world.engine, TOPIC, 0, 1);
    fake_engine_know(world.engine, TOPIC, 1, 0);
    world_feed(&world, world_options());
    wait_for(&world, 0, 1, PARTITION_HALTED_GAP);
    world_events(&world, 0, 0, 3);
    wait_for_end(&world, 0, FAT_RECORDS + 3);
    world_events(&world, 0, 3, 3);
    wait_for_end(&world, 0, FAT_RECORDS + 6);
    assert_int_equal(state_now(&world, 0), PARTITION_HALTED_GAP);
    world_close(&world);
}

static void a_gap_may_be_skipped(void **state)
{
    struct feed_options options = world_options();
    struct world world;
    int64_t low;

    (void)state;
    options.on_gap_skip = true;
    world_open(&world, 2);
    low = trim(&world);
    world_events(&world, 1, 0, 10);
    fake_engine_know(world.engine, TOPIC, 0, 1);
    fake_engine_know(world.engine, TOPIC, 1, 0);
    world_feed(&world, options);
    wait_for(&world, 0, FAT_RECORDS, PARTITION_RUNNING);
    wait_for(&world, 1, 10, PARTITION_RUNNING);
    world_events(&world, 1, 10, 1); /* the others go on through the new assignment */
    wait_for(&world, 1, 11, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(events_of(&world, 0, events, 4000), 1 + FAT_RECORDS - low);
    assert_int_equal(events[0]->kind, EVENT_HOLE);
    assert_int_equal(events[0]->offset, low);
    assert_int_equal(events[1]->kind, EVENT_APPLY);
    assert_int_equal(events[1]->offset, low);
    assert_int_equal(fake_engine_partition(world.engine, 1)->applied, 11);
    world_close(&world);
}

static void earliest_is_wherever_a_trimmed_log_begins(void **state)
{
    struct world world;
    int64_t low;

    (void)state;
    world_open(&world, 1);
    low = trim(&world);
    world_feed(&world, world_options());
    wait_for(&world, 0, FAT_RECORDS, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(events_of(&world, 0, events, 4000), FAT_RECORDS - low);
    assert_int_equal(events[0]->offset, low);
    world_close(&world);
}

static void a_log_shorter_than_the_stored_offset_halts_whatever_the_policy(void **state)
{
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.on_gap_skip = true;
    world_open(&world, 2);
    world_events(&world, 0, 0, 10);
    world_events(&world, 1, 0, 10);
    fake_engine_know(world.engine, TOPIC, 0, 11);
    fake_engine_know(world.engine, TOPIC, 1, 9);
    world_feed(&world, options);
    wait_for(&world, 0, 11, PARTITION_HALTED_TRUNCATED);
    wait_for(&world, 1, 10, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(events_of(&world, 0, events, 4000), 0);
    assert_int_equal(fake_engine_partition(world.engine, 0)->end, 10);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_begins_at_the_stored_offset),
        cmocka_unit_test(a_log_never_read_starts_at_its_end_when_told_so_and_that_is_made_lasting),
        cmocka_unit_test(a_partition_the_store_does_not_know_beside_others_is_new_and_read_whole),
        cmocka_unit_test(an_empty_partition_is_known_to_be_read_up_to_its_end),
        cmocka_unit_test(a_gap_halts_its_partition_and_no_other),
        cmocka_unit_test(the_end_of_a_log_is_known_while_ingest_stands_still),
        cmocka_unit_test(and_that_of_a_log_that_is_halted),
        cmocka_unit_test(a_gap_may_be_skipped),
        cmocka_unit_test(earliest_is_wherever_a_trimmed_log_begins),
        cmocka_unit_test(a_log_shorter_than_the_stored_offset_halts_whatever_the_policy),
    };

    return cmocka_run_group_tests_name("assign", tests, NULL, NULL);
}
