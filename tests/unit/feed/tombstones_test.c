/*
 * tombstones_test.c -- who is to be forgotten: the tombstone is in the topic, its place is told, and it comes back by the same feed. (Its
 * time is not looked at: the mock acknowledges every record as of 1234. e2e/forget has a real Kafka.)
 */
#include "world.h"

#include <sched.h>

#include "freshet/clock.h"

#define ITEMS "items"
#define USERS "users"

static struct feed_options with_topics(void)
{
    struct feed_options options = world_options();

    options.items_topic = ITEMS;
    options.users_topic = USERS;
    return options;
}

static void open_all(struct world *world)
{
    world_open(world, 1);
    assert_int_equal(rd_kafka_mock_topic_create(world->cluster, ITEMS, 3, 1), 0);
    assert_int_equal(rd_kafka_mock_topic_create(world->cluster, USERS, 3, 1), 0);
}

static int await_done(struct world *world, uint64_t ticket, struct tombstone *ret, struct fr_err *err)
{
    uint64_t deadline = fr_mono_ns() + 120000000000ULL; /* met only by failing: librdkafka gives up after 30 s */
    int status;

    while (!feed_forget_done(world->feed, ticket, ret, &status, err)) {
        assert_true(fr_mono_ns() < deadline);
        sched_yield();
    }
    return status;
}

struct wanted {
    const struct tombstone *at;
    enum event_kind kind;
    const char *id;
};

static bool has_come(const struct engine *engine, const void *want)
{
    const struct wanted *wanted = want;

    for (size_t i = 0; i < engine->events_len; i++) {
        const struct fake_event *event = &engine->events[i];
        const char *id = wanted->kind == EVENT_USER_GONE ? event->user : event->item;
        if (event->kind == wanted->kind && !strcmp(id, wanted->id))
            return event->number == wanted->at->partition && event->offset == wanted->at->offset;
    }
    return false;
}

static void a_tombstone_stands_where_it_says_and_comes_back(void **state)
{
    static const struct {
        enum feed_kind kind;
        enum event_kind event;
        const char *topic, *id;
    } cases[] = {{FEED_USERS, EVENT_USER_GONE, USERS, "ann"}, {FEED_ITEMS, EVENT_ITEM_GONE, ITEMS, "apple"},
                 {FEED_USERS, EVENT_USER_GONE, USERS, "\xc3\xa9mile"}};
    struct world world;

    (void)state;
    open_all(&world);
    world_feed(&world, with_topics());
    for (size_t i = 0; i < 3; i++) {
        struct tombstone at;
        struct fr_err err;
        uint64_t ticket;
        assert_int_equal(feed_forget(world.feed, cases[i].kind, fr_bytes_of(cases[i].id), &ticket, &err), FR_OK);
        assert_int_equal(await_done(&world, ticket, &at, &err), FR_OK);
        assert_string_equal(at.topic, cases[i].topic);
        assert_true(fake_engine_wait(world.engine, has_come, &(struct wanted){&at, cases[i].event, cases[i].id}));
    }
    world_close(&world);
}

static void forget_ann(struct world *world, struct tombstone *ret_at)
{
    struct fr_err err;
    uint64_t ticket;

    open_all(world);
    world_feed(world, with_topics());
    assert_int_equal(feed_forget(world->feed, FEED_USERS, FR_BYTES("ann"), &ticket, &err), FR_OK);
    assert_int_equal(await_done(world, ticket, ret_at, &err), FR_OK);
}

/* A call that waits for its checkpoint is answered when the feed has stopped. */
static void what_was_told_outlives_the_feed(void **state)
{
    struct tombstone at;
    struct world world;

    (void)state;
    forget_ann(&world, &at);
    world_close(&world);
    assert_string_equal(at.topic, USERS);
}

static void without_a_topic_it_is_said_at_once(void **state)
{
    struct world world;
    struct fr_err err;
    uint64_t ticket;

    (void)state;
    open_all(&world);
    world_feed(&world, world_options());
    assert_int_equal(feed_forget(world.feed, FEED_USERS, FR_BYTES("ann"), &ticket, &err), FR_CONFIG);
    assert_non_null(strstr(err.text, "feed.users_topic"));
    assert_int_equal(feed_forget(world.feed, FEED_ITEMS, FR_BYTES("apple"), &ticket, &err), FR_CONFIG);
    assert_non_null(strstr(err.text, "feed.items_topic"));
    world_close(&world);
}

static void where_kafka_has_no_such_topic_it_is_said_and_none_is_left_behind(void **state)
{
    struct world world;
    struct tombstone at;
    struct fr_err err;
    uint64_t ticket;
    const char *keys[] = {"bootstrap.servers", "topic.metadata.propagation.max.ms"}; /* librdkafka itself does not say so here */
    const char *values[] = {world.address, "3600000"};
    struct feed_options options = with_topics();

    (void)state;
    open_all(&world);
    options.kafka_keys = keys;
    options.kafka_values = values;
    options.kafka_len = 2;
    rd_kafka_mock_topic_set_error(world.cluster, USERS, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    if (feed_start(&world.feed, &options, world.engine, &err))
        fail_msg("%s", err.text);
    assert_int_equal(feed_forget(world.feed, FEED_USERS, FR_BYTES("ann"), &ticket, &err), FR_OK);
    assert_int_equal(await_done(&world, ticket, &at, &err), FR_CONFIG);
    assert_non_null(strstr(err.text, "there is no topic 'users'"));
    rd_kafka_mock_topic_set_error(world.cluster, USERS, RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(feed_forget(world.feed, FEED_USERS, FR_BYTES("bob"), &ticket, &err), FR_OK);
    assert_int_equal(await_done(&world, ticket, &at, &err), FR_OK);
    assert_true(fake_engine_wait(world.engine, has_come, &(struct wanted){&at, EVENT_USER_GONE, "bob"}));
    for (size_t i = 0; i < world.engine->events_len; i++)
        assert_string_not_equal(world.engine->events[i].user, "ann");
    world_close(&world);
}

static void while_no_broker_takes_them_only_so_many_wait_and_the_stop_ends_them(void **state)
{
    struct world world;
    struct tombstone at;
    struct fr_err err;
    uint64_t first = 0, ticket;
    int asked = 0, status = FR_OK;

    (void)state;
    open_all(&world);
    world_feed(&world, with_topics());
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    while (asked < 1000 && (status = feed_forget(world.feed, FEED_USERS, FR_BYTES("ann"), &ticket, &err)) == FR_OK)
        first = asked++ ? first : ticket;
    assert_int_equal(asked, 64);
    assert_int_equal(status, FR_LIMIT);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, BROKER), 0);
    assert_int_equal(await_done(&world, first, &at, &err), FR_OK);
    assert_int_equal(feed_forget(world.feed, FEED_USERS, FR_BYTES("ann"), &ticket, &err), FR_OK); /* a place is free again */
    assert_true(feed_forget_done(world.feed, first, &at, &status, &err));
    assert_int_equal(status, FR_TIMEOUT); /* and it was that one's */
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    feed_forget(world.feed, FEED_USERS, FR_BYTES("bob"), &ticket, &err);
    world_close(&world);
}

static void a_broker_that_is_back_is_noticed_without_a_tombstone_to_write(void **state)
{
    struct world world;
    struct tombstone at;

    (void)state;
    forget_ann(&world, &at);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    wait_for_client(&world, "tombstones", true);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, BROKER), 0);
    wait_for_client(&world, "tombstones", false);
    world_close(&world);
}

/* What Kafka answers to a batch that came again: it has it, and does not say where. */
static void one_that_stands_nobody_knows_where_is_not_taken_for_applied(void **state)
{
    enum { PRODUCE = 0 };
    struct world world;
    struct tombstone at;
    struct fr_err err;
    uint64_t ticket;

    (void)state;
    open_all(&world);
    world_feed(&world, with_topics());
    rd_kafka_mock_push_request_errors(world.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER);
    assert_int_equal(feed_forget(world.feed, FEED_USERS, FR_BYTES("ann"), &ticket, &err), FR_OK);
    assert_int_equal(await_done(&world, ticket, &at, &err), FR_IO);
    assert_string_equal(err.text, "a tombstone is written to topic 'users', but Kafka does not say where; ask again");
    assert_int_equal(feed_forget(world.feed, FEED_USERS, FR_BYTES("ann"), &ticket, &err), FR_OK);
    assert_int_equal(await_done(&world, ticket, &at, &err), FR_OK);
    assert_true(at.offset >= 0);
    assert_true(fake_engine_wait(world.engine, has_come, &(struct wanted){&at, EVENT_USER_GONE, "ann"}));
    world_close(&world);
}

/* Somebody else's user would be forgotten. */
static void brokers_of_another_cluster_get_none(void **state)
{
    struct feed_options options = with_topics();
    struct tombstone at;
    struct world world;
    struct fr_err err;
    uint64_t ticket;

    (void)state;
    open_all(&world);
    engine_cluster_set(world.engine, "another");
    world_feed(&world, options);
    assert_int_equal(feed_forget(world.feed, FEED_USERS, FR_BYTES("ann"), &ticket, &err), FR_OK);
    assert_int_equal(await_done(&world, ticket, &at, &err), FR_CONFIG);
    assert_string_equal(err.text, "the brokers belong to another Kafka cluster than the state: no tombstone is written to topic 'users' there");
    feed_stop(world.feed);
    fake_engine_restart(world.engine);
    options.cluster_any = true;
    world_feed(&world, options);
    assert_int_equal(feed_forget(world.feed, FEED_USERS, FR_BYTES("bob"), &ticket, &err), FR_OK);
    assert_int_equal(await_done(&world, ticket, &at, &err), FR_OK);
    assert_int_equal(at.offset, 0);
    assert_true(fake_engine_wait(world.engine, has_come, &(struct wanted){&at, EVENT_USER_GONE, "bob"}));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tombstone_stands_where_it_says_and_comes_back),
        cmocka_unit_test(what_was_told_outlives_the_feed),
        cmocka_unit_test(without_a_topic_it_is_said_at_once),
        cmocka_unit_test(where_kafka_has_no_such_topic_it_is_said_and_none_is_left_behind),
        cmocka_unit_test(while_no_broker_takes_them_only_so_many_wait_and_the_stop_ends_them),
        cmocka_unit_test(a_broker_that_is_back_is_noticed_without_a_tombstone_to_write),
        cmocka_unit_test(one_that_stands_nobody_knows_where_is_not_taken_for_applied),
        cmocka_unit_test(brokers_of_another_cluster_get_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
