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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_much_poison_halts_its_partition_and_no_other),
        cmocka_unit_test(switched_off_it_never_halts),
    };

    return cmocka_run_group_tests_name("poison", tests, NULL, NULL);
}
