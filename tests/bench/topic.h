/*
 * topic.h -- a topic full of events, on the embedded broker in a process of its own or on a Kafka that is there, and a
 * bare loop that reads it: the baseline of ingest.
 *
 * Events are protobuf, keyed by user; users evenly, items Zipf 1.0; the event's time is its record's. The embedded
 * broker holds 5 MiB a partition, so what is to be read must be read before much more is written.
 */
#ifndef FR_BENCH_TOPIC_H
#define FR_BENCH_TOPIC_H

#include <librdkafka/rdkafka.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "freshet/feed.h"
#include "measure.h"

enum { TOPIC_PARTITIONS = 16, TOPIC_USERS = 60000, TOPIC_ITEMS = 100000, TOPIC_PATIENCE_MS = 60000 };

struct topic {
    char brokers[128], name[64];
    pid_t broker; /* 0: a Kafka of somebody else's */
    int alive;    /* the embedded broker ends when this is closed */
    int64_t end[TOPIC_PARTITIONS];
    struct bench_zipf zipf;
    uint64_t random;
};

static inline void topic_broker(struct topic *topic)
{
    int address[2], alive[2];

    if (pipe(address) || pipe(alive) || (topic->broker = fork()) < 0)
        die("cannot start the broker's process");
    if (topic->broker == 0) {
        struct feed_broker *broker;
        struct fr_err err;
        char byte;

        close(alive[1]);
        if (feed_broker_start(&broker, topic->name, "dead", TOPIC_PARTITIONS, &err))
            die("%s", err.text);
        dprintf(address[1], "%s", feed_broker_address(broker));
        close(address[1]);
        if (read(alive[0], &byte, 1) < 0)
            die("the pipe to the parent broke");
        feed_broker_stop(broker);
        _exit(0);
    }
    close(address[1]);
    close(alive[0]);
    ssize_t len = read(address[0], topic->brokers, sizeof(topic->brokers) - 1);
    if (len <= 0)
        die("the broker did not start");
    topic->brokers[len] = 0;
    close(address[0]);
    topic->alive = alive[1];
}

static inline rd_kafka_t *topic_client(const struct topic *topic, rd_kafka_type_t type,
                                       const char *const (*settings)[2], size_t len)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200];

    bool good = rd_kafka_conf_set(conf, "bootstrap.servers", topic->brokers, text, sizeof(text)) == RD_KAFKA_CONF_OK;
    for (size_t i = 0; i < len && good; i++)
        good = rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof(text)) == RD_KAFKA_CONF_OK;
    rd_kafka_t *client = good ? rd_kafka_new(type, conf, text, sizeof(text)) : NULL;
    if (!client)
        die("%s", text);
    return client;
}

static inline rd_kafka_t *topic_producer(const struct topic *topic, const char *linger_ms)
{
    const char *const settings[][2] = {
        {"linger.ms", linger_ms}, {"batch.num.messages", "10000"}, {"queue.buffering.max.messages", "500000"}};

    return topic_client(topic, RD_KAFKA_PRODUCER, settings, 3);
}

static inline void topic_create(const struct topic *topic)
{
    rd_kafka_t *client = topic_producer(topic, "0");
    rd_kafka_NewTopic_t *new = rd_kafka_NewTopic_new(topic->name, TOPIC_PARTITIONS, 1, NULL, 0);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);

    rd_kafka_CreateTopics(client, &new, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TOPIC_PATIENCE_MS);
    if (!event || rd_kafka_event_error(event))
        die("cannot create topic %s: %s", topic->name, event ? rd_kafka_event_error_string(event) : "no answer");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(new);
    rd_kafka_destroy(client);
}

/* `brokers` NULL: the embedded one. Call before any thread is started. */
static inline void topic_begin(struct topic *topic, const char *brokers)
{
    *topic = (struct topic){.random = 1};
    snprintf(topic->name, sizeof(topic->name), "freshet-bench-%d", (int)getpid());
    if (brokers) {
        snprintf(topic->brokers, sizeof(topic->brokers), "%s", brokers);
        topic_create(topic);
    } else {
        topic_broker(topic);
    }
    bench_zipf_init(&topic->zipf, TOPIC_ITEMS, &topic->random);
}

static inline void topic_end(struct topic *topic)
{
    if (topic->broker) {
        close(topic->alive);
        waitpid(topic->broker, NULL, 0);
    }
    bench_zipf_release(&topic->zipf);
}

static inline int64_t topic_events(const struct topic *topic)
{
    int64_t events = 0;

    for (int p = 0; p < TOPIC_PARTITIONS; p++)
        events += topic->end[p];
    return events;
}

/* Queues one event of a random user; returns its partition. */
static inline int topic_put(struct topic *topic, rd_kafka_t *producer, rd_kafka_topic_t *handle)
{
    uint32_t user = (uint32_t)(bench_random(&topic->random) % TOPIC_USERS);
    uint32_t item = bench_zipf_draw(&topic->zipf, &topic->random);
    int partition = (int)(user % TOPIC_PARTITIONS);
    char user_id[24], item_id[24], value[80];
    int user_len = snprintf(user_id, sizeof(user_id), "user%u", user),
        item_len = snprintf(item_id, sizeof(item_id), "item%u", item);
    int len = snprintf(value, sizeof(value),
                       "\x0a%c%s\x12%c%s\x1a\x05"
                       "click",
                       user_len, user_id, item_len, item_id);

    while (
        rd_kafka_produce(handle, partition, RD_KAFKA_MSG_F_COPY, value, (size_t)len, user_id, (size_t)user_len, NULL))
        rd_kafka_poll(producer, 10);
    topic->end[partition]++;
    return partition;
}

static inline void topic_fill(struct topic *topic, unsigned long events)
{
    rd_kafka_t *producer = topic_producer(topic, "50");
    rd_kafka_topic_t *handle = rd_kafka_topic_new(producer, topic->name, NULL);

    for (unsigned long i = 0; i < events; i++) {
        topic_put(topic, producer, handle);
        if (i % 10000 == 0)
            rd_kafka_poll(producer, 0);
    }
    if (rd_kafka_flush(producer, TOPIC_PATIENCE_MS))
        die("cannot fill the topic");
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(producer);
}

static inline double topic_cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* A consumer with feed's settings, at these offsets. */
static inline rd_kafka_t *topic_consumer(const struct topic *topic, const int64_t *from)
{
    static const char *const settings[][2] = {{"group.id", "bench"},
                                              {"queued.min.messages", "2000000"},
                                              {"queued.max.messages.kbytes", "131072"},
                                              {"fetch.wait.max.ms", "10"},
                                              {"check.crcs", "true"},
                                              {"enable.auto.commit", "false"},
                                              {"enable.auto.offset.store", "false"}};
    rd_kafka_t *consumer = topic_client(topic, RD_KAFKA_CONSUMER, settings, sizeof(settings) / sizeof(*settings));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(TOPIC_PARTITIONS);

    rd_kafka_poll_set_consumer(consumer);
    for (int p = 0; p < TOPIC_PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(list, topic->name, p)->offset = from[p];
    rd_kafka_assign(consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    return consumer;
}

struct topic_rate {
    double per_second, cpu_us;
};

/* From the first record on: start-up (half a second) is no part of the rate. */
static inline struct topic_rate topic_bare_loop(const struct topic *topic, const int64_t *from)
{
    rd_kafka_t *consumer = topic_consumer(topic, from);
    int64_t wanted = topic_events(topic), taken = 0;
    uint64_t begin = 0;
    double cpu = 0;

    for (int p = 0; p < TOPIC_PARTITIONS; p++)
        wanted -= from[p];
    while (taken < wanted) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 1000);
        if (message && !message->err && taken++ == 0) {
            begin = fr_mono_ns();
            cpu = topic_cpu_seconds();
        }
        if (message)
            rd_kafka_message_destroy(message);
    }
    struct topic_rate rate = {(double)taken * 1e9 / (double)(fr_mono_ns() - begin),
                              (topic_cpu_seconds() - cpu) * 1e6 / (double)taken};
    rd_kafka_destroy(consumer);
    return rate;
}

#endif
