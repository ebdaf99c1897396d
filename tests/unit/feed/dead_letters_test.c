/*
 * dead_letters_test.c -- what the outbox holds reaches the dead-letter topic: bytes untouched, with the contract's
 * headers, and however often Kafka refuses it first. The letters are read back by a consumer of the test's own.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "world.h"

enum { PRODUCE_API = 0, INIT_PRODUCER_API = 22, PRODUCERS_MAX = 100 };

/* When each producer was made. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t len;
    uint64_t made_ns[PRODUCERS_MAX];
} producers = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* This program's stands before librdkafka's. */
rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t text_len)
{
    static rd_kafka_t *(*real)(rd_kafka_type_t, rd_kafka_conf_t *, char *, size_t);

    pthread_mutex_lock(&producers.lock);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_new");
    if (type == RD_KAFKA_PRODUCER && producers.len < PRODUCERS_MAX)
        producers.made_ns[producers.len++] = fr_mono_ns();
    pthread_cond_broadcast(&producers.changed);
    pthread_mutex_unlock(&producers.lock);
    return real(type, conf, text, text_len);
}

static void wait_producers(size_t len)
{
    pthread_mutex_lock(&producers.lock);
    while (producers.len < len)
        pthread_cond_wait(&producers.changed, &producers.lock);
    pthread_mutex_unlock(&producers.lock);
}

struct letters {
    rd_kafka_t *consumer;
};

static struct letters letters_open(const struct world *world)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct letters letters;
    char text[200];

    rd_kafka_conf_set(conf, "bootstrap.servers", world->address, text, sizeof(text));
    rd_kafka_conf_set(conf, "group.id", "test", text, sizeof(text));
    rd_kafka_conf_set(conf, "log_level", "0", text, sizeof(text));
    letters.consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    assert_non_null(letters.consumer);
    rd_kafka_poll_set_consumer(letters.consumer);
    rd_kafka_topic_partition_list_add(list, LETTERS, 0)->offset = 0;
    assert_int_equal(rd_kafka_assign(letters.consumer, list), 0);
    rd_kafka_topic_partition_list_destroy(list);
    return letters;
}

static rd_kafka_message_t *next_letter(struct letters *letters)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(letters->consumer, PRODUCE_MS);

    assert_non_null(message);
    assert_int_equal(message->err, 0);
    return message;
}

static void letters_close(struct letters *letters)
{
    rd_kafka_destroy_flags(letters->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

static struct fr_bytes header(const rd_kafka_message_t *message, const char *name)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;

    assert_int_equal(rd_kafka_message_headers(message, &headers), 0);
    assert_int_equal(rd_kafka_header_get_last(headers, name, &value, &size), 0);
    return (struct fr_bytes){value, size};
}

static void assert_header(const rd_kafka_message_t *message, const char *name, const char *want)
{
    struct fr_bytes value = header(message, name);

    if (!fr_bytes_equal(value, fr_bytes_of(want)))
        fail_msg("%s is '%.*s', not '%s'", name, (int)value.len, value.at, want);
}

static void wait_letters(struct world *world, uint64_t count)
{
    struct want want = {.count = count};

    if (!fake_engine_wait(world->engine, has_done_letters, &want))
        fail_msg("%zu of %zu letters are done", world->engine->letters_done, world->engine->letters_len);
}

static size_t letters_done_now(struct world *world)
{
    size_t done;

    pthread_mutex_lock(&world->engine->lock);
    done = world->engine->letters_done;
    pthread_mutex_unlock(&world->engine->lock);
    return done;
}

static void a_letter_is_the_record_untouched_and_seven_headers(void **state)
{
    enum { RECORDS = 5 };
    static const struct fr_bytes nothing = {NULL, 0}, empty = {"", 0};
    const struct {
        struct fr_bytes key, value;
        const char *reason, *message;
        when_ms logged;
    } records[RECORDS] = {
        {FR_BYTES("k\0k"), FR_BYTES("\x0a\x02u1\0\xff"), "undecodable",
         "protobuf: no field begins with tag 0 at byte 5; taken for protobuf, as it has no header content-type and the first "
         "byte is 0x0a, not '{'", 5000},
        {FR_BYTES("u1"), nothing, "null", "the value is null; only compacted topics have tombstones", 5001},
        {nothing, empty, "user_id", "user_id is empty", 5002},
        {empty, FR_BYTES("\x0a\x02u1"), "item_id", "item_id is empty", 5003},
        {empty, FR_BYTES("{\"user_id\":\"u1\",\"item_id\":\"i1\"}"), "time", /* by a producer that counts in microseconds */
         "the Kafka timestamp 1795686189514000 is beyond 17592186044415 (the year 2527)", 1795686189514000},
    };
    struct fr_series *sent = fr_series(FR_M_DEAD_LETTERS, "undecodable", "", "");
    double before = fr_series_value(sent);
    bool found[RECORDS] = {false};
    struct letters letters;
    struct world world;

    (void)state;
    world_open(&world, 2);
    world_events(&world, 1, 0, 3);
    for (size_t i = 0; i < RECORDS; i++)
        world_send(&world, TOPIC, 1, records[i].key, records[i].value, records[i].logged, NULL);
    world_flush(&world);
    world_feed(&world, world_options());
    wait_letters(&world, RECORDS);
    assert_true(fr_series_value(sent) == before + 1);
    letters = letters_open(&world);
    for (size_t seen = 0; seen < RECORDS; seen++) {
        rd_kafka_message_t *message = next_letter(&letters);
        size_t i = (size_t)atoi(header(message, "x-orig-offset").at) - 3; /* in any order */
        char number[24];

        assert_true(i < RECORDS && !found[i]);
        found[i] = true;
        assert_true((message->key == NULL) == (records[i].key.at == NULL));
        assert_true((message->payload == NULL) == (records[i].value.at == NULL));
        assert_true(fr_bytes_equal((struct fr_bytes){message->key, message->key_len}, records[i].key));
        assert_true(fr_bytes_equal((struct fr_bytes){message->payload, message->len}, records[i].value));
        assert_header(message, "x-orig-topic", "events");
        assert_header(message, "x-orig-partition", "1");
        snprintf(number, sizeof(number), "%lld", (long long)records[i].logged);
        assert_header(message, "x-orig-timestamp", number);
        assert_header(message, "x-error-class", records[i].reason);
        assert_header(message, "x-error-message", records[i].message);
        assert_header(message, "x-freshet-version", "0.1.0");
        rd_kafka_message_destroy(message);
    }
    letters_close(&letters);
    world_close(&world);
}

static void a_letter_kafka_refuses_is_put_back_and_sent_again(void **state)
{
    struct letters letters;
    rd_kafka_message_t *message;
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_send(&world, TOPIC, 0, FR_BYTES("u0"), FR_BYTES("{"), 1000, NULL);
    world_flush(&world);
    rd_kafka_mock_push_request_errors(world.cluster, PRODUCE_API, 1, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP);
    world_feed(&world, world_options());
    wait_letters(&world, 1);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->letters[0]->times, 2);
    letters = letters_open(&world);
    message = next_letter(&letters);
    assert_true(fr_bytes_equal((struct fr_bytes){message->payload, message->len}, FR_BYTES("{")));
    rd_kafka_message_destroy(message);
    letters_close(&letters);
    world_close(&world);
}

/* The second is made at once, the third when something may have changed; each half a second would be a storm. */
static void a_producer_that_is_not_allowed_is_not_made_anew_without_a_pause(void **state)
{
    enum { PAUSE_MS = 10000 };
    struct world world;

    (void)state;
    world_open(&world, 1);
    rd_kafka_mock_push_request_errors(world.cluster, INIT_PRODUCER_API, 2, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
                                      RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
    producers.len = 0; /* the test's own has been made */
    world_feed(&world, world_options());
    wait_producers(3);
    assert_true(producers.made_ns[2] - producers.made_ns[1] > PAUSE_MS * 1000000ULL);
    world_send(&world, TOPIC, 0, FR_BYTES("u0"), FR_BYTES("{"), 1000, NULL);
    world_flush(&world);
    wait_letters(&world, 1); /* it is allowed now */
    world_close(&world);
}

static bool all_are_taken(const struct engine *engine, const void *want)
{
    size_t taken = 0;

    for (size_t i = 0; i < engine->letters_len; i++)
        taken += engine->letters[i]->taken;
    return taken >= ((const struct want *)want)->count;
}

/* They are taken while it is down. */
static void letters_wait_for_a_broker_to_come_back(void **state)
{
    const struct want fifty = {.count = 50};
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_events(&world, 0, 0, 1);
    world_feed(&world, world_options());
    wait_for(&world, 0, 1, PARTITION_RUNNING);
    fake_engine_hold_letters(world.engine, true);
    for (int i = 0; i < 50; i++)
        world_send(&world, TOPIC, 0, FR_BYTES("u0"), FR_BYTES("{"), 1000, NULL);
    world_flush(&world);
    wait_for(&world, 0, 51, PARTITION_RUNNING);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    fake_engine_hold_letters(world.engine, false);
    assert_true(fake_engine_wait(world.engine, all_are_taken, &fifty));
    wait_rounds(&world, 3);
    assert_int_equal(letters_done_now(&world), 0);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, BROKER), 0);
    wait_letters(&world, 50);
    world_close(&world);
}

static void a_broker_that_is_back_is_noticed_without_a_letter_to_send(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_send(&world, TOPIC, 0, FR_BYTES("u0"), FR_BYTES("{"), 1000, NULL);
    world_flush(&world);
    world_feed(&world, world_options());
    wait_letters(&world, 1);
    assert_int_equal(rd_kafka_mock_broker_set_down(world.cluster, BROKER), 0);
    wait_for_client(&world, "dead letters", true);
    assert_int_equal(rd_kafka_mock_broker_set_up(world.cluster, BROKER), 0);
    wait_for_client(&world, "dead letters", false);
    assert_int_equal(world.engine->letters_len, 1);
    world_close(&world);
}

static void what_cannot_be_sent_before_the_stop_stays_in_the_outbox(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    for (int i = 0; i < 20; i++)
        world_send(&world, TOPIC, 0, FR_BYTES("u0"), FR_BYTES("{"), 1000, NULL);
    world_flush(&world);
    rd_kafka_mock_topic_set_error(world.cluster, LETTERS, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    world_feed(&world, world_options());
    wait_for(&world, 0, 20, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->letters_done, 0);
    for (size_t i = 0; i < 20; i++)
        assert_false(world.engine->letters[i]->taken); /* put back, each of them */
    rd_kafka_mock_topic_set_error(world.cluster, LETTERS, RD_KAFKA_RESP_ERR_NO_ERROR);
    fake_engine_know(world.engine, TOPIC, 0, 20);
    world_feed(&world, world_options());
    wait_letters(&world, 20);
    world_close(&world);
}

/* What is in them is the business of those whose records they were. */
static void brokers_of_another_cluster_get_no_letter(void **state)
{
    enum { ROUNDS = 20 };
    char own[CLUSTER_BYTES_MAX + 1];
    struct world world;

    (void)state;
    world_open(&world, 1);
    fake_engine_hold_letters(world.engine, true);
    world_send(&world, TOPIC, 0, FR_BYTES("u0"), FR_BYTES("{"), 1000, NULL);
    world_flush(&world);
    world_feed(&world, world_options());
    wait_for(&world, 0, 1, PARTITION_RUNNING);
    feed_stop(world.feed);
    engine_cluster(world.engine, own);
    fake_engine_restart(world.engine);
    engine_cluster_set(world.engine, "another");
    fake_engine_hold_letters(world.engine, false);
    world_feed(&world, world_options());
    wait_for(&world, 0, 1, PARTITION_HALTED_OTHER_CLUSTER);
    wait_rounds(&world, ROUNDS);
    feed_stop(world.feed);
    assert_int_equal(world.engine->letters[0]->times, 0);
    fake_engine_restart(world.engine);
    engine_cluster_set(world.engine, own);
    world_feed(&world, world_options());
    wait_letters(&world, 1);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_letter_is_the_record_untouched_and_seven_headers),
        cmocka_unit_test(a_letter_kafka_refuses_is_put_back_and_sent_again),
        cmocka_unit_test(a_producer_that_is_not_allowed_is_not_made_anew_without_a_pause),
        cmocka_unit_test(letters_wait_for_a_broker_to_come_back),
        cmocka_unit_test(a_broker_that_is_back_is_noticed_without_a_letter_to_send),
        cmocka_unit_test(what_cannot_be_sent_before_the_stop_stays_in_the_outbox),
        cmocka_unit_test(brokers_of_another_cluster_get_no_letter),
    };

    return cmocka_run_group_tests_name("dead_letters", tests, NULL, NULL);
}
