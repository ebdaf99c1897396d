/*
 * feed_bench.c -- what feed adds to a bare librdkafka consume loop: "ingest, no learning", without the engine's part.
 *
 *     feed_bench [RECORDS [ROUNDS]]       prints lines of: name value unit baseline ratio
 *
 * The broker is the mock cluster in a process of its own, filled with RECORDS protobuf events over 64 partitions. Each
 * round reads all of them twice: by a loop that takes and drops messages, and by feed (decode, check, copy ids, batch)
 * into an engine that counts and forgets. Both use the same settings. CPU is that of the whole consuming process; the
 * medians are printed.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <librdkafka/rdkafka.h>

#include "bench.h"
#include "fake_engine.h"
#include "freshet/clock.h"
#include "freshet/feed.h"
#include "freshet/log.h"

enum { PARTITIONS = 64 };
#define TOPIC "events"

static const char *const keys[] = {"bootstrap.servers"};
static const char *values[1];
static const struct feed_weight weights[] = {{"click", 1, false}, {"rating", 1, true}};

struct cost {
    double seconds, cpu_seconds;
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "feed_bench: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

/* The broker lives in the child until the parent closes `alive`. */
static pid_t start_broker(char *ret_address, size_t room, int *ret_alive)
{
    int address[2], alive[2];
    pid_t child;

    if (pipe(address) || pipe(alive) || (child = fork()) < 0)
        die("cannot start the broker's process");
    if (child == 0) {
        struct feed_broker *broker;
        struct fr_err err;
        char byte;

        close(alive[1]);
        if (feed_broker_start(&broker, TOPIC, "dead", PARTITIONS, &err))
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
    ssize_t len = read(address[0], ret_address, room - 1);
    if (len <= 0)
        die("the broker did not start");
    ret_address[len] = 0;
    close(address[0]);
    *ret_alive = alive[1];
    return child;
}

static size_t put_event(char *out, unsigned long i)
{
    char user[24], item[24];
    int user_len = snprintf(user, sizeof(user), "user%lu", i * 2654435761UL % 100000);
    int item_len = snprintf(item, sizeof(item), "item%lu", i * 40503UL % 20000);
    double value = (double)(i % 10) / 2;
    size_t len = 0;

    len += (size_t)sprintf(out, "\x0a%c%s\x12%c%s\x1a\x06rating\x21", user_len, user, item_len, item);
    memcpy(out + len, &value, sizeof(value));
    len += sizeof(value);
    memcpy(out + len, "\x28\x80\xd0\x95\xff\xbc\x31", 7); /* time_ms 1,700,000,000,000 */
    return len + 7;
}

static void fill(unsigned long records)
{
    static const char *const settings[][2] = {
        {"linger.ms", "50"}, {"batch.num.messages", "10000"}, {"queue.buffering.max.messages", "500000"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_t *topic;
    rd_kafka_t *producer;
    char text[200];

    rd_kafka_conf_set(conf, keys[0], values[0], text, sizeof(text));
    for (size_t i = 0; i < 3; i++)
        rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof(text));
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    topic = rd_kafka_topic_new(producer, TOPIC, NULL);
    for (unsigned long i = 0; i < records; i++) {
        char value[128];
        size_t len = put_event(value, i);

        while (rd_kafka_produce(topic, (int32_t)(i % PARTITIONS), RD_KAFKA_MSG_F_COPY, value, len, value + 2,
                                (size_t)value[1], NULL))
            rd_kafka_poll(producer, 10);
    }
    if (rd_kafka_flush(producer, 60000))
        die("cannot fill the broker");
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* From the first record on: the start-up questions (half a second) are the same for both and no part of the rate. */
static struct cost bare(unsigned long records)
{
    static const char *const settings[][2] = {{"group.id", "bench"},
                                              {"queued.min.messages", "2000000"},
                                              {"queued.max.messages.kbytes", "131072"},
                                              {"fetch.wait.max.ms", "10"},
                                              {"check.crcs", "true"},
                                              {"enable.auto.commit", "false"},
                                              {"enable.auto.offset.store", "false"}};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    unsigned long taken = 0;
    double cpu = 0;
    uint64_t begin = 0;
    rd_kafka_t *consumer;
    char text[200];

    rd_kafka_conf_set(conf, keys[0], values[0], text, sizeof(text));
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
        rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof(text));
    consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    rd_kafka_poll_set_consumer(consumer);
    for (int i = 0; i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(list, TOPIC, i)->offset = 0;
    rd_kafka_assign(consumer, list);
    while (taken < records) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 1000);

        if (message && !message->err && taken++ == 0) {
            begin = fr_mono_ns();
            cpu = cpu_seconds();
        }
        if (message)
            rd_kafka_message_destroy(message);
    }
    struct cost cost = {(double)(fr_mono_ns() - begin) / 1e9, cpu_seconds() - cpu};
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(consumer);
    return cost;
}

static bool has_given(const struct engine *engine, const void *want)
{
    return engine->applied >= *(const unsigned long *)want;
}

static struct cost fed(unsigned long records)
{
    struct feed_options options = {.topic = TOPIC,
                                   .dead_letter_topic = "dead",
                                   .format = FEED_AUTO,
                                   .start = FEED_EARLIEST,
                                   .max_future = INT64_MAX,
                                   .silence = 60000,
                                   .weights = weights,
                                   .weights_len = 2,
                                   .kafka_keys = keys,
                                   .kafka_values = values,
                                   .kafka_len = 1};
    struct engine *engine = fake_engine_new();
    unsigned long one = 1;
    struct feed *feed;
    struct fr_err err;
    struct cost cost;

    engine->forget_events = true;
    if (feed_start(&feed, &options, engine, &err))
        die("%s", err.text);
    if (!fake_engine_wait(engine, has_given, &one))
        die("feed gave nothing");
    uint64_t begin = fr_mono_ns();
    double cpu = cpu_seconds();
    if (!fake_engine_wait(engine, has_given, &records))
        die("feed gave %llu of %lu records", (unsigned long long)engine->applied, records);
    cost = (struct cost){(double)(fr_mono_ns() - begin) / 1e9, cpu_seconds() - cpu};
    feed_stop(feed);
    fake_engine_free(engine);
    return cost;
}

int main(int argc, char **argv)
{
    unsigned long records = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 5;
    struct bench_rounds rate = {.len = 0}, cpu = {.len = 0};
    char address[128];
    int alive;
    pid_t broker;

    if (records == 0 || rounds == 0 || rounds > BENCH_ROUNDS_MAX)
        die("usage: feed_bench [RECORDS [ROUNDS]]");
    fr_log_setup(FR_WARN, FR_LOG_TEXT);
    broker = start_broker(address, sizeof(address), &alive);
    values[0] = address;
    fill(records);
    for (size_t i = 0; i < rounds; i++) {
        struct cost plain = bare(records), ours = fed(records);

        bench_round(&rate, (double)records / ours.seconds, (double)records / plain.seconds);
        bench_round(&cpu, ours.cpu_seconds * 1e6 / (double)records, plain.cpu_seconds * 1e6 / (double)records);
    }
    close(alive);
    waitpid(broker, NULL, 0);
    bench_print("ingest_no_learning", "events/s", &rate, false);
    bench_print("ingest_no_learning_cpu", "us/event", &cpu, true);
    return 0;
}
