/*
 * kafka_test.c -- records on their way from a Kafka (librdkafka's mock cluster) into the engine's batches (a fake
 * engine's).
 */
#include "world.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdatomic.h>

#include "freshet/feature.h"

/* The consumer that was assigned to last: this program's rd_kafka_assign stands before librdkafka's. */
static _Atomic(rd_kafka_t *) assigned;

rd_kafka_resp_err_t rd_kafka_assign(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *partitions)
{
    rd_kafka_resp_err_t (*real)(rd_kafka_t *, const rd_kafka_topic_partition_list_t *);

    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_assign");
    rd_kafka_resp_err_t refused = real(rk, partitions);
    atomic_store(&assigned, rk);
    return refused;
}

/* Until it has fetched so many records and ends of logs that nobody has taken yet. */
static void wait_fetched(size_t len)
{
    while (!atomic_load(&assigned))
        sched_yield();
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(atomic_load(&assigned));
    while (rd_kafka_queue_length(queue) < len)
        sched_yield();
    rd_kafka_queue_destroy(queue);
}

static void records_of_a_partition_arrive_in_order_and_unchanged(void **state)
{
    const struct fake_event *events[200];
    struct world world;

    (void)state;
    world_open(&world, 3);
    for (int partition = 0; partition < 3; partition++)
        world_events(&world, partition, 0, 100 + partition);
    world_feed(&world, world_options());
    for (int partition = 0; partition < 3; partition++)
        wait_for(&world, partition, 100 + partition, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    for (int partition = 0; partition < 3; partition++) {
        char user[16], item[16];

        assert_int_equal(events_of(&world, partition, events, 200), 100 + partition);
        for (int i = 0; i < 100 + partition; i++) {
            snprintf(user, sizeof(user), "u%d", partition);
            snprintf(item, sizeof(item), "i%d", i);
            assert_int_equal(events[i]->kind, EVENT_APPLY);
            assert_int_equal(events[i]->offset, i);
            assert_int_equal(events[i]->logged, 1000 + i);
            assert_int_equal(events[i]->when, 1000 + i);
            assert_string_equal(events[i]->user, user);
            assert_string_equal(events[i]->item, item);
        }
    }
    world_close(&world);
}

static void context_arrives_with_its_own_record(void **state)
{
    const struct fake_event *events[4];
    struct world world;

    (void)state;
    world_open(&world, 1);
    for (int i = 0; i < 3; i++) {
        char record[100];
        int len = snprintf(record, sizeof(record), "{\"user_id\":\"u\",\"item_id\":\"i%d\"%s}", i,
                           i == 0   ? ",\"context\":{\"device\":\"phone\"}"
                           : i == 1 ? ",\"context\":{\"device\":\"tablet\"}"
                                    : "");
        world_send(&world, TOPIC, 0, FR_BYTES("u"), (struct fr_bytes){record, (size_t)len}, 1000, NULL);
    }
    world_flush(&world);
    world_feed(&world, world_options());
    wait_for(&world, 0, 3, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(events_of(&world, 0, events, 4), 3);
    assert_true(events[0]->context == fr_feature_key(FR_BYTES("device"), FR_BYTES("phone")));
    assert_true(events[1]->context == fr_feature_key(FR_BYTES("device"), FR_BYTES("tablet")));
    assert_true(events[2]->context == 0);
    world_close(&world);
}

static void what_was_read_and_misrouted_is_counted(void **state)
{
    struct fr_series *read = fr_series(FR_M_EVENTS_CONSUMED, TOPIC, "1", "");
    double read_before = fr_series_value(read);
    double misrouted_before = fr_series_value(FR_SERIES(FR_M_EVENTS_MISROUTED));
    struct fr_bytes event = FR_BYTES("{\"user_id\":\"u1\",\"item_id\":\"i1\"}");
    struct world world;

    (void)state;
    world_open(&world, 2);
    world_send(&world, TOPIC, 1, FR_BYTES("u1"), event, 1000, NULL);
    world_send(&world, TOPIC, 1, FR_BYTES("u2"), event, 1000, NULL);             /* another key */
    world_send(&world, TOPIC, 1, (struct fr_bytes){NULL, 0}, event, 1000, NULL); /* no key */
    world_send(&world, TOPIC, 1, FR_BYTES("u2"), FR_BYTES("{"), 1000, NULL);     /* rejected, so of no user */
    world_flush(&world);
    world_feed(&world, world_options());
    wait_for(&world, 1, 4, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_true(fr_series_value(read) == read_before + 4);
    assert_true(fr_series_value(FR_SERIES(FR_M_EVENTS_MISROUTED)) == misrouted_before + 2);
    assert_int_equal(world.engine->applied, 3);
    world_close(&world);
}

static void the_content_type_of_a_record_says_what_it_is(void **state)
{
    const struct fake_event *events[4];
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
    struct world world;

    (void)state;
    world_open(&world, 1);
    rd_kafka_header_add(headers, "trace", -1, "abc", -1);
    rd_kafka_header_add(headers, "content-type", -1, "application/json", -1);
    world_send(&world, TOPIC, 0, FR_BYTES("u1"), FR_BYTES(" {\"user_id\":\"u1\",\"item_id\":\"i1\"}"), 1000, headers);
    world_send(&world, TOPIC, 0, FR_BYTES("u1"), FR_BYTES("\x0a\x02u1\x12\x02i2"), 1000, NULL); /* bare protobuf */
    world_flush(&world);
    world_feed(&world, world_options());
    wait_for(&world, 0, 2, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(events_of(&world, 0, events, 4), 2);
    assert_string_equal(events[0]->item, "i1");
    assert_string_equal(events[1]->item, "i2");
    world_close(&world);
}

static void poisoned_records_are_given_with_their_reason_and_the_rest_goes_on(void **state)
{
    static const struct {
        const char *value, *reason;
    } records[] = {
        {"{\"user_id\":\"u0\",\"item_id\":\"a\"}", NULL},
        {"{\"user_id\":\"\",\"item_id\":\"a\"}", "user_id"},
        {"not an event", "undecodable"},
        {NULL, "null"},
        {"{\"user_id\":\"u0\"}", "item_id"},
        {"{\"user_id\":\"u0\",\"item_id\":\"a\",\"value\":\"NaN\"}", "value"},
        {"{\"user_id\":\"u0\",\"item_id\":\"a\",\"time_ms\":-1}", "time"},
        {"{\"user_id\":\"u0\",\"item_id\":\"b\"}", NULL},
    };
    enum { RECORDS = sizeof(records) / sizeof(*records) };
    const struct fake_event *events[RECORDS];
    struct world world;

    (void)state;
    world_open(&world, 1);
    for (int i = 0; i < RECORDS; i++)
        world_send(&world, TOPIC, 0, FR_BYTES("u0"), fr_bytes_of(records[i].value), 1000, NULL);
    world_flush(&world);
    world_feed(&world, world_options());
    wait_for(&world, 0, RECORDS, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(events_of(&world, 0, events, RECORDS), RECORDS);
    for (int i = 0; i < RECORDS; i++) {
        assert_int_equal(events[i]->offset, i);
        assert_int_equal(events[i]->kind, records[i].reason ? EVENT_REJECT : EVENT_APPLY);
        assert_string_equal(events[i]->reason, records[i].reason ? records[i].reason : "");
        assert_int_equal(events[i]->logged, 1000);
    }
    world_close(&world);
}

static void an_engine_that_is_behind_loses_nothing(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    fake_engine_hold(world.engine, true);
    world_feed(&world, world_options());
    world_events(&world, 0, 0, 3000);
    wait_rounds(&world, 3);
    assert_int_equal(given_now(&world), 0);
    fake_engine_hold(world.engine, false);
    wait_for(&world, 0, 3000, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->applied, 3000);
    world_close(&world);
}

static void a_batch_of_huge_rejected_records_is_given_early(void **state)
{
    static char huge[900000];
    struct world world;

    (void)state;
    memset(huge, 0xff, sizeof(huge));
    world_open(&world, 4);
    for (int i = 0; i < 16; i++) { /* 14 MB of them; four per partition, for the mock keeps 5 MiB of each */
        world_send(&world, TOPIC, i % 4, FR_BYTES("u0"), (struct fr_bytes){huge, sizeof(huge)}, 1000, NULL);
        world_flush(&world);
    }
    fake_engine_hold(world.engine, true); /* so that there is much to take when the first batch comes */
    atomic_store(&assigned, NULL);
    world_feed(&world, world_options());
    wait_fetched(16 + 4);
    fake_engine_hold(world.engine, false);
    for (int partition = 0; partition < 4; partition++)
        wait_for(&world, partition, 4, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->rejected, 16);
    assert_true(world.engine->arena_max >= 4 << 20); /* the first batch would have taken all there is, */
    assert_true(world.engine->arena_max < (4 << 20) + 2 * sizeof(huge)); /* and took one record beyond 4 MiB at most */
    for (size_t i = 0; i < world.engine->letters_len; i++)
        assert_true(fr_bytes_equal(world.engine->letters[i]->letter.value, (struct fr_bytes){huge, sizeof(huge)}));
    world_close(&world);
}

static void a_topic_may_come_later(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    rd_kafka_mock_topic_set_error(world.cluster, TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    world_feed(&world, world_options());
    wait_rounds(&world, 5);
    assert_int_equal(partitions_now(&world), 0);
    rd_kafka_mock_topic_set_error(world.cluster, TOPIC, RD_KAFKA_RESP_ERR_NO_ERROR);
    world_events(&world, 0, 0, 10);
    world_events(&world, 1, 0, 20);
    wait_for(&world, 0, 10, PARTITION_RUNNING);
    wait_for(&world, 1, 20, PARTITION_RUNNING);
    world_close(&world);
}

static void a_broker_that_goes_and_comes_back_costs_nothing(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 2);
    world_events(&world, 0, 0, 100);
    world_feed(&world, world_options());
    wait_for(&world, 0, 100, PARTITION_RUNNING);
    for (int round = 1; round <= 3; round++) {
        assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
        wait_rounds(&world, 3);
        assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, BROKER), 0);
        world_events(&world, 0, 100 * round, 100);
        world_events(&world, 1, 100 * (round - 1), 100);
        wait_for(&world, 0, 100 * round + 100, PARTITION_RUNNING);
        wait_for(&world, 1, 100 * round, PARTITION_RUNNING);
    }
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->applied, 700); /* and the fake engine has seen none twice */
    world_close(&world);
}

static void without_any_broker_feed_still_starts_and_stops(void **state)
{
    const char *keys[] = {"bootstrap.servers"}, *values[] = {"127.0.0.1:1"};
    struct feed_options options = world_options();
    struct engine *engine = fake_engine_new();
    struct want want = {.count = 3};
    struct feed *feed;
    struct fr_err err;

    (void)state;
    fr_log_setup(FR_ERROR + 1, FR_LOG_JSON);
    options.kafka_keys = keys;
    options.kafka_values = values;
    options.kafka_len = 1;
    assert_int_equal(feed_start(&feed, &options, engine, &err), FR_OK);
    assert_true(fake_engine_wait(engine, has_taken, &want));
    feed_stop(feed);
    fake_engine_free(engine);
}

static void the_embedded_broker_serves_both_topics(void **state)
{
    struct feed_options options = world_options();
    struct engine *engine = fake_engine_new();
    struct want last = {.number = 6, .next = -1, .state = PARTITION_RUNNING};
    const char *keys[] = {"bootstrap.servers"}, *values[1];
    struct feed_broker *broker;
    struct feed *feed;
    struct fr_err err;

    (void)state;
    assert_int_equal(feed_broker_start(&broker, TOPIC, LETTERS, 7, &err), FR_OK);
    values[0] = feed_broker_address(broker);
    options.kafka_keys = keys;
    options.kafka_values = values;
    options.kafka_len = 1;
    assert_int_equal(feed_start(&feed, &options, engine, &err), FR_OK);
    assert_true(fake_engine_wait(engine, partition_reached, &last));
    feed_stop(feed);
    assert_int_equal(engine->partitions_len, 7);
    fake_engine_free(engine);
    feed_broker_stop(broker);
    assert_int_equal(feed_broker_start(&broker, TOPIC, TOPIC, 1, &err), FR_INVALID); /* the same topic twice */
}

/* The catalogue is read from its beginning whatever feed.start says, and a topic of it may come later. */
static void compacted_topics_are_read_beside_the_events(void **state)
{
    const struct fake_event *events[8];
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    world_open(&world, 1);
    assert_int_equal(rd_kafka_mock_topic_create(world.cluster, "items", 2, 1), 0);
    assert_int_equal(rd_kafka_mock_topic_create(world.cluster, "users", 3, 1), 0);
    rd_kafka_mock_topic_set_error(world.cluster, "users", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    world_send(&world, "items", 1, FR_BYTES("i1"), FR_BYTES("{\"item_id\":\"i1\",\"title\":\"One\"}"), 1000, NULL);
    world_send(&world, "items", 1, FR_BYTES("i1"), (struct fr_bytes){NULL, 0}, 1001, NULL);
    world_send(&world, "items", 1, FR_BYTES("i2"), FR_BYTES("{\"item_id\":\"i1\"}"), 1002, NULL);
    world_flush(&world);
    options.items_topic = "items";
    options.users_topic = "users";
    options.start = FEED_LATEST;
    world_feed(&world, options);
    wait_for_of(&world, "items", 1, 3, PARTITION_RUNNING);
    wait_for_of(&world, TOPIC, 0, 0, PARTITION_RUNNING);
    rd_kafka_mock_topic_set_error(world.cluster, "users", RD_KAFKA_RESP_ERR_NO_ERROR);
    world_send(&world, "users", 2, FR_BYTES("ann"), FR_BYTES("{\"user_id\":\"ann\"}"), 1000, NULL);
    world_send(&world, "users", 2, FR_BYTES("ann"), (struct fr_bytes){NULL, 0}, 1001, NULL);
    world_flush(&world);
    wait_for_of(&world, "users", 2, 2, PARTITION_RUNNING);
    world_events(&world, 0, 0, 1);
    wait_for_of(&world, TOPIC, 0, 1, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->applied, 1);
    assert_true(events_of(&world, 1, events, 8) >= 3);
    assert_int_equal(events[0]->kind, EVENT_ITEM);
    assert_string_equal(events[0]->item, "i1");
    assert_true(events[0]->said_len > 0);
    assert_int_equal(events[1]->kind, EVENT_ITEM_GONE);
    assert_string_equal(events[1]->item, "i1");
    assert_int_equal(events[2]->kind, EVENT_REJECT);
    assert_string_equal(events[2]->reason, "key");
    size_t len = events_of(&world, 2, events, 8); /* an empty partition's end may come first */
    assert_true(len >= 2);
    assert_int_equal(events[len - 2]->kind, EVENT_USER);
    assert_int_equal(events[len - 1]->kind, EVENT_USER_GONE);
    assert_string_equal(events[len - 1]->user, "ann");
    world_close(&world);
}

/* A replay must know who was forgotten when, before it learns of them. */
static void what_is_said_comes_before_events(void **state)
{
    enum { SAID = 3000, EVENTS = 20 };
    struct feed_options options = world_options();
    struct world world;
    size_t said = 0;

    (void)state;
    world_open(&world, 1);
    assert_int_equal(rd_kafka_mock_topic_create(world.cluster, "items", 2, 1), 0);
    for (int i = 0; i < SAID; i++) {
        char id[16], value[64];
        snprintf(id, sizeof(id), "i%d", i);
        snprintf(value, sizeof(value), "{\"item_id\":\"i%d\",\"title\":\"One\"}", i);
        world_send(&world, "items", i & 1, fr_bytes_of(id), fr_bytes_of(value), 1000, NULL);
    }
    world_flush(&world);
    world_events(&world, 0, 0, EVENTS);
    options.items_topic = "items";
    world_feed(&world, options);
    wait_for_of(&world, TOPIC, 0, EVENTS, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    for (size_t i = 0; i < world.engine->events_len; i++) {
        said += world.engine->events[i].kind == EVENT_ITEM;
        if (world.engine->events[i].kind == EVENT_APPLY)
            assert_int_equal(said, SAID);
    }
    assert_int_equal(world.engine->applied, EVENTS);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_a_partition_arrive_in_order_and_unchanged),
        cmocka_unit_test(context_arrives_with_its_own_record),
        cmocka_unit_test(what_was_read_and_misrouted_is_counted),
        cmocka_unit_test(the_content_type_of_a_record_says_what_it_is),
        cmocka_unit_test(poisoned_records_are_given_with_their_reason_and_the_rest_goes_on),
        cmocka_unit_test(an_engine_that_is_behind_loses_nothing),
        cmocka_unit_test(a_batch_of_huge_rejected_records_is_given_early),
        cmocka_unit_test(a_topic_may_come_later),
        cmocka_unit_test(what_is_said_comes_before_events),
        cmocka_unit_test(compacted_topics_are_read_beside_the_events),
        cmocka_unit_test(a_broker_that_goes_and_comes_back_costs_nothing),
        cmocka_unit_test(without_any_broker_feed_still_starts_and_stops),
        cmocka_unit_test(the_embedded_broker_serves_both_topics),
    };

    return cmocka_run_group_tests_name("kafka", tests, NULL, NULL);
}
