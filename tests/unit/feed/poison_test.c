/*
 * poison_test.c -- a partition full of poison is halted where it is, the others go on, and a restart goes on behind it.
 */
#include "world.h"

static void bad_events(struct world *world, int partition, int count)
{
    for (int i = 0; i < count; i++)
        world_send(world, TOPIC, partition, FR_BYTES("u"), FR_BYTES("{"), 1000, NULL);
    world_flush(world);
}

static void too_much_poison_halts_its_partition_and_no_other(void **state)
{
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.poison_max_percent = 5;
    world_open(&world, 2);
    world_events(&world, 0, 0, 100);
    bad_events(&world, 0, 800);
    world_events(&world, 0, 100, 100);
    bad_events(&world, 1, 500); /* not one more */
    world_events(&world, 1, 0, 100);
    world_feed(&world, options);
    wait_for(&world, 0, 601, PARTITION_HALTED_POISON);
    wait_for(&world, 1, 600, PARTITION_RUNNING);
    world_events(&world, 1, 100, 100);
    wait_for(&world, 1, 700, PARTITION_RUNNING);
    wait_rounds(&world, 8);
    assert_int_equal(fake_engine_partition(world.engine, 0)->next, 601);
    assert_int_equal(fake_engine_partition(world.engine, 0)->rejected, 501);
    feed_stop(world.feed); /* a restart goes on, with a new window */
    fake_engine_restart(world.engine);
    world_feed(&world, options);
    wait_for(&world, 0, 1000, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(fake_engine_partition(world.engine, 0)->rejected, 800);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, 200);
    assert_int_equal(world.engine->letters_len, 1300); /* what was dead-lettered stays so */
    world_close(&world);
}

static void switched_off_it_never_halts(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    bad_events(&world, 0, 3000);
    world_feed(&world, world_options());
    wait_for(&world, 0, 3000, PARTITION_RUNNING);
    world_close(&world);
}

/* A megabyte of zeros, some hundred bytes on the way. */
static void send_packed(struct world *world)
{
    static char zeros[1 << 20];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200];

    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", world->address, text, sizeof(text)), RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "compression.type", "zstd", text, sizeof(text)), RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "message.max.bytes", "2000000", text, sizeof(text)), RD_KAFKA_CONF_OK);
    struct world packing = {.producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text))};
    assert_non_null(packing.producer);
    world_send(&packing, TOPIC, 0, FR_BYTES("u"), (struct fr_bytes){zeros, sizeof(zeros)}, 1000, NULL);
    world_flush(&packing);
    rd_kafka_destroy(packing.producer);
}

static void feed_up_to(struct world *world, const char *bytes)
{
    const char *keys[] = {"bootstrap.servers", "message.max.bytes", "fetch.max.bytes", "receive.message.max.bytes"};
    const char *values[] = {world->address, "20000", "20000", bytes};
    struct feed_options options = world_options();
    struct fr_err err;

    options.kafka_keys = keys;
    options.kafka_values = values;
    options.kafka_len = 4;
    if (feed_start(&world->feed, &options, world->engine, &err))
        fail_msg("%s", err.text);
}

static void a_batch_that_cannot_be_unpacked_halts_its_partition_and_no_other(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    world_events(&world, 0, 0, 5);
    send_packed(&world);
    world_events(&world, 0, 5, 5);
    feed_up_to(&world, "100000");
    wait_for(&world, 0, 5, PARTITION_HALTED_POISON);
    world_events(&world, 1, 0, 5);
    wait_for(&world, 1, 5, PARTITION_RUNNING);
    feed_stop(world.feed); /* a start that may take more has it, and what comes behind it */
    fake_engine_restart(world.engine);
    feed_up_to(&world, "20000000");
    wait_for(&world, 0, 11, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(fake_engine_partition(world.engine, 0)->rejected, 1);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, 10);
    world_close(&world);
}

static struct reset_outcome reset_partition(struct world *world, struct reset reset)
{
    struct reset_outcome outcome;
    struct fr_err err;
    uint64_t ticket;
    int status;

    assert_int_equal(feed_reset(world->feed, &reset, &ticket, &err), FR_OK);
    while (!feed_reset_done(world->feed, ticket, &outcome, &status, &err))
        wait_rounds(world, 1);
    assert_int_equal(status, FR_OK);
    return outcome;
}

/* The record before the batch, by which the log should prove itself, would lead into it again. */
static void a_reset_goes_on_behind_a_batch_that_cannot_be_unpacked(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_events(&world, 0, 0, 5);
    send_packed(&world);
    world_events(&world, 0, 5, 5);
    feed_up_to(&world, "100000");
    wait_for(&world, 0, 5, PARTITION_HALTED_POISON);
    reset_partition(&world, (struct reset){.applied = 5, .to = RESET_TO_OFFSET, .offset = 6});
    wait_for(&world, 0, 11, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(fake_engine_partition(world.engine, 0)->skipped, 1);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, 10);
    world_close(&world);
}

/* Nothing of it was ever read: it stands at -1, as the status says. */
static void nor_is_the_first_batch_of_a_log_the_end_of_it(void **state)
{
    struct reset_outcome outcome;
    struct world world;

    (void)state;
    world_open(&world, 1);
    send_packed(&world);
    world_events(&world, 0, 0, 5);
    feed_up_to(&world, "100000");
    wait_for(&world, 0, -1, PARTITION_HALTED_POISON);
    outcome = reset_partition(&world, (struct reset){.applied = -1, .to = RESET_TO_OFFSET, .offset = 2});
    assert_int_equal(outcome.from, -1);
    assert_int_equal(outcome.skipped, 2);
    assert_false(outcome.other_log);
    wait_for(&world, 0, 6, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(fake_engine_partition(world.engine, 0)->skipped, 2);
    assert_int_equal(fake_engine_partition(world.engine, 0)->applied, 4);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_much_poison_halts_its_partition_and_no_other),
        cmocka_unit_test(switched_off_it_never_halts),
        cmocka_unit_test(a_batch_that_cannot_be_unpacked_halts_its_partition_and_no_other),
        cmocka_unit_test(a_reset_goes_on_behind_a_batch_that_cannot_be_unpacked),
        cmocka_unit_test(nor_is_the_first_batch_of_a_log_the_end_of_it),
    };

    return cmocka_run_group_tests_name("poison", tests, NULL, NULL);
}
