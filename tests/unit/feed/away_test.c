/*
 * away_test.c -- one broker of two is away, and something is asked of its partitions: that answer does not come, within its time; those of the
 * other are read on meanwhile, and a stop is obeyed.
 *
 *     broker 1: partition 0        broker 2: partitions 1, 2 ...
 *
 * This program's rd_kafka_offsets_for_times stands before librdkafka's: it takes broker 2 away when its partitions are asked for, and counts.
 * So does rd_kafka_query_watermark_offsets, which is not to be called: it would not come back.
 */
#include <dlfcn.h>
#include <poll.h>
#include <stdatomic.h>

#include "assign.h"
#include "freshet/clock.h"
#include "world.h"

enum { OTHER_BROKER = 2, PATIENCE_S = 120, LOOK_MS = 2 };

static rd_kafka_mock_cluster_t *_Atomic leaving; /* whose broker 2 goes when it is asked for its partitions alone */
static _Atomic int unanswered, most_unanswered; /* answers waited for in vain between two polls */

static void take_away(int32_t partition)
{
    if (partition > 0 && atomic_load(&leaving))
        rd_kafka_mock_broker_set_down(atomic_exchange(&leaving, NULL), OTHER_BROKER);
}

rd_kafka_resp_err_t rd_kafka_query_watermark_offsets(rd_kafka_t *rk, const char *topic, int32_t number, int64_t *low, int64_t *high,
                                                     int timeout_ms)
{
    static rd_kafka_resp_err_t (*real)(rd_kafka_t *, const char *, int32_t, int64_t *, int64_t *, int);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_query_watermark_offsets");
    take_away(number);
    return real(rk, topic, number, low, high, timeout_ms);
}

rd_kafka_resp_err_t rd_kafka_offsets_for_times(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
    static rd_kafka_resp_err_t (*real)(rd_kafka_t *, rd_kafka_topic_partition_list_t *, int);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_offsets_for_times");
    take_away(list->elems[0].partition);
    rd_kafka_resp_err_t err = real(rk, list, timeout_ms);
    if (err && atomic_fetch_add(&unanswered, 1) + 1 > atomic_load(&most_unanswered))
        atomic_store(&most_unanswered, atomic_load(&unanswered));
    return err;
}

rd_kafka_message_t *rd_kafka_consumer_poll(rd_kafka_t *rk, int timeout_ms)
{
    static rd_kafka_message_t *(*real)(rd_kafka_t *, int);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_consumer_poll");
    atomic_store(&unanswered, 0);
    return real(rk, timeout_ms);
}

/* Ten events in partition 0 and fifty in each other; the store knows a hundred of those. */
static void open_two(struct world *world, int partitions)
{
    world_open_brokers(world, partitions, 2);
    for (int partition = 0; partition < partitions; partition++)
        assert_int_equal(rd_kafka_mock_partition_set_leader(world->cluster, TOPIC, partition, partition ? OTHER_BROKER : BROKER), 0);
    rd_kafka_mock_partition_set_leader(world->cluster, LETTERS, 0, BROKER);
    world_events(world, 0, 0, 10);
    for (int partition = 1; partition < partitions; partition++) {
        world_events(world, partition, 0, 50);
        fake_engine_know(world->engine, TOPIC, partition, 100);
    }
    atomic_store(&most_unanswered, 0);
}

/* Each is there before the next is sent, so it is read in so many rounds. */
static void assert_read_on(struct world *world, int from, int to)
{
    for (int i = from; i < to; i++) {
        world_events(world, 0, i, 1);
        wait_for(world, 0, i + 1, PARTITION_RUNNING);
    }
}

static int reset_once(struct world *world, struct reset_outcome *ret, struct fr_err *err)
{
    const struct reset reset = {.partition = 1, .applied = 100, .to = RESET_TO_END};
    uint64_t ticket, until = fr_mono_ns() + PATIENCE_S * 1000000000ULL;
    int status = feed_reset(world->feed, &reset, &ticket, err);

    while (!status && !feed_reset_done(world->feed, ticket, ret, &status, err)) {
        assert_true(fr_mono_ns() < until);
        poll(NULL, 0, LOOK_MS);
    }
    return status;
}

static void a_reset_is_answered_and_the_others_are_read_on(void **state)
{
    struct reset_outcome outcome;
    struct world world;
    struct fr_err err;

    (void)state;
    open_two(&world, 2);
    world_feed(&world, world_options());
    wait_for(&world, 0, 10, PARTITION_RUNNING);
    wait_for(&world, 1, 100, PARTITION_HALTED_TRUNCATED);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, OTHER_BROKER), 0);
    assert_int_equal(reset_once(&world, &outcome, &err), FR_IO);
    assert_non_null(strstr(err.text, "Kafka does not say what partition 1 holds"));
    assert_read_on(&world, 10, 15);
    assert_int_equal(state_now(&world, 1), PARTITION_HALTED_TRUNCATED);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, OTHER_BROKER), 0);
    while (reset_once(&world, &outcome, &err) == FR_IO)
        continue;
    assert_int_equal(outcome.to, 50);
    wait_for(&world, 1, 50, PARTITION_RUNNING);
    world_close(&world);
}

/* A dozen are lost; when they are asked for their broker goes, and comes back later. */
static void what_is_lost_there_keeps_nobody_waiting_and_is_settled_later(void **state)
{
    enum { PARTITIONS = 13, AT_ONCE = 3 }; /* answers: of those that are lost, of all beginnings, of the ends of those that are halted */
    struct world world;

    (void)state;
    open_two(&world, PARTITIONS);
    atomic_store(&leaving, world.cluster);
    world_feed(&world, world_options());
    wait_for(&world, 0, 10, PARTITION_RUNNING);
    while (atomic_load(&leaving))
        wait_rounds(&world, 1);
    assert_read_on(&world, 10, 40);
    assert_in_range(atomic_load(&most_unanswered), 1, AT_ONCE);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, OTHER_BROKER), 0);
    for (int partition = 1; partition < PARTITIONS; partition++)
        wait_for(&world, partition, 100, PARTITION_HALTED_TRUNCATED);
    assert_read_on(&world, 40, 45);
    world_close(&world);
}

static void a_stop_does_not_wait_for_it(void **state)
{
    struct world world;

    (void)state;
    open_two(&world, 3);
    atomic_store(&leaving, world.cluster);
    world_feed(&world, world_options());
    while (atomic_load(&leaving))
        poll(NULL, 0, LOOK_MS);
    world_close(&world);
}

/* ---- one by one, without a feed ------------------------------------------------------------------------------------ */

static rd_kafka_t *consumer_of(const struct world *world)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200];

    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", world->address, text, sizeof(text)), RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "group.id", "away", text, sizeof(text)), RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "log_level", "0", text, sizeof(text)), RD_KAFKA_CONF_OK);
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    assert_non_null(consumer);
    return consumer;
}

/* All four are lost, the first two at the broker that is there. */
static void what_the_other_holds_is_found_out_although_one_list_asked_for_both(void **state)
{
    enum { PARTITIONS = 4 };
    struct feed_options options = world_options();
    struct assignment assignment;
    struct world world;

    (void)state;
    open_two(&world, PARTITIONS);
    fake_engine_know(world.engine, TOPIC, 0, 100);
    assert_int_equal(rd_kafka_mock_partition_set_leader(world.cluster, TOPIC, 1, BROKER), 0);
    rd_kafka_t *consumer = consumer_of(&world);
    assignment_init(&assignment, &options, world.engine);
    assignment_attach(&assignment, consumer);
    for (size_t i = 0; i < PARTITIONS; i++) {
        assert_true(assignment_take_up(&assignment, i));
        assignment.partitions[i].state = PARTITION_RUNNING;
        assignment.partitions[i].lost = true;
    }
    assignment.answered = false; /* no broker has answered: none is asked */
    assert_false(verdict_lost(&assignment));
    assert_int_equal(atomic_load(&most_unanswered), 0);
    assert_int_equal(assignment.lost_ns, 0);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, OTHER_BROKER), 0);
    assignment.answered = true;
    assert_false(verdict_lost(&assignment));
    assert_true(assignment.lost_ns > fr_mono_ns());
    uint64_t rest_ns = assignment.lost_ns;
    assert_false(verdict_lost(&assignment)); /* it is too soon */
    assert_int_equal(assignment.lost_ns, rest_ns);
    for (int times = 0; assignment.partitions[0].lost || assignment.partitions[1].lost; times++) {
        assert_in_range(times, 0, 2); /* each of the other two may have had its turn before */
        assignment.lost_ns = 0;
        assert_false(verdict_lost(&assignment));
    }
    assert_int_equal(assignment.partitions[0].state, PARTITION_HALTED_TRUNCATED);
    assert_int_equal(assignment.partitions[1].state, PARTITION_HALTED_TRUNCATED);
    assert_true(assignment.partitions[2].lost && assignment.partitions[3].lost);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, OTHER_BROKER), 0);
    for (int times = 0; times < PATIENCE_S; times++) {
        assignment.lost_ns = 0;
        if (verdict_lost(&assignment))
            break;
    }
    assert_int_equal(assignment.partitions[2].state, PARTITION_HALTED_TRUNCATED);
    assert_int_equal(assignment.partitions[3].state, PARTITION_HALTED_TRUNCATED);
    assignment_release(&assignment);
    rd_kafka_destroy(consumer);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reset_is_answered_and_the_others_are_read_on),
        cmocka_unit_test(what_is_lost_there_keeps_nobody_waiting_and_is_settled_later),
        cmocka_unit_test(a_stop_does_not_wait_for_it),
        cmocka_unit_test(what_the_other_holds_is_found_out_although_one_list_asked_for_both),
    };

    return cmocka_run_group_tests_name("away", tests, NULL, NULL);
}
