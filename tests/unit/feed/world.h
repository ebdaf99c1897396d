/*
 * world.h -- one Kafka (librdkafka's mock cluster, in this process), one producer, one fake engine, one feed.
 *
 * Nobody sleeps: a test waits until the fake engine has been given, or told, what it wants (fake_engine_wait).
 */
#ifndef FR_TEST_WORLD_H
#define FR_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "fake_engine.h"
#include "freshet/feed.h"
#include "freshet/log.h"
#include "freshet/metric.h"

#define TOPIC "events"
#define LETTERS "freshet.dead-letters"

enum { PRODUCE_MS = 100000, BROKER = 1 };

struct world {
    rd_kafka_t *producer; /* also the home of the cluster */
    rd_kafka_mock_cluster_t *cluster;
    char address[256];
    struct engine *engine;
    struct feed *feed;
};

static const struct feed_weight world_weights[] = {{"click", 1, false}, {"rating", 1, true}};

static inline void world_open_brokers(struct world *world, int partitions, int brokers)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200], number[8];

    fr_log_setup(getenv("FR_TEST_LOG") ? FR_DEBUG : FR_ERROR + 1, FR_LOG_JSON); /* faults are part of the tests; nobody need read them */
    snprintf(number, sizeof(number), "%d", brokers);
    assert_int_equal(rd_kafka_conf_set(conf, "test.mock.num.brokers", number, text, sizeof(text)), RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "log_level", "0", text, sizeof(text)), RD_KAFKA_CONF_OK);
    *world = (struct world){.producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text))};
    assert_non_null(world->producer);
    world->cluster = rd_kafka_handle_mock_cluster(world->producer);
    snprintf(world->address, sizeof(world->address), "%s", rd_kafka_mock_cluster_bootstraps(world->cluster));
    assert_int_equal(rd_kafka_mock_topic_create(world->cluster, TOPIC, partitions, brokers), 0);
    assert_int_equal(rd_kafka_mock_topic_create(world->cluster, LETTERS, 1, brokers), 0);
    world->engine = fake_engine_new();
}

static inline void world_open(struct world *world, int partitions)
{
    world_open_brokers(world, partitions, 1);
}

static inline struct feed_options world_options(void)
{
    return (struct feed_options){.topic = TOPIC,
                                 .dead_letter_topic = LETTERS,
                                 .start = FEED_EARLIEST,
                                 .max_future = 300000,
                                 .silence = 60000,
                                 .weights = world_weights,
                                 .weights_len = 2,
                                 .version = "0.1.0"};
}

static inline void world_feed(struct world *world, struct feed_options options)
{
    const char *keys[] = {"bootstrap.servers", "reconnect.backoff.max.ms"};
    const char *values[] = {world->address, "200"};
    struct fr_err err;

    options.kafka_keys = keys;
    options.kafka_values = values;
    options.kafka_len = 2;
    if (feed_start(&world->feed, &options, world->engine, &err))
        fail_msg("%s", err.text);
}

static inline void world_close(struct world *world)
{
    feed_stop(world->feed);
    fake_engine_free(world->engine);
    rd_kafka_destroy(world->producer);
}

/* One record; `headers` may be NULL. Its offset is known when world_flush returns. */
static inline void world_send(struct world *world, const char *topic, int partition, struct fr_bytes key,
                              struct fr_bytes value, when_ms logged, rd_kafka_headers_t *headers)
{
    const rd_kafka_vu_t parts[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)key.at, key.len}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)value.at, value.len}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = logged},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    rd_kafka_error_t *error = rd_kafka_produceva(world->producer, parts, headers ? 7 : 6);

    if (error)
        fail_msg("cannot produce: %s", rd_kafka_error_string(error));
}

static inline void world_flush(struct world *world)
{
    assert_int_equal(rd_kafka_flush(world->producer, PRODUCE_MS), 0);
}

/* `count` good events numbered from `first`: user u<partition>, item i<n>, at 1000 + n. */
static inline void world_events(struct world *world, int partition, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        char key[16], value[200];

        snprintf(key, sizeof(key), "u%d", partition);
        snprintf(value, sizeof(value), "{\"user_id\":\"u%d\",\"item_id\":\"i%d\",\"type\":\"click\"}", partition, i);
        world_send(world, TOPIC, partition, fr_bytes_of(key), fr_bytes_of(value), 1000 + i, NULL);
    }
    world_flush(world);
}

/* Twelve records of 500 KB into partition 0 leave ten, from offset 2 on: the mock's own retention. They are no events, and are read all the same. */
static inline void world_trim(struct world *world)
{
    enum { FAT_BYTES = 500000, FAT_RECORDS = 12 };
    char *value = calloc(1, FAT_BYTES);

    for (int i = 0; i < FAT_RECORDS; i++) {
        world_send(world, TOPIC, 0, FR_BYTES("u0"), (struct fr_bytes){value, FAT_BYTES}, 1000, NULL);
        world_flush(world);
    }
    free(value);
}

/* ---- what to wait for ------------------------------------------------------------------------------------------ */

struct want {
    const char *topic; /* NULL: any */
    int32_t number;
    int64_t next;
    enum partition_state state;
    uint64_t count;
};

static inline bool partition_reached(const struct engine *engine, const void *want)
{
    const struct want *wanted = want;
    const struct fake_partition *partition = fake_engine_partition_of(engine, wanted->topic, wanted->number);

    return partition && partition->next >= wanted->next && partition->state == wanted->state;
}

static inline bool has_taken(const struct engine *engine, const void *want)
{
    return engine->takes >= ((const struct want *)want)->count;
}

static inline bool has_done_letters(const struct engine *engine, const void *want)
{
    return engine->letters_done >= ((const struct want *)want)->count;
}

static inline void wait_for_of(struct world *world, const char *topic, int32_t number, int64_t next, enum partition_state state)
{
    struct want want = {.topic = topic, .number = number, .next = next, .state = state};

    if (!fake_engine_wait(world->engine, partition_reached, &want)) {
        const struct fake_partition *partition = fake_engine_partition_of(world->engine, topic, number);
        fail_msg("partition %d is at %lld in state %d, not at %lld in %d", number,
                 partition ? (long long)partition->next : -2, partition ? (int)partition->state : -1, (long long)next,
                 (int)state);
    }
}

static inline void wait_for(struct world *world, int32_t number, int64_t next, enum partition_state state)
{
    wait_for_of(world, NULL, number, next, state);
}

/* The feed's loop has gone round some times more. */
static inline void wait_rounds(struct world *world, unsigned rounds)
{
    struct want want = {.count = 0};

    pthread_mutex_lock(&world->engine->lock);
    want.count = world->engine->takes + rounds;
    pthread_mutex_unlock(&world->engine->lock);
    assert_true(fake_engine_wait(world->engine, has_taken, &want));
}

/* While the feed runs, under the lock, as what follows. */
static inline enum partition_state state_now(struct world *world, int32_t number)
{
    enum partition_state state;

    pthread_mutex_lock(&world->engine->lock);
    state = fake_engine_partition(world->engine, number)->state;
    pthread_mutex_unlock(&world->engine->lock);
    return state;
}

/* What the metric says of a client of Kafka: does no broker answer it? */
struct client_want {
    const char *purpose;
    bool unreachable;
};

static inline bool client_is(const struct engine *engine, const void *want)
{
    const struct client_want *wanted = want;

    (void)engine;
    return (fr_series_value(fr_series(FR_M_KAFKA_UNREACHABLE, wanted->purpose, "", "")) == 1) == wanted->unreachable;
}

static inline void wait_for_client(struct world *world, const char *purpose, bool unreachable)
{
    if (!fake_engine_wait(world->engine, client_is, &(struct client_want){purpose, unreachable}))
        fail_msg("the client for the %s is not %s", purpose, unreachable ? "cut off" : "answered again");
}

/* While the feed runs, under the lock. */
static inline uint64_t given_now(struct world *world)
{
    uint64_t given;

    pthread_mutex_lock(&world->engine->lock);
    given = world->engine->applied + world->engine->rejected;
    pthread_mutex_unlock(&world->engine->lock);
    return given;
}

static inline size_t partitions_now(struct world *world)
{
    size_t len;

    pthread_mutex_lock(&world->engine->lock);
    len = world->engine->partitions_len;
    pthread_mutex_unlock(&world->engine->lock);
    return len;
}

/* Events of one partition, in the order given; stop the feed before. */
static inline size_t events_of(const struct world *world, int32_t number, const struct fake_event **ret, size_t room)
{
    size_t len = 0;

    for (size_t i = 0; i < world->engine->events_len; i++) {
        if (world->engine->events[i].number == number) {
            assert_true(len < room);
            ret[len++] = &world->engine->events[i];
        }
    }
    return len;
}

#endif
