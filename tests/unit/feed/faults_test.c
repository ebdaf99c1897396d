/*
 * faults_test.c -- the broker's faults, one kind at a time: each request's errors, down and up, slow, leaders that move. Each time
 * all is caught up afterwards, each record given once and in order (the fake engine aborts when one comes twice or late), and
 * each bad one is in the dead-letter topic.
 *
 * FRESHET_LONG=1 tries every error with every request, ten times in a row.
 */
#include "world.h"

enum { PARTITIONS = 4, GOOD = 40, BAD = 2 }; /* records of each partition in a round */

/* Kafka's numbers of the requests; librdkafka keeps its names to itself. */
enum { PRODUCE = 0, FETCH = 1, LIST_OFFSETS = 2, METADATA = 3, FIND_COORDINATOR = 10, API_VERSION = 18, INIT_PRODUCER_ID = 22 };

static const struct {
    const char *name;
    int16_t key;
} requests[] = {
    {"Produce", PRODUCE},          {"Fetch", FETCH},
    {"ListOffsets", LIST_OFFSETS}, {"Metadata", METADATA},
    {"ApiVersion", API_VERSION},   {"FindCoordinator", FIND_COORDINATOR},
    {"InitProducerId", INIT_PRODUCER_ID},
};

static const rd_kafka_resp_err_t errors[] = {
    RD_KAFKA_RESP_ERR__TRANSPORT, /* the connection is closed instead of an answer */
    RD_KAFKA_RESP_ERR_UNKNOWN,
    RD_KAFKA_RESP_ERR_INVALID_MSG,
    RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
};
enum { ERRORS = sizeof(errors) / sizeof(*errors), REQUESTS = sizeof(requests) / sizeof(*requests) };

/* The records come by a producer of their own, so that no fault is used up on it. */
struct bed {
    struct world world;
    int rounds; /* of records sent */
    uint64_t letters;
};

static bool is_long(void)
{
    const char *text = getenv("FRESHET_LONG");

    return text && strcmp(text, "1") == 0;
}

static void open_bed(struct bed *bed)
{
    *bed = (struct bed){.rounds = 0};
    world_open(&bed->world, PARTITIONS);
    bed->world.engine->forget_events = true;
    world_feed(&bed->world, world_options());
    for (int partition = 0; partition < PARTITIONS; partition++)
        wait_for(&bed->world, partition, 0, PARTITION_RUNNING);
}

static void send_round(struct bed *bed)
{
    for (int partition = 0; partition < PARTITIONS; partition++) {
        for (int i = 0; i < BAD; i++)
            world_send(&bed->world, TOPIC, partition, FR_BYTES("u"), FR_BYTES("{"), 1000, NULL);
        world_events(&bed->world, partition, bed->rounds * GOOD, GOOD);
    }
    bed->rounds++;
    bed->letters += PARTITIONS * BAD;
}

static void catch_up(struct bed *bed)
{
    struct want letters = {.count = bed->letters};

    for (int partition = 0; partition < PARTITIONS; partition++)
        wait_for(&bed->world, partition, bed->rounds * (GOOD + BAD), PARTITION_RUNNING);
    if (!fake_engine_wait(bed->world.engine, has_done_letters, &letters))
        fail_msg("%zu dead letters of %llu are delivered", bed->world.engine->letters_done, (unsigned long long)bed->letters);
}

static void close_bed(struct bed *bed)
{
    feed_stop(bed->world.feed);
    bed->world.feed = NULL;
    for (int partition = 0; partition < PARTITIONS; partition++) {
        const struct fake_partition *found = fake_engine_partition(bed->world.engine, partition);
        assert_int_equal(found->applied, bed->rounds * GOOD);
        assert_int_equal(found->rejected, bed->rounds * BAD);
    }
    world_close(&bed->world);
}

static void errors_of_each_request_cost_nothing(void **state)
{
    const int repeats = is_long() ? 10 : 2;
    struct bed bed;

    (void)state;
    for (size_t r = 0; r < REQUESTS; r++) {
        open_bed(&bed);
        for (size_t e = is_long() ? 0 : r % 3; e < ERRORS; e += is_long() ? 1 : 3) { /* and each with some request */
            rd_kafka_resp_err_t row[10];
            for (int i = 0; i < repeats; i++)
                row[i] = is_long() ? errors[e] : errors[(e + r + (size_t)i) % ERRORS];
            /* What the test produces itself is there before; only the dead letters meet the faults of Produce. */
            fake_engine_hold(bed.world.engine, true);
            send_round(&bed);
            rd_kafka_mock_push_request_errors_array(bed.world.cluster, requests[r].key, (size_t)repeats, row);
            fake_engine_hold(bed.world.engine, false);
            if (is_long() || requests[r].key == PRODUCE)
                catch_up(&bed);
        }
        catch_up(&bed);
        rd_kafka_mock_clear_request_errors(bed.world.cluster, requests[r].key);
        close_bed(&bed);
    }
}

/* Nothing at first answers as it should: then the assignment is made under faults. */
static void errors_at_the_start_only_delay_it(void **state)
{
    (void)state;
    for (size_t r = 0; r < REQUESTS; r++) {
        struct bed bed = {.rounds = 0};

        world_open(&bed.world, PARTITIONS);
        bed.world.engine->forget_events = true;
        send_round(&bed);
        rd_kafka_mock_push_request_errors(bed.world.cluster, requests[r].key, 4, RD_KAFKA_RESP_ERR__TRANSPORT,
                                          RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
                                          RD_KAFKA_RESP_ERR__TRANSPORT);
        world_feed(&bed.world, world_options());
        catch_up(&bed);
        close_bed(&bed);
    }
}

static void a_broker_that_goes_and_comes_loses_nothing_on_the_way(void **state)
{
    const int turns = is_long() ? 30 : 2;
    struct bed bed;

    (void)state;
    open_bed(&bed);
    for (int turn = 0; turn < turns; turn++) {
        send_round(&bed);
        assert_int_equal(rd_kafka_mock_broker_set_down(bed.world.cluster, BROKER), 0); /* in the midst of it */
        wait_rounds(&bed.world, 1 + (unsigned)turn % 3);
        assert_int_equal(rd_kafka_mock_broker_set_up(bed.world.cluster, BROKER), 0);
        catch_up(&bed);
    }
    close_bed(&bed);
}

static void a_slow_broker_is_waited_for(void **state)
{
    enum { RTT_MS = 2000 };
    struct bed bed;

    (void)state;
    open_bed(&bed);
    send_round(&bed);
    rd_kafka_mock_broker_set_rtt(bed.world.cluster, BROKER, RTT_MS);
    send_round(&bed);
    catch_up(&bed);
    rd_kafka_mock_broker_set_rtt(bed.world.cluster, BROKER, 0);
    send_round(&bed);
    catch_up(&bed);
    close_bed(&bed);
}

/* Three brokers; each partition's leader wanders, and the one it left goes down. */
static void leaders_may_move(void **state)
{
    const int moves = is_long() ? 100 : 4;
    struct bed bed = {.rounds = 0};

    (void)state;
    world_open_brokers(&bed.world, PARTITIONS, 3);
    bed.world.engine->forget_events = true;
    world_feed(&bed.world, world_options());
    for (int move = 0; move < moves; move++) {
        int32_t leader = 1 + move % 3, left = 1 + (move + 2) % 3;

        send_round(&bed);
        for (int partition = 0; partition < PARTITIONS; partition++)
            assert_int_equal(rd_kafka_mock_partition_set_leader(bed.world.cluster, TOPIC, partition, leader), 0);
        rd_kafka_mock_partition_set_leader(bed.world.cluster, LETTERS, 0, leader);
        rd_kafka_mock_broker_set_down(bed.world.cluster, left);
        send_round(&bed);
        catch_up(&bed);
        rd_kafka_mock_broker_set_up(bed.world.cluster, left);
    }
    close_bed(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_each_request_cost_nothing),
        cmocka_unit_test(errors_at_the_start_only_delay_it),
        cmocka_unit_test(a_broker_that_goes_and_comes_loses_nothing_on_the_way),
        cmocka_unit_test(a_slow_broker_is_waited_for),
        cmocka_unit_test(leaders_may_move),
    };

    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
