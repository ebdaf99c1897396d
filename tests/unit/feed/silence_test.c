/*
 * silence_test.c -- a consumer that has fallen asleep while the log goes on is thrown away, and nothing is lost or doubled.
 *
 * Sleep is made here: this program's rd_kafka_consumer_poll stands before librdkafka's and hears nothing from the handle
 * that was put to sleep. What librdkafka fetched for it is lost with it, as in the cases seen in the field.
 */
#include <dlfcn.h>
#include <poll.h>
#include <stdatomic.h>

#include "world.h"

/* The handle polled last, and the one that hears nothing: by librdkafka's running numbers, for an address may come again. */
static _Atomic int polled, asleep;
/* The handle that hears nothing once, at the first poll that waits for something. */
static _Atomic int slow;
/* The handle that hears nothing of partition 1. */
static _Atomic int deaf;
/* How often the ends of logs were asked for. */
static _Atomic int asked;

static int number_of(const rd_kafka_t *rk)
{
    return atoi(strrchr(rd_kafka_name(rk), '-') + 1); /* "freshet#consumer-3" */
}

rd_kafka_message_t *rd_kafka_consumer_poll(rd_kafka_t *rk, int timeout_ms)
{
    static rd_kafka_message_t *(*real)(rd_kafka_t *, int);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_consumer_poll");
    atomic_store(&polled, number_of(rk));
    if (timeout_ms && number_of(rk) == atomic_load(&slow)) {
        atomic_store(&slow, 0);
        return NULL;
    }
    if (number_of(rk) != atomic_load(&asleep)) {
        rd_kafka_message_t *message = real(rk, timeout_ms);
        while (message && number_of(rk) == atomic_load(&deaf) && message->partition == 1) {
            rd_kafka_message_destroy(message);
            message = real(rk, timeout_ms);
        }
        return message;
    }
    poll(NULL, 0, timeout_ms);
    return NULL;
}

static int64_t end_now(struct world *world, int32_t number)
{
    pthread_mutex_lock(&world->engine->lock);
    int64_t end = fake_engine_partition(world->engine, number)->end;
    pthread_mutex_unlock(&world->engine->lock);
    return end;
}

/* What the deaf handle has heard of partition 1, and how long its log is. */
enum { HEARD = 100, LENGTH = 200 };
static struct world *_Atomic deaf_world;
/* Kafka has told that handle the length; how often the end was reported since, and how often it was another one that stood in the engine then. */
static _Atomic int told, reports, wrong;

/* What librdkafka knows comes with what it fetches: of one that sleeps, nothing new. */
rd_kafka_resp_err_t rd_kafka_get_watermark_offsets(rd_kafka_t *rk, const char *topic, int32_t number, int64_t *low, int64_t *high)
{
    static rd_kafka_resp_err_t (*real)(rd_kafka_t *, const char *, int32_t, int64_t *, int64_t *);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_get_watermark_offsets");
    rd_kafka_resp_err_t err = real(rk, topic, number, low, high);
    if (number_of(rk) != atomic_load(&deaf) || number != 1)
        return err;
    if (atomic_load(&told)) {
        atomic_fetch_add(&reports, 1);
        atomic_fetch_add(&wrong, end_now(atomic_load(&deaf_world), 1) != LENGTH);
    }
    *high = HEARD;
    return err;
}

rd_kafka_resp_err_t rd_kafka_offsets_for_times(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
    static rd_kafka_resp_err_t (*real)(rd_kafka_t *, rd_kafka_topic_partition_list_t *, int);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_offsets_for_times");
    atomic_fetch_add(&asked, list->cnt && list->elems[0].offset == RD_KAFKA_OFFSET_END);
    rd_kafka_resp_err_t err = real(rk, list, timeout_ms);
    for (int i = 0; i < list->cnt && !err && number_of(rk) == atomic_load(&deaf); i++)
        if (list->elems[i].partition == 1 && list->elems[i].offset == LENGTH)
            atomic_store(&told, 1);
    return err;
}

static double rebuilds(void)
{
    return fr_series_value(fr_series(FR_M_CONSUMER_REBUILDS, "silent", "", ""));
}

static bool has_rebuilt(const struct engine *engine, const void *before)
{
    (void)engine;
    return rebuilds() > *(const double *)before;
}

static void a_consumer_that_sleeps_is_replaced(void **state)
{
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.silence = 300;
    world_open(&world, 2);
    world_events(&world, 0, 0, 100);
    world_events(&world, 1, 0, 100);
    world_feed(&world, options);
    wait_for(&world, 0, 100, PARTITION_RUNNING);
    wait_for(&world, 1, 100, PARTITION_RUNNING);
    double before = rebuilds(); /* a consumer that is slow to begin is silent, too */
    for (int round = 1; round <= 2; round++) {
        atomic_store(&asleep, atomic_load(&polled));
        world_events(&world, 0, 100 * round, 100);
        wait_for(&world, 0, 100 * round + 100, PARTITION_RUNNING); /* only another consumer can have read it */
        assert_true(rebuilds() >= before + round);
    }
    world_events(&world, 1, 100, 100);
    wait_for(&world, 1, 200, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->applied, 500); /* and the fake engine aborts when one comes twice */
    world_close(&world);
}

static void silence_where_there_is_nothing_to_hear_is_no_sleep(void **state)
{
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.silence = 100;
    world_open(&world, 1);
    world_events(&world, 0, 0, 10);
    world_feed(&world, options);
    wait_for(&world, 0, 10, PARTITION_RUNNING);
    double before = rebuilds(); /* until here there was something to hear */
    wait_rounds(&world, 8); /* of 100 ms each, for nothing comes */
    assert_true(rebuilds() == before);
    world_close(&world);
}

/* Metadata and ends of logs are answered, fetches are not: a new consumer is no better off, and is asked for less and less
 * often; when the broker gives records again, all are read. */
static void a_broker_that_does_not_give_what_it_has_costs_nothing(void **state)
{
    enum { FETCH = 1, MANY = 200 };
    struct feed_options options = world_options();
    rd_kafka_resp_err_t refusals[MANY];
    struct world world;

    (void)state;
    options.silence = 300;
    for (int i = 0; i < MANY; i++)
        refusals[i] = RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR;
    world_open(&world, 2);
    world_events(&world, 0, 0, 100);
    world_feed(&world, options);
    wait_for(&world, 0, 100, PARTITION_RUNNING);
    double before = rebuilds(); /* until here it gave what it had, perhaps not soon enough */
    rd_kafka_mock_push_request_errors_array(world.cluster, FETCH, MANY, refusals);
    world_events(&world, 0, 100, 100);
    world_events(&world, 1, 0, 100);
    assert_true(fake_engine_wait(world.engine, has_rebuilt, &before));
    rd_kafka_mock_clear_request_errors(world.cluster, FETCH);
    wait_for(&world, 0, 200, PARTITION_RUNNING);
    wait_for(&world, 1, 100, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->applied, 300);
    world_close(&world);
}

/* Nothing comes before several answers have: longer than the first silence, and than the first round of a new consumer; or, on a machine where
 * a round takes longer than that, where answers take twice as long, or four times. */
static void a_new_consumer_has_its_time(void **state)
{
    enum { RTT_MS = 200, RTT_MOST_MS = 3200 };
    struct feed_options options = world_options();
    double before = rebuilds();

    (void)state;
    options.silence = 100;
    for (int rtt_ms = RTT_MS; rebuilds() <= before; rtt_ms *= 2) {
        struct world world;
        assert_true(rtt_ms <= RTT_MOST_MS);
        world_open(&world, 1);
        world_events(&world, 0, 0, 100);
        rd_kafka_mock_broker_set_rtt(world.cluster, BROKER, rtt_ms);
        world_feed(&world, options);
        wait_for(&world, 0, 100, PARTITION_RUNNING);
        world_close(&world);
    }
}

/* Each record is an answer of its own, which takes longer than the first silence: once one has come, the next are waited for. */
static void what_comes_slowly_is_waited_for(void **state)
{
    enum { RTT_MS = 200, EVENTS = 12 };
    struct feed_options options = world_options();
    double before = rebuilds();
    struct world world;

    (void)state;
    options.silence = 100;
    world_open(&world, 1);
    for (int i = 0; i < EVENTS; i++)
        world_events(&world, 0, i, 1);
    rd_kafka_mock_broker_set_rtt(world.cluster, BROKER, RTT_MS);
    world_feed(&world, options);
    wait_for(&world, 0, EVENTS, PARTITION_RUNNING);
    assert_true(rebuilds() > before);
    assert_true(rebuilds() < before + EVENTS); /* one that forgot how long the last took would make two or three for each */
    world_close(&world);
}

/* Events wait for what is said of items; that is no silence of theirs. */
static void who_was_not_asked_was_not_silent(void **state)
{
    enum { SILENCE_MS = 2000, ROUND_MS = 100 };
    struct feed_options options = world_options();
    struct world world;

    (void)state;
    options.silence = SILENCE_MS;
    options.items_topic = "items";
    world_open(&world, 1);
    assert_int_equal(rd_kafka_mock_topic_create(world.cluster, "items", 1, 1), 0);
    world_events(&world, 0, 0, 10);
    world_send(&world, "items", 0, FR_BYTES("i1"), FR_BYTES("{\"item_id\":\"i1\"}"), 1000, NULL);
    world_flush(&world);
    fake_engine_hold(world.engine, true);
    double before = rebuilds();
    int events = number_of(world.producer) + 1; /* made first */
    atomic_store(&slow, events);
    world_feed(&world, options);
    wait_rounds(&world, SILENCE_MS / ROUND_MS + 5); /* of the items' loop */
    assert_int_equal(atomic_load(&slow), events);
    fake_engine_hold(world.engine, false);
    wait_for_of(&world, TOPIC, 0, 10, PARTITION_RUNNING);
    assert_true(rebuilds() == before);
    assert_int_equal(atomic_load(&slow), 0);
    world_close(&world);
}

static void open_talking(struct world *world, int silence_ms)
{
    struct feed_options options = world_options();

    options.silence = silence_ms;
    world_open(world, 2);
    world_events(world, 0, 0, 100);
    world_events(world, 1, 0, 100);
    world_feed(world, options);
    wait_for(world, 0, 100, PARTITION_RUNNING);
    wait_for(world, 1, 100, PARTITION_RUNNING);
}

static void one_that_sleeps_among_others_that_speak_is_found(void **state)
{
    struct world world;
    int next = 100;

    (void)state;
    open_talking(&world, 4000); /* what the others say may take a while; and some reports, 500 ms apart */
    double before = rebuilds();
    atomic_store(&deaf_world, &world);
    atomic_store(&deaf, atomic_load(&polled));
    world_events(&world, 1, HEARD, LENGTH - HEARD);
    for (; next < 20000 && rebuilds() == before; next++) {
        world_events(&world, 0, next, 1);
        wait_for(&world, 0, next + 1, PARTITION_RUNNING);
    }
    wait_for(&world, 1, LENGTH, PARTITION_RUNNING); /* only another consumer can have read it */
    wait_for(&world, 0, next, PARTITION_RUNNING);
    feed_stop(world.feed);
    world.feed = NULL;
    assert_int_equal(world.engine->applied, 200 + next);
    assert_true(atomic_load(&reports) >= 1); /* at the first it is the answer that has told; then the report before */
    assert_int_equal(atomic_load(&wrong), 0);
    world_close(&world);
}

static void one_that_has_nothing_to_say_is_asked_and_let_be(void **state)
{
    struct world world;
    int until;

    (void)state;
    open_talking(&world, 3000); /* what the others say may take a while, and is no sleep */
    double before = rebuilds();
    until = atomic_load(&asked) + 3;
    for (int next = 100; next < 20000 && atomic_load(&asked) < until; next++) {
        world_events(&world, 0, next, 1);
        wait_for(&world, 0, next + 1, PARTITION_RUNNING);
    }
    assert_true(atomic_load(&asked) >= until);
    assert_true(rebuilds() == before);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_consumer_that_sleeps_is_replaced),
        cmocka_unit_test(silence_where_there_is_nothing_to_hear_is_no_sleep),
        cmocka_unit_test(a_broker_that_does_not_give_what_it_has_costs_nothing),
        cmocka_unit_test(a_new_consumer_has_its_time),
        cmocka_unit_test(what_comes_slowly_is_waited_for),
        cmocka_unit_test(who_was_not_asked_was_not_silent),
        cmocka_unit_test(one_that_sleeps_among_others_that_speak_is_found),
        cmocka_unit_test(one_that_has_nothing_to_say_is_asked_and_let_be),
    };

    return cmocka_run_group_tests_name("silence", tests, NULL, NULL);
}
