/*
 * verdict_test.c -- is this the log we know? Another record where we were, another cluster, a topic that goes and comes, and
 * all the cases that prove nothing.
 */
#include "assign.h"
#include "detour.h"
#include "freshet/clock.h"
#include "tap.h"

static const struct fake_event *events[4000];

/* As after the first `next` events of the partition and a stop. */
static void remember(struct world *world, int32_t number, int64_t next, int64_t last, uint64_t print)
{
    struct fake_partition *partition;

    fake_engine_know(world->engine, TOPIC, number, next);
    partition = (struct fake_partition *)fake_engine_partition(world->engine, number);
    partition->last = last;
    partition->print = print;
}

static void restart(struct world *world, struct feed_options options)
{
    feed_stop(world->feed);
    world->feed = NULL;
    fake_engine_restart(world->engine);
    world_feed(world, options);
}

static void the_log_we_know_is_read_on_and_its_last_record_not_given_again(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    world_events(&world, 0, 0, 100);
    world_events(&world, 1, 0, 1);
    world_feed(&world, world_options());
    wait_for(&world, 0, 100, PARTITION_RUNNING);
    wait_for(&world, 1, 1, PARTITION_RUNNING);
    for (int round = 1; round <= 3; round++) {
        restart(&world, world_options());
        world_events(&world, 0, 100 * round, 100);
        wait_for(&world, 0, 100 * round + 100, PARTITION_RUNNING);
        wait_for(&world, 1, round, PARTITION_RUNNING);
        world_events(&world, 1, round, 1); /* it comes behind the last record, which is read again */
        wait_for(&world, 1, round + 1, PARTITION_RUNNING);
    }
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->applied, 404); /* and the fake engine aborts when one comes twice */
    world_close(&world);
}

static void another_record_where_we_were_halts_its_partition_and_no_other(void **state)
{
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.on_gap_skip = true; /* changes nothing */
    world_open(&world, 3);
    for (int partition = 0; partition < 3; partition++)
        world_events(&world, partition, 0, 50);
    remember(&world, 0, 20, 19, 4711);
    fake_engine_know(world.engine, TOPIC, 1, 20); /* nothing known of its last record: as in an old store */
    world_feed(&world, options);
    wait_for(&world, 0, 20, PARTITION_HALTED_OTHER_LOG);
    wait_for(&world, 1, 50, PARTITION_RUNNING);
    wait_for(&world, 2, 50, PARTITION_RUNNING);
    for (int partition = 0; partition < 3; partition++)
        world_events(&world, partition, 50, 10);
    wait_for(&world, 1, 60, PARTITION_RUNNING);
    wait_for(&world, 2, 60, PARTITION_RUNNING);
    wait_rounds(&world, 8); /* all partitions are reported again meanwhile */
    restart(&world, options); /* and it stays so */
    wait_for(&world, 0, 20, PARTITION_HALTED_OTHER_LOG);
    wait_for(&world, 1, 60, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(events_of(&world, 0, events, 4000), 0);
    assert_int_equal(fake_engine_partition(world.engine, 1)->applied, 40);
    world_close(&world);
}

static void a_log_that_cannot_prove_itself_is_believed(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 3);
    world_events(&world, 0, 0, 12000);
    world_events(&world, 1, 0, 10);
    remember(&world, 0, 11999, 1000, 4711); /* the last record is so far behind that all between would be read again */
    remember(&world, 1, 10, 2, 4711);       /* a wrong one that is near enough, for comparison */
    world_feed(&world, world_options());
    wait_for(&world, 0, 12000, PARTITION_RUNNING);
    wait_for(&world, 1, 10, PARTITION_HALTED_OTHER_LOG);
    world_close(&world);
}

/* What the mock cannot do, Kafka can: records that are gone from the middle of a log. */
static void only_the_very_record_proves_anything(void **state)
{
    struct feed_options options = world_options();
    struct engine *engine = fake_engine_new();
    struct assignment assignment;

    (void)state;
    assignment_init(&assignment, &options, engine);
    fake_engine_know(engine, TOPIC, 0, 10);
    assert_true(assignment_take_up(&assignment, 0));
    struct assigned *assigned = &assignment.partitions[0];
    const struct assigned known = {.state = PARTITION_RUNNING, .next = 10, .end = -1, .last = 7, .print = 4711, .check = true};

    *assigned = known; /* fetched before the assignment was made anew: says nothing, and the check still stands */
    assert_false(assignment_wants(&assignment, 0, 6, 1));
    assert_true(assigned->check);
    *assigned = known; /* 7 was compacted away; 8 is no evidence, 10 is wanted */
    assert_false(assignment_wants(&assignment, 0, 8, 1));
    assert_true(assignment_wants(&assignment, 0, 10, 1));
    assert_int_equal(assigned->state, PARTITION_RUNNING);
    *assigned = known; /* all up to 11 were */
    assert_true(assignment_wants(&assignment, 0, 12, 1));
    *assigned = known;
    assert_false(assignment_wants(&assignment, 0, 7, 4711));
    assert_false(assigned->check);
    assert_true(assignment_wants(&assignment, 0, 10, 1));
    *assigned = known;
    assert_false(assignment_wants(&assignment, 0, 7, 4712));
    assert_int_equal(assigned->state, PARTITION_HALTED_OTHER_LOG);
    assert_int_equal(fake_engine_partition(engine, 0)->state, PARTITION_HALTED_OTHER_LOG);
    assignment_release(&assignment);
    fake_engine_free(engine);
}

static void a_record_that_was_deleted_proves_nothing(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_trim(&world); /* begins at 2 */
    remember(&world, 0, 2, 1, 4711);
    world_feed(&world, world_options());
    wait_for(&world, 0, 12, PARTITION_RUNNING);
    assert_int_equal(given_now(&world), 10);
    assert_int_equal(fake_engine_partition(world.engine, 0)->holes, 0);
    world_close(&world);
}

static void what_is_skipped_is_one_hole(void **state)
{
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.on_gap_skip = true;
    world_open(&world, 1);
    world_trim(&world);
    remember(&world, 0, 1, 0, 4711);
    world_feed(&world, options);
    wait_for(&world, 0, 12, PARTITION_RUNNING);
    restart(&world, options);
    world_events(&world, 0, 12, 1); /* so that it is known when the log has been read on */
    wait_for(&world, 0, 13, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(fake_engine_partition(world.engine, 0)->holes, 1);
    assert_int_equal(fake_engine_partition(world.engine, 0)->skipped, 1);
    world_close(&world);
}

static void a_topic_that_goes_is_waited_for_and_compared_when_it_comes_back(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    world_events(&world, 0, 0, 100);
    world_events(&world, 1, 0, 100);
    world_feed(&world, world_options());
    wait_for(&world, 0, 100, PARTITION_RUNNING);
    wait_for(&world, 1, 100, PARTITION_RUNNING);
    rd_kafka_mock_topic_set_error(world.cluster, TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    wait_for(&world, 0, 100, PARTITION_WAITING);
    wait_for(&world, 1, 100, PARTITION_WAITING);
    rd_kafka_mock_topic_set_error(world.cluster, TOPIC, RD_KAFKA_RESP_ERR_NO_ERROR);
    world_events(&world, 0, 100, 50);
    world_events(&world, 1, 100, 50);
    wait_for(&world, 0, 150, PARTITION_RUNNING);
    wait_for(&world, 1, 150, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->applied, 300);
    world_close(&world);
}

/* How many partitions Kafka says the topic has; 0: as many as it has. */
static _Atomic int said_partitions;

rd_kafka_resp_err_t rd_kafka_metadata(rd_kafka_t *kafka, int all, rd_kafka_topic_t *only, const struct rd_kafka_metadata **ret, int timeout_ms)
{
    rd_kafka_resp_err_t (*real)(rd_kafka_t *, int, rd_kafka_topic_t *, const struct rd_kafka_metadata **, int); /* each thread its own */

    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_metadata");
    rd_kafka_resp_err_t err = real(kafka, all, only, ret, timeout_ms);
    if (!err && only && atomic_load(&said_partitions))
        (*ret)->topics[0].partition_cnt = atomic_load(&said_partitions);
    return err;
}

static bool has_assigned(const struct engine *engine, const void *want)
{
    (void)engine;
    return atomic_load(&detour_assigns) >= *(const int *)want;
}

/* Kafka takes no partition away: the topic was deleted and made anew. */
static void where_partitions_are_gone_the_others_must_prove_themselves(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 3);
    for (int partition = 0; partition < 3; partition++)
        world_events(&world, partition, 0, 10);
    world_feed(&world, world_options());
    for (int partition = 0; partition < 3; partition++)
        wait_for(&world, partition, 10, PARTITION_RUNNING);
    const int assigns = atomic_load(&detour_assigns) + 1;
    atomic_store(&said_partitions, 2);
    wait_for(&world, 2, 10, PARTITION_WAITING);
    if (!fake_engine_wait(world.engine, has_assigned, &assigns))
        fail_msg("the others are read on as they were");
    wait_rounds(&world, 20); /* asked again meanwhile, with the same answer */
    assert_int_equal(atomic_load(&detour_assigns), assigns);
    atomic_store(&said_partitions, 0);
    world_events(&world, 0, 10, 5);
    wait_for(&world, 0, 15, PARTITION_RUNNING);
    world_close(&world);
}

/* Without a consumer: it is not asked for anything. */
static void what_was_chosen_is_told_before_records_are_taken(void **state)
{
    enum { MANY = EVENT_BATCH_MAX + 100 };
    struct assigned *many = calloc(MANY, sizeof(*many));
    struct event_batch *batch = calloc(1, sizeof(*batch));
    struct tap tap = {.assignment = {.partitions = many, .len = MANY}};
    size_t told = 0;

    (void)state;
    for (size_t i = 0; i < MANY; i++)
        many[i] = (struct assigned){.index = (uint32_t)i, .state = PARTITION_RUNNING, .next = 7, .anew = -1, .tell = true, .hole = true};
    tap_fill(&tap, batch);
    assert_in_range(batch->len, 1, EVENT_BATCH_MAX);
    for (size_t i = 0; i < batch->len; i++)
        assert_int_equal(batch->events[i].kind, EVENT_HOLE);
    for (size_t i = 0; i < MANY; i++)
        told += !many[i].tell;
    assert_int_equal(told, batch->len);
    batch->len = 0;
    assert_true(assignment_tell(&tap.assignment, batch));
    assert_int_equal(told + batch->len, MANY);
    free(batch);
    free(many);
}

enum { PATIENCE_S = 120 };

/* Until the consumer has `len` messages and callbacks to give. */
static void wait_for_queued(size_t len)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(atomic_load(&detour_consumer));
    const uint64_t until = fr_mono_ns() + PATIENCE_S * 1000000000ULL;

    while (rd_kafka_queue_length(queue) < len && fr_mono_ns() < until)
        poll(NULL, 0, 2);
    if (rd_kafka_queue_length(queue) < len)
        fail_msg("the consumer has %zu to give, not %zu", rd_kafka_queue_length(queue), len);
    rd_kafka_queue_destroy(queue);
}

/* While nobody polls, the brokers go, and others come with another log: librdkafka tells of it in the call that gives the first of its records. */
static void what_comes_with_the_word_that_brokers_were_lost_is_not_taken_yet(void **state)
{
    struct feed_options options = world_options();
    struct world world, other;

    (void)state;
    options.cluster_any = true;
    world_open(&world, 1);
    world_events(&world, 0, 0, 10);
    world_open(&other, 1);
    world_events(&other, 0, 1000, 100);
    atomic_store(&detour_port, port_of(&world));
    world_feed(&world, options);
    wait_for(&world, 0, 10, PARTITION_RUNNING);
    fake_engine_hold(world.engine, true);
    wait_rounds(&world, 2);
    atomic_store(&detour_port, port_of(&other));
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    wait_for_queued(60);
    fake_engine_hold(world.engine, false);
    wait_for(&world, 0, 10, PARTITION_HALTED_OTHER_LOG);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->applied, 10);
    atomic_store(&detour_port, 0);
    world_close(&other);
    world_close(&world);
}

/* The same brokers: what was not taken comes again. */
static void and_comes_again_when_it_is_the_same_log(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_events(&world, 0, 0, 10);
    world_feed(&world, world_options());
    wait_for(&world, 0, 10, PARTITION_RUNNING);
    fake_engine_hold(world.engine, true);
    wait_rounds(&world, 2);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    wait_for_queued(1);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, BROKER), 0);
    world_events(&world, 0, 10, 100);
    wait_for_queued(60);
    fake_engine_hold(world.engine, false);
    wait_for(&world, 0, 110, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->applied, 110);
    world_close(&world);
}

static rd_kafka_t *consumer_of(const struct world *world, const struct feed_options *options, struct client *client)
{
    const char *key = "bootstrap.servers", *value = world->address;
    struct feed_options own = *options;
    rd_kafka_t *consumer;
    struct fr_err err;

    own.kafka_keys = &key;
    own.kafka_values = &value;
    own.kafka_len = 1;
    client_init(client, "consumer");
    assert_int_equal(settings_consumer(&consumer, &own, client, &err), FR_OK);
    return consumer;
}

/* librdkafka aborts if it has not yet heard that what was assigned before has stopped. */
static void a_client_may_be_ended_as_soon_as_it_was_assigned_anew(void **state)
{
    enum { TIMES = 30, PARTITIONS = 16 };
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    world_open(&world, PARTITIONS);
    for (int i = 0; i < TIMES; i++) {
        struct assignment assignment;
        struct client client;
        rd_kafka_t *consumer = consumer_of(&world, &options, &client);
        assignment_init(&assignment, &options, world.engine);
        assignment_attach(&assignment, consumer);
        while (!assignment.len || assignment.stale)
            assignment_refresh(&assignment, UINT64_MAX / 2);
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, PATIENCE_S * 1000); /* it is read: what follows stops it */
        assert_non_null(message);
        rd_kafka_message_destroy(message);
        assignment.stale = true;
        assignment.look_ns = 0;
        assignment_refresh(&assignment, UINT64_MAX / 2);
        assert_false(assignment.stale);
        assignment_release(&assignment);
        rd_kafka_destroy_flags(consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
    world_close(&world);
}

/* A partition was halted in the round in which the brokers were lost: all is assigned anew, but not before somebody has said what there is. */
static void what_may_be_another_log_is_not_assigned_while_nobody_answers(void **state)
{
    const uint64_t LATE = UINT64_MAX / 2;
    struct feed_options options = world_options();
    struct assignment assignment;
    struct client client;
    struct world world;

    (void)state;
    world_open(&world, 2);
    rd_kafka_t *consumer = consumer_of(&world, &options, &client);
    assignment_init(&assignment, &options, world.engine);
    assignment_attach(&assignment, consumer);
    while (!assignment.len || assignment.stale)
        assignment_refresh(&assignment, LATE);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    do { /* an answer may have been on its way */
        assignment.suspect = assignment.stale = true;
        assignment.look_ns = 0;
        assignment_refresh(&assignment, LATE);
    } while (assignment.answered);
    assert_true(assignment.suspect && assignment.stale);
    const int before = atomic_load(&detour_assigns);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, BROKER), 0);
    while (assignment.stale) {
        assignment.look_ns = 0;
        assignment_refresh(&assignment, LATE);
    }
    assert_int_equal(atomic_load(&detour_assigns), before + 1);
    assert_false(assignment.suspect);
    assignment_release(&assignment);
    rd_kafka_destroy_flags(consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    world_close(&world);
}

/* ---- whose brokers? ---------------------------------------------------------------------------------------------- */

static void the_first_cluster_is_taken_for_ours(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_feed(&world, world_options());
    wait_for(&world, 0, 0, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(strncmp(world.engine->cluster, "mockCluster", 11), 0);
    world_close(&world);
}

static void of_another_cluster_nothing_is_read(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 3);
    world_trim(&world); /* begins at 2, which is no offset of ours */
    fake_engine_know(world.engine, TOPIC, 0, 5);
    fake_engine_know(world.engine, TOPIC, 1, 0);
    snprintf(world.engine->cluster, sizeof(world.engine->cluster), "another");
    world_feed(&world, world_options());
    wait_for(&world, 0, 5, PARTITION_HALTED_OTHER_CLUSTER);
    wait_for(&world, 1, 0, PARTITION_HALTED_OTHER_CLUSTER);
    wait_rounds(&world, 8);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->partitions_len, 2); /* and what it has besides is none of ours */
    assert_int_equal(fake_engine_partition(world.engine, 0)->low, 0);
    assert_int_equal(fake_engine_partition(world.engine, 0)->end, -1);
    assert_int_equal(world.engine->topics_told, 0);
    assert_int_equal(world.engine->events_len, 0);
    assert_string_equal(world.engine->cluster, "another");
    world_close(&world);
}

static void unless_any_will_do(void **state)
{
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.cluster_any = true;
    world_open(&world, 1);
    world_events(&world, 0, 0, 10);
    fake_engine_know(world.engine, TOPIC, 0, 5);
    snprintf(world.engine->cluster, sizeof(world.engine->cluster), "another");
    world_feed(&world, options);
    wait_for(&world, 0, 10, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(strncmp(world.engine->cluster, "mockCluster", 11), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_we_know_is_read_on_and_its_last_record_not_given_again),
        cmocka_unit_test(another_record_where_we_were_halts_its_partition_and_no_other),
        cmocka_unit_test(a_log_that_cannot_prove_itself_is_believed),
        cmocka_unit_test(only_the_very_record_proves_anything),
        cmocka_unit_test(a_record_that_was_deleted_proves_nothing),
        cmocka_unit_test(what_is_skipped_is_one_hole),
        cmocka_unit_test(a_topic_that_goes_is_waited_for_and_compared_when_it_comes_back),
        cmocka_unit_test(where_partitions_are_gone_the_others_must_prove_themselves),
        cmocka_unit_test(what_was_chosen_is_told_before_records_are_taken),
        cmocka_unit_test(what_comes_with_the_word_that_brokers_were_lost_is_not_taken_yet),
        cmocka_unit_test(and_comes_again_when_it_is_the_same_log),
        cmocka_unit_test(a_client_may_be_ended_as_soon_as_it_was_assigned_anew),
        cmocka_unit_test(what_may_be_another_log_is_not_assigned_while_nobody_answers),
        cmocka_unit_test(the_first_cluster_is_taken_for_ours),
        cmocka_unit_test(of_another_cluster_nothing_is_read),
        cmocka_unit_test(unless_any_will_do),
    };

    return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
