/*
 * heard_test.c -- what the engine is told while Kafka is there, and while it is not: that the ends of logs still stand, which topics there are,
 * and that nobody answers.
 */
#include "world.h"

/* Some topics more than one feed has; they need not exist. */
static struct feed_options options_of_three(void)
{
    struct feed_options options = world_options();

    options.items_topic = "items";
    options.users_topic = "users";
    return options;
}

static bool topics_are_told(const struct engine *engine, const void *want)
{
    return engine->topics_told == ((const struct want *)want)->count;
}

static bool is_confirmed(const struct engine *engine, const void *want)
{
    const struct want *wanted = want;
    const struct fake_partition *partition = fake_engine_partition_of(engine, TOPIC, wanted->number);

    return partition && partition->heard >= wanted->count;
}

static unsigned confirmed(struct world *world, int32_t number)
{
    pthread_mutex_lock(&world->engine->lock);
    const struct fake_partition *partition = fake_engine_partition_of(world->engine, TOPIC, number);
    unsigned heard = partition->heard;
    pthread_mutex_unlock(&world->engine->lock);
    return heard;
}

static void wait_confirmed(struct world *world, int32_t number, unsigned count)
{
    if (!fake_engine_wait(world->engine, is_confirmed, &(struct want){.number = number, .count = count}))
        fail_msg("the end of %d was confirmed %u times, not %u", number, confirmed(world, number), count);
}

/* Events wait for what is said of items and users, which nobody tells: the consumer of events has nothing to do, and says so all the same. */
static void without_kafka_from_the_start_each_consumer_is_cut_off(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    fake_engine_know(world.engine, TOPIC, 0, 0);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    world_feed(&world, options_of_three());
    wait_for_client(&world, "consumer of items", true);
    wait_for_client(&world, "consumer of users", true);
    wait_for_client(&world, "consumer", true);
    pthread_mutex_lock(&world.engine->lock);
    assert_int_equal(world.engine->topics_awaited, 3);
    assert_int_equal(world.engine->topics_told, 0);
    assert_int_equal(fake_engine_partition_of(world.engine, TOPIC, 0)->heard, 0);
    pthread_mutex_unlock(&world.engine->lock);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, BROKER), 0);
    wait_for_client(&world, "consumer", false);
    assert_true(fake_engine_wait(world.engine, topics_are_told, &(struct want){.count = 3}));
    wait_confirmed(&world, 0, 1);
    world_close(&world);
}

/* Nothing comes, and nothing goes: only answers tell that from a Kafka that is gone. */
static void ends_are_confirmed_again_and_again_while_kafka_answers(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    world_feed(&world, world_options());
    wait_confirmed(&world, 0, 2);
    wait_confirmed(&world, 1, 2);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    wait_for_client(&world, "consumer", true);
    wait_rounds(&world, 2); /* an answer that came before has been told */
    unsigned before = confirmed(&world, 0);
    wait_rounds(&world, 10);
    assert_int_equal(confirmed(&world, 0), before);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, BROKER), 0);
    wait_confirmed(&world, 0, before + 2);
    wait_confirmed(&world, 1, before + 1);
    world_close(&world);
}

/* Each has a partition, and both are heard. */
static void feed_two_brokers(struct world *world)
{
    world_open_brokers(world, 2, 2);
    assert_int_equal(rd_kafka_mock_partition_set_leader(world->cluster, TOPIC, 0, 1), 0);
    assert_int_equal(rd_kafka_mock_partition_set_leader(world->cluster, TOPIC, 1, 2), 0);
    world_feed(world, world_options());
    wait_confirmed(world, 0, 1);
    wait_confirmed(world, 1, 1);
}

static void a_broker_that_is_away_hides_only_its_own(void **state)
{
    struct world world;

    (void)state;
    feed_two_brokers(&world);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, 2), 0);
    wait_rounds(&world, 2);
    unsigned zero = confirmed(&world, 0), one = confirmed(&world, 1);
    wait_confirmed(&world, 0, zero + 2);
    assert_int_equal(confirmed(&world, 1), one);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, 2), 0);
    wait_confirmed(&world, 1, one + 1);
    world_close(&world);
}

/* A paused daemon does not poll, and is asked for the ends themselves. */
static void while_ingest_stands_still_too(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_feed(&world, world_options());
    wait_for(&world, 0, 0, PARTITION_RUNNING);
    fake_engine_hold(world.engine, true);
    wait_confirmed(&world, 0, confirmed(&world, 0) + 3);
    world_close(&world);
}

static bool end_is(const struct engine *engine, const void *want)
{
    const struct want *wanted = want;

    return fake_engine_partition_of(engine, TOPIC, wanted->number)->end == wanted->next;
}

/* Nobody polls, so what an oldest offset tells is no end; and the ends of the one are told although the other is not there. */
static void while_ingest_stands_still_a_broker_that_is_away_hides_only_its_own(void **state)
{
    struct world world;

    (void)state;
    feed_two_brokers(&world);
    fake_engine_hold(world.engine, true);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, 2), 0);
    wait_rounds(&world, 2);
    world_events(&world, 0, 0, 5);
    if (!fake_engine_wait(world.engine, end_is, &(struct want){.number = 0, .next = 5}))
        fail_msg("the end of 0 is hidden by the broker that has 1");
    wait_confirmed(&world, 0, confirmed(&world, 0) + 3);
    world_close(&world);
}

/* One broker a round, and more of them than there are rounds until the first is due again. */
static void while_ingest_stands_still_each_of_many_brokers_is_asked(void **state)
{
    enum { BROKERS = 20 };
    unsigned before[BROKERS];
    struct world world;

    (void)state;
    world_open_brokers(&world, BROKERS, BROKERS);
    for (int i = 0; i < BROKERS; i++)
        assert_int_equal(rd_kafka_mock_partition_set_leader(world.cluster, TOPIC, i, i + 1), 0);
    world_feed(&world, world_options());
    for (int i = 0; i < BROKERS; i++)
        wait_confirmed(&world, i, 1);
    fake_engine_hold(world.engine, true);
    wait_rounds(&world, 2);
    world_events(&world, BROKERS - 1, 0, 5);
    if (!fake_engine_wait(world.engine, end_is, &(struct want){.number = BROKERS - 1, .next = 5}))
        fail_msg("nobody asks the last of %d brokers", BROKERS);
    for (int i = 0; i < BROKERS; i++)
        before[i] = confirmed(&world, i);
    for (int i = 0; i < BROKERS; i++)
        wait_confirmed(&world, i, before[i] + 2);
    world_close(&world);
}

/* Whoever says so knows all that there is. That we may not know is an answer where the topic need not exist. */
static void that_there_is_no_such_topic_is_an_answer(void **state)
{
    struct feed_options options = options_of_three();
    struct world world;

    (void)state;
    world_open(&world, 1);
    rd_kafka_mock_topic_set_error(world.cluster, "items", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    rd_kafka_mock_topic_set_error(world.cluster, "users", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    rd_kafka_mock_topic_set_error(world.cluster, TOPIC, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED); /* this is none */
    world_feed(&world, options);
    assert_true(fake_engine_wait(world.engine, topics_are_told, &(struct want){.count = 2}));
    wait_rounds(&world, 10);
    pthread_mutex_lock(&world.engine->lock);
    assert_int_equal(world.engine->topics_told, 2);
    pthread_mutex_unlock(&world.engine->lock);
    rd_kafka_mock_topic_set_error(world.cluster, TOPIC, RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_true(fake_engine_wait(world.engine, topics_are_told, &(struct want){.count = 3}));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_kafka_from_the_start_each_consumer_is_cut_off),
        cmocka_unit_test(ends_are_confirmed_again_and_again_while_kafka_answers),
        cmocka_unit_test(a_broker_that_is_away_hides_only_its_own),
        cmocka_unit_test(while_ingest_stands_still_too),
        cmocka_unit_test(while_ingest_stands_still_a_broker_that_is_away_hides_only_its_own),
        cmocka_unit_test(while_ingest_stands_still_each_of_many_brokers_is_asked),
        cmocka_unit_test(that_there_is_no_such_topic_is_an_answer),
    };

    return cmocka_run_group_tests_name("heard", tests, NULL, NULL);
}
